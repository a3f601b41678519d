"""The agent's process and the conversation with it: started again when it dies, and told everything anew.

    start -> HostHello -> messages both ways -> (ends) -> restart_delay_s -> start ...

Exit codes of an agent: 0 it was told to stop; 3 it gives up for good (its configuration is wrong, the master
refuses it: it has said why), and so does the jobhost; anything else is a death like any other. Messages are those
of `cicd.messages.jobhost`.

An agent that does not read costs only what it has to be told once: what can be said again later (`LogGrew`,
`Pulse`) is left out while it is behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence

import structlog

from cicd.codec import Codec
from cicd.errors import ProtocolError
from cicd.messages.base import Wire
from cicd.messages.jobhost import LOCAL_VERSION, TO_HOST, AgentHello
from cicd.plugins.child import kernel
from cicd.plugins.framing import LIMIT_BYTES, FrameReader, encode_frame

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

GIVES_UP = 3
"""Exit code of an agent for which no restart would help."""

_BEHIND_BYTES = 256 * 1024


class _Conversation(asyncio.Protocol):
    """One agent's end of the socketpair."""

    def __init__(self, heard: Callable[[Wire], None], broken: Callable[[ProtocolError], None]) -> None:
        self._heard = heard
        self._broken = broken
        self._frames = FrameReader()
        self._codec = Codec(TO_HOST, limit_bytes=LIMIT_BYTES)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what a stream socket has
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            for frame in self._frames:
                self._heard(self._codec.decode(frame))
        except ProtocolError as error:
            self._broken(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._transport = None

    def send(self, message: Wire) -> None:
        if self._transport is not None:
            self._transport.write(encode_frame(self._codec.encode(message)))

    @property
    def behind(self) -> bool:
        return self._transport is None or self._transport.get_write_buffer_size() > _BEHIND_BYTES

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class AgentLink:
    """Keeps an agent running. Needs a running loop.

    Args:
        command: program and arguments; `--fd N` is added.
        env: its environment.
        restart_delay_s: between an end and the next start.
        greet: called when an agent has been started: tells it everything, by `send`.
        heard: takes each message but `AgentHello`.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        restart_delay_s: float,
        *,
        greet: Callable[[], None],
        heard: Callable[[Wire], None],
    ) -> None:
        self._command = tuple(command)
        self._env = dict(env)
        self._restart_delay_s = restart_delay_s
        self._greet = greet
        self._heard = heard
        self._conversation: _Conversation | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int:
        """The agent's process id; 0: there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def behind(self) -> bool:
        """Whether there is no agent that reads what it is sent."""
        return self._conversation is None or self._conversation.behind

    def send(self, message: Wire) -> None:
        """Tell the agent; if there is none, the next one learns it from the greeting."""
        if self._conversation is not None:
            self._conversation.send(message)

    async def run(self) -> int:
        """Keep an agent running until `stop`, or until one gives up; return that one's exit code, else 0."""
        while not self._stopping.is_set():
            try:
                code = await self._run_once()
            except OSError as error:
                log.exception("agent.not_started", error=str(error))
                code = -1
            if self._stopping.is_set():
                break
            if code == GIVES_UP:
                log.error("agent.gave_up", code=code)
                return code
            log.warning("agent.ended", code=code, restart_in_s=self._restart_delay_s)
            await _wait(self._stopping, self._restart_delay_s)
        return 0

    async def stop(self, last: Wire, timeout_s: float) -> None:
        """Say the last message, give the agent time to end by itself, and see to it that it has."""
        self._stopping.set()
        if self._process is None:
            return
        self.send(last)
        if not await _wait(self._ended, timeout_s):
            self._kill()
            await self._ended.wait()

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            own = os.getpid()
            process = subprocess.Popen(  # noqa: ASYNC220  asyncio's own watchers start threads
                (*self._command, "--fd", str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=self._env,
                preexec_fn=lambda: kernel.die_with_parent(own),  # noqa: PLW1509  there is one thread
            )
        self._ended.clear()
        self._process = process
        exited = _watch(process.pid)
        loop = asyncio.get_running_loop()
        conversation = self._conversation = _Conversation(self._hear, self._broken)
        ours.setblocking(False)  # noqa: FBT003  the standard library's signature
        await loop.create_unix_connection(lambda: conversation, sock=ours)
        log.info("agent.started", pid=process.pid)
        self._greet()
        await exited
        code = process.wait()  # its pidfd was readable: this does not block
        conversation.close()
        self._conversation = None
        self._process = None
        self._ended.set()
        return code

    def _hear(self, message: Wire) -> None:
        if not isinstance(message, AgentHello):
            self._heard(message)
        elif message.version != LOCAL_VERSION:
            log.error("agent.version", theirs=message.version, ours=LOCAL_VERSION)
            self._kill()

    def _broken(self, error: ProtocolError) -> None:
        log.error("agent.protocol", error=error.message)
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)


def _watch(pid: int) -> asyncio.Future[None]:
    """Return what is done when a child of ours has ended; it is not reaped."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(descriptor, readable)
    return ended


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
