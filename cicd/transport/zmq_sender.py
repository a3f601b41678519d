"""The way out of a ROUTER: one queue into it from any thread, a bounded backlog for each peer that reads slowly.

What ZeroMQ does not take (its own short queue for the peer is full) waits in the backlog and is tried again after 2 ms,
later less often: a ROUTER cannot say that one of its peers has become writable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

import zmq

from cicd.codec import FRAME_LIMIT_BYTES
from cicd.transport.base import Counters, PeerId, PeerState

QUEUE_FRAMES = 1000
QUEUE_BYTES = 8 * 1024 * 1024

_RETRY_S = (0.002, 0.05)
"""Shortest and longest time until a backlog is tried again."""
_OUTBOX_FACTOR = 64
"""The queue that all peers share holds this many times the backlog of one."""


@dataclass(slots=True)
class _Backlog:
    frames: deque[bytes] = field(default_factory=deque)
    size_bytes: int = 0


class _Sent(Enum):
    YES = auto()
    GONE = auto()
    LATER = auto()


class Sender:
    """All but `put` belongs to the listener's thread.

    Args:
        socket: the ROUTER.
        counters: of the listener.
        is_known: whether a peer is connected and heard.
        on_sent: told of each frame that ZeroMQ took.
        on_lost: told when a frame was dropped because its peer is gone or slow.
        limit: most frames of a backlog.
        limit_bytes: most bytes of a backlog.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        counters: Counters,
        *,
        is_known: Callable[[PeerId], bool],
        on_sent: Callable[[PeerId, bytes], None] | None,
        on_lost: Callable[[PeerId, PeerState], None],
        limit: int = QUEUE_FRAMES,
        limit_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._socket = socket
        self._counters = counters
        self._is_known = is_known
        self._on_sent = on_sent
        self._on_lost = on_lost
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._outbox: deque[tuple[PeerId, bytes]] = deque()
        self._overflow: deque[PeerId] = deque(maxlen=limit)
        self._backlogs: dict[PeerId, _Backlog] = {}
        self._pause_s = _RETRY_S[0]
        self._retry_s = 0.0

    def put(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame; from any thread."""
        if len(self._outbox) < self._limit * _OUTBOX_FACTOR:
            self._outbox.append((peer, frame))
        else:
            self._overflow.append(peer)

    @property
    def has_work(self) -> bool:
        """Whether there is something to do now."""
        return bool(self._outbox or self._overflow)

    @property
    def retry_s(self) -> float | None:
        """When `run` is due again, CLOCK_BOOTTIME; None: no backlog waits."""
        return self._retry_s if self._backlogs else None

    def run(self, now_s: float) -> None:
        """Send what can be sent without blocking."""
        if self._backlogs and now_s >= self._retry_s:
            self._retry(now_s)
        for _ in range(len(self._outbox)):
            self._offer(*self._outbox.popleft(), now_s)
        while self._overflow:
            self._drop_slow(self._overflow.popleft())

    def forget(self, peer: PeerId) -> None:
        """Drop what waits for a peer that is gone."""
        backlog = self._backlogs.pop(peer, None)
        if backlog is not None:
            self._counters.dropped_gone += len(backlog.frames)

    def _offer(self, peer: PeerId, frame: bytes, now_s: float) -> None:
        if len(frame) > FRAME_LIMIT_BYTES:
            self._counters.extra["dropped_oversize"] = self._counters.extra.get("dropped_oversize", 0) + 1
            return
        if not self._is_known(peer):
            # ZeroMQ may not have noticed yet that it is gone, and would take the frame and lose it.
            self._drop_gone(peer)
            return
        backlog = self._backlogs.get(peer)
        if backlog is None and self._send(peer, frame) is _Sent.LATER:
            backlog = self._backlogs[peer] = _Backlog()
            self._pause_s = _RETRY_S[0]
            self._retry_s = now_s + self._pause_s
        if backlog is None:
            return
        if len(backlog.frames) >= self._limit or backlog.size_bytes + len(frame) > self._limit_bytes:
            self._drop_slow(peer)
            return
        backlog.frames.append(frame)
        backlog.size_bytes += len(frame)

    def _retry(self, now_s: float) -> None:
        moved = False
        for peer, backlog in list(self._backlogs.items()):
            while backlog.frames:
                frame = backlog.frames.popleft()
                sent = self._send(peer, frame)
                if sent is _Sent.LATER:
                    backlog.frames.appendleft(frame)
                if sent is not _Sent.YES:
                    break
                backlog.size_bytes -= len(frame)
                moved = True
            else:
                del self._backlogs[peer]
        self._pause_s = _RETRY_S[0] if moved else min(self._pause_s * 2, _RETRY_S[1])
        self._retry_s = now_s + self._pause_s

    def _send(self, peer: PeerId, frame: bytes) -> _Sent:
        try:
            self._socket.send(peer, zmq.SNDMORE | zmq.NOBLOCK)
        except zmq.Again:
            return _Sent.LATER
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._drop_gone(peer)
            return _Sent.GONE
        self._socket.send(frame, zmq.NOBLOCK)
        self._counters.sent += 1
        if self._on_sent is not None:
            self._on_sent(peer, frame)
        return _Sent.YES

    def _drop_gone(self, peer: PeerId) -> None:
        self._counters.dropped_gone += 1
        self._on_lost(peer, PeerState.GONE)

    def _drop_slow(self, peer: PeerId) -> None:
        self._counters.dropped_slow += 1
        self._on_lost(peer, PeerState.SLOW)
