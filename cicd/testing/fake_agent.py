"""An agent for tests of the jobhost: a real process that hands its socket to the test, which then speaks for it.

The minion starts `FakeAgent.command` as its agent; that process passes the descriptor it was given on to the test
and lives until it is told to exit or is killed. So the test sees the real socket and the jobhost a real process.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cicd.codec import Codec
from cicd.messages.base import Wire
from cicd.messages.jobhost import LOCAL_VERSION, TO_AGENT, AgentHello, HostHello
from cicd.plugins.framing import LIMIT_BYTES, FrameReader, encode_frame

W = TypeVar("W", bound=Wire)


class FakeAgent:
    """Listens for the agents that a minion starts.

    Args:
        folder: for the listening socket; its path is short.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "agent.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._talks: list[AgentTalk] = []

    @property
    def command(self) -> list[str]:
        """What a minion has to start."""
        return [sys.executable, "-I", "-S", str(Path(__file__).with_name("agent_relay.py")), str(self._path)]

    def accept(self, timeout_s: float = 10.0) -> AgentTalk:
        """Return the next agent, greeted."""
        self._listener.settimeout(timeout_s)
        control, _ = self._listener.accept()
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        pid = int(control.recv(20))
        talk = AgentTalk(control, socket.socket(fileno=descriptors[0]), pid)
        self._talks.append(talk)
        talk.hello = talk.wait_for(HostHello)
        talk.send(AgentHello(version=LOCAL_VERSION, pid=pid))
        return talk

    def close(self) -> None:
        """Close all sockets; the agents' processes end by that."""
        for talk in self._talks:
            talk.close()
        self._listener.close()


class AgentTalk:
    """The conversation of one agent with the jobhost, in the test's hands.

    Attributes:
        hello: the jobhost's first message.
        heard: all messages so far, in order.
        pid: of the agent's process.
    """

    hello: HostHello

    def __init__(self, control: socket.socket, sock: socket.socket, pid: int) -> None:
        self._control = control
        self._sock = sock
        self._frames = FrameReader()
        self._codec = Codec(TO_AGENT, limit_bytes=LIMIT_BYTES)
        self._unread: list[Wire] = []
        self.heard: list[Wire] = []
        self.pid = pid

    def send(self, message: Wire) -> None:
        """Say something to the jobhost."""
        self._sock.sendall(encode_frame(self._codec.encode(message)))

    def wait_for(self, kind: type[W], match: Callable[[W], bool] = lambda _: True, timeout_s: float = 20.0) -> W:
        """Return the next message of this kind that matches; what comes before it is passed over.

        Raises:
            TimeoutError: it did not come.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            while self._unread:
                message = self._unread.pop(0)
                if isinstance(message, kind) and match(message):
                    return message
            if not self.read(deadline - time.monotonic()):
                kinds = ", ".join(type(message).__name__ for message in self.heard[-20:])
                raise TimeoutError(f"no {kind.__name__}; heard last: {kinds}")

    def read(self, timeout_s: float) -> bool:
        """Take what the jobhost says within the time; return whether it said or closed anything."""
        if not select.select([self._sock], [], [], max(0.0, timeout_s))[0]:
            return False
        data = self._sock.recv(1 << 16)
        self._frames.feed(data)
        for frame in self._frames:
            message = self._codec.decode(frame)
            self.heard.append(message)
            self._unread.append(message)
        return bool(data)

    def exit(self, code: int) -> None:
        """Let the agent's process end with this code."""
        self._control.sendall(bytes([code]))

    def kill(self) -> None:
        """Kill the agent's process."""
        os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Close the test's ends."""
        self._control.close()
        self._sock.close()
