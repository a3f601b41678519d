"""The contract of every transport: a listener that many peers reach, and a dialer that reaches one listener.

Both own a thread (the "socket loop") that is the only one to touch the socket. What arrives is handed over in batches
to a callback on that thread, which must be quick: typically it appends to an inbox and wakes an actor. `send` may be
called from any thread; it never blocks: it puts the frame into a bounded queue of its peer. Delivery is at most once
and in order per peer while a connection lasts; everything stronger (acks, sessions) is built above.

One frame is one message, `bytes`, at most `cicd.codec.FRAME_LIMIT_BYTES`. Longer frames never arrive: their sender is
disconnected or they are dropped and counted. Messages of several parts are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, Protocol

PeerId = NewType("PeerId", bytes)
"""Names one connection of a listener; random, never reused, meaningless elsewhere."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A frame that arrived.

    Attributes:
        user: who the peer is, as its key proved: the token's or operator's id.
        received_boot_s: CLOCK_BOOTTIME when the socket loop read it.
    """

    peer: PeerId
    user: str
    frame: bytes
    received_boot_s: float


class PeerState(StrEnum):
    """What became of a connection."""

    GONE = "gone"
    """The peer cannot be reached: its connection ended, or a frame for it found no route."""
    SLOW = "slow"
    """Its queue was full: the frame was dropped."""


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """News about a peer of a listener."""

    peer: PeerId
    state: PeerState


class LinkState(StrEnum):
    """What a dialer knows of its connection."""

    CONNECTED = "connected"
    """The handshake succeeded: frames can pass."""
    DISCONNECTED = "disconnected"
    REFUSED = "refused"
    """The listener denied our key. The dialer goes on trying."""


@dataclass(slots=True)
class Counters:
    """What a socket has seen since it was opened."""

    received: int = 0
    sent: int = 0
    dropped_multipart: int = 0
    dropped_slow: int = 0
    dropped_gone: int = 0
    denied: int = 0
    extra: dict[str, int] = field(default_factory=dict)


Batch = Sequence[Delivery]
OnBatch = Callable[[Batch], None]
OnPeer = Callable[[PeerEvent], None]
OnFrames = Callable[[Sequence[bytes]], None]
OnLink = Callable[[LinkState, str], None]
"""The state and, for people, a detail such as the address."""
OnDeath = Callable[[BaseException], None]
"""The socket loop died of this: end the process."""


class Listener(Protocol):
    """Many peers reach it."""

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        ...

    @property
    def counters(self) -> Counters:
        """What it has seen."""
        ...

    def start(self, on_batch: OnBatch, on_peer: OnPeer, on_death: OnDeath) -> None:
        """Begin to accept. The callbacks run on the socket loop's thread. Called once."""
        ...

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame for a peer. If it is gone or slow, an event says so and the frame is dropped."""
        ...

    def cut(self, user: str) -> None:
        """End every connection of a user that has said anything; it is told as their end. Not awaited."""
        ...

    def close(self) -> None:
        """Stop the loop, drop what is queued after at most a second's try to send it. Again: nothing."""
        ...


class Dialer(Protocol):
    """Reaches one listener, reconnecting by itself with full jitter between 0.1 and 10 s."""

    @property
    def counters(self) -> Counters:
        """What it has seen."""
        ...

    def start(self, on_frames: OnFrames, on_link: OnLink, on_death: OnDeath) -> None:
        """Begin to connect. The callbacks run on the socket loop's thread. Called once."""
        ...

    def send(self, frame: bytes, *, urgent: bool = False) -> None:
        """Queue a frame; `urgent` ones (heartbeats) overtake the others. While disconnected, frames are dropped."""
        ...

    def close(self) -> None:
        """As `Listener.close`."""
        ...
