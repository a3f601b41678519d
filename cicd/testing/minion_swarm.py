"""Many minions in one process, without jobhosts: they enrol, join, beat and come back as real ones do, and run nothing.

    python -m cicd.testing.minion_swarm --control ADDRESS --enrol ADDRESS --token-file FILE --folder FOLDER \
        --prefix NAME --count 100

It is the agent's own core and the real sockets that speak. Prints `joined` once all were welcomed, and ends when its
stdin does.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cicd.actors.joining import Joining
from cicd.clock import Clock, SystemClock
from cicd.codec import Codec
from cicd.config.types import Log
from cicd.core.agent.agent import Agent
from cicd.core.agent.steps import BeatNow, Joined, Link, LinkChanged, ToHost, ToMaster
from cicd.logs import set_up_logs
from cicd.messages.base import MinionId, Wire
from cicd.messages.jobhost import LOCAL_VERSION, Fence, FenceDone, HostHello, Pulse
from cicd.messages.minion import TO_MINION, Hello
from cicd.transport.base import LinkState
from cicd.transport.token import JoinToken
from cicd.transport.zmq_transport import ZmqTransport

_PERIOD_S = 1.0


class SwarmMinion:
    """One minion: an agent's core on a real connection.

    Args:
        joining: gets its keys.
        control: the master's control address.
    """

    def __init__(
        self, transport: ZmqTransport, joining: Joining, *, token: JoinToken, control: str, hello: Hello, clock: Clock
    ) -> None:
        self._clock = clock
        self._codec = Codec(TO_MINION)
        self._lock = threading.Lock()
        self._agent = Agent(hello, clock.boot_s())
        self.welcomed = threading.Event()
        self._dialer = transport.dialer(control, token.server_public, joining.keys())
        self._handle(HostHello(version=LOCAL_VERSION, session=0))
        self._dialer.start(self._frames, self._link, lambda _error: None)

    def beat(self) -> None:
        """It is time for a heartbeat."""
        self._handle(Pulse(boot_s=self._clock.boot_s()))
        self._handle(BeatNow())

    def close(self) -> None:
        """End, without a goodbye."""
        self._dialer.close()

    def _frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._handle(self._codec.decode(frame))

    def _link(self, state: LinkState, detail: str) -> None:
        self._handle(LinkChanged(Link.UP if state is LinkState.CONNECTED else Link.DOWN, detail))

    def _handle(self, item: LinkChanged | BeatNow | Wire) -> None:
        with self._lock:
            steps = self._agent.handle(item, self._clock.boot_s())
            for step in steps:
                match step:
                    case ToMaster(message, urgent):
                        self._dialer.send(self._codec.encode(message), urgent=urgent)
                    case Joined():
                        self.welcomed.set()
        if any(isinstance(step, ToHost) and isinstance(step.message, Fence) for step in steps):
            self._handle(FenceDone(entries=()))  # nothing runs that had to be ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the swarm; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cicd.testing.minion_swarm")
    for name in ("control", "enrol", "prefix"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args(arguments)
    set_up_logs(Log(level="error"), role="swarm")
    clock = SystemClock()
    token = JoinToken.parse(options.token_file.read_text())
    transport = ZmqTransport(clock)
    swarm: list[SwarmMinion] = []
    for number in range(options.count):
        name = f"{options.prefix}{number}"
        hello = Hello(minion=MinionId(f"id-{name}"), name=name, hostname="swarm", version="0", platform="p", slots=1)
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        joining = Joining(
            transport,
            token,
            control=options.control,
            enrol=options.enrol,
            hello=hello,
            folder=folder,
            clock=clock,
            over=_end_with_stdin,
        )
        swarm.append(SwarmMinion(transport, joining, token=token, control=options.control, hello=hello, clock=clock))
    told = False
    while not select.select([sys.stdin], [], [], _PERIOD_S)[0]:
        for minion in swarm:
            minion.beat()
        if not told and all(minion.welcomed.is_set() for minion in swarm):
            told = True
            print("joined", flush=True)  # noqa: T201  that is what is waited for
    for minion in swarm:
        minion.close()
    transport.close()
    return 0


def _end_with_stdin() -> bool:
    if select.select([sys.stdin], [], [], 0)[0]:
        os._exit(0)  # the sockets of those that have joined are of no use
    return False


if __name__ == "__main__":
    sys.exit(main())
