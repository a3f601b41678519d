"""One attempt of a dialer to reach its listener: a fresh socket, its monitor, and what became of it.

A new socket for every attempt, so that nothing of an old connection is left in a queue and the time between attempts
is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

import zmq

from cicd.transport.curve import KeyPair
from cicd.transport.zmq_monitor import Monitor
from cicd.transport.zmq_options import CONNECT_MS, HANDSHAKE_MS, harden_dialer

ATTEMPT_S = (CONNECT_MS + HANDSHAKE_MS) / 1000 + 1.0
"""An attempt that has come to nothing by then is given up; ZeroMQ's own limits should have ended it before."""

_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)


class LinkEnd(Enum):
    """How an attempt or a connection ended."""

    UNREACHABLE = auto()
    """Nobody listens there."""
    HANDSHAKE = auto()
    """Somebody listens, but no handshake came about."""
    REFUSED = auto()
    """The listener knows our key and denies it, or does not know it."""
    BROKEN = auto()
    """It was connected."""


_MEANINGS: dict[int, LinkEnd] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: LinkEnd.REFUSED,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: LinkEnd.HANDSHAKE,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: LinkEnd.HANDSHAKE,
}


class Link:
    """A DEALER that connects once.

    Args:
        context: to make the socket in.
        address: of the listener.
        server_public: the key that the listener must prove, z85.
        keys: our own.

    Raises:
        zmq.ZMQError: the address is malformed.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, server_public: str, keys: KeyPair
    ) -> None:
        self.connected = False
        self.socket = context.socket(zmq.DEALER)
        self.monitor = Monitor(context, self.socket, _EVENTS)
        try:
            harden_dialer(self.socket, server_public, keys)
            self.socket.connect(address)
        except BaseException:
            self.close(0)
            raise

    def events(self) -> Iterator[LinkEnd | None]:
        """Yield None when the handshake has succeeded; then or instead how the link ended: it is of no use any more."""
        end: LinkEnd | None = None
        for event, _ in self.monitor.drain():
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.connected = True
                yield None
            elif event in _MEANINGS:
                end = _MEANINGS[event]
            elif event in {zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED}:  # always the last
                yield end or (LinkEnd.BROKEN if self.connected else LinkEnd.UNREACHABLE)
                return
        if end is not None:
            yield end

    def close(self, linger_ms: int) -> None:
        """Release the socket; what is queued is tried for `linger_ms`. Again: nothing."""
        self.monitor.close_both(linger_ms)
