"""Which connection speaks for which minion: written by the Scheduler's and the registry's threads, read by both."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cicd.messages.base import MinionId
from cicd.transport.base import PeerId


class Routes:
    """A two-way table. A minion has at most one connection: the newest that was bound.

    Args:
        name_peer: told whose connection it is, for the taps; an empty name forgets it.
    """

    def __init__(self, name_peer: Callable[[bytes, str], None]) -> None:
        self._name_peer = name_peer
        self._lock = threading.Lock()
        self._peer_of: dict[MinionId, PeerId] = {}
        self._minion_of: dict[PeerId, MinionId] = {}

    def bind(self, minion: MinionId, peer: PeerId, name: str) -> None:
        """Let a connection speak for a minion; an older one no longer does."""
        with self._lock:
            old = self._peer_of.get(minion)
            if old is not None:
                self._minion_of.pop(old, None)
            self._peer_of[minion] = peer
            self._minion_of[peer] = minion
        self._name_peer(peer, name)

    def unbind(self, peer: PeerId) -> MinionId | None:
        """Forget a connection; return the minion that it spoke for, if it was the one that does."""
        with self._lock:
            minion = self._minion_of.pop(peer, None)
            if minion is not None and self._peer_of.get(minion) == peer:
                del self._peer_of[minion]
        self._name_peer(peer, "")
        return minion

    def forget(self, minion: MinionId) -> None:
        """Let no connection speak for a minion any more."""
        with self._lock:
            peer = self._peer_of.pop(minion, None)
            if peer is not None:
                self._minion_of.pop(peer, None)
        if peer is not None:
            self._name_peer(peer, "")

    def peer_of(self, minion: MinionId) -> PeerId | None:
        """Return the connection of a minion."""
        return self._peer_of.get(minion)

    def minion_of(self, peer: PeerId) -> MinionId | None:
        """Return the minion that a connection speaks for."""
        return self._minion_of.get(peer)
