"""A cable between one dialer and one listener, without sockets: it can lose frames, and be pulled."""

from __future__ import annotations

from collections.abc import Callable

from cicd.actors.base import Inbox
from cicd.actors.minion import LinkNews
from cicd.clock import SystemClock
from cicd.transport.base import Counters, Delivery, LinkState, OnBatch, OnDeath, OnFrames, OnLink, OnPeer, PeerId

PEER = PeerId(b"peer")


class Cable:
    """Both ends of a connection.

    Args:
        up: where the listener's deliveries go.
        down: where the dialer's frames and link news go.
        loses: asked for every frame, with its direction and number; True: it is lost.
    """

    def __init__(
        self, up: Inbox[object], down: Inbox[object], loses: Callable[[str, int], bool] = lambda _d, _n: False
    ) -> None:
        self._up = up
        self._down = down
        self._loses = loses
        self._count = 0
        self.dialer = _DialerEnd(self)
        self.listener = _ListenerEnd(self)
        self.plugged = False

    def plug(self) -> None:
        self.plugged = True
        self._down.put([LinkNews(LinkState.CONNECTED, "cable")])

    def pull(self) -> None:
        self.plugged = False
        self._down.put([LinkNews(LinkState.DISCONNECTED, "cable")])

    def _passes(self, direction: str) -> bool:
        self._count += 1
        return self.plugged and not self._loses(direction, self._count)

    def carry_up(self, frame: bytes) -> None:
        if self._passes("up"):
            self._up.put([Delivery(PEER, "user", frame, SystemClock().boot_s())])

    def carry_down(self, frame: bytes) -> None:
        if self._passes("down"):
            self._down.put([frame])


class _DialerEnd:
    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self.counters = Counters()

    def start(self, on_frames: OnFrames, on_link: OnLink, on_death: OnDeath) -> None:
        """The cable needs no start."""

    def send(self, frame: bytes, *, urgent: bool = False) -> None:
        self._cable.carry_up(frame)

    def close(self) -> None:
        """Nothing to close."""


class _ListenerEnd:
    address = "memory://cable"

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self.counters = Counters()

    def start(self, on_batch: OnBatch, on_peer: OnPeer, on_death: OnDeath) -> None:
        """The cable needs no start."""

    def send(self, peer: PeerId, frame: bytes) -> None:
        self._cable.carry_down(frame)

    def close(self) -> None:
        """Nothing to close."""
