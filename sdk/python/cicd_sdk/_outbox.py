"""Events on their way from the job's thread to the thread that owns the sockets, never more of them than a little."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_MAX_WAITING = 1024 * 1024


class Outbox:
    """A bounded queue of encoded events with one writer, one reader and an end.

    Args:
        wake: called after a put, to make the reader look.
        hurry: tells whether the writer must not wait, since it has been asked to stop.
    """

    def __init__(self, wake: Callable[[], None], hurry: Callable[[], bool]) -> None:
        self._wake = wake
        self._hurry = hurry
        self._events: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, event: bytes, *, force: bool = False) -> None:
        """Add an event; waits while too much waits already. Dropped when nobody reads any more.

        Args:
            event: its bytes.
            force: do not wait.
        """
        with self._changed:
            self._changed.wait_for(lambda: force or self._closed or self._size < _MAX_WAITING or self._hurry())
            if self._closed:
                return
            self._events.append(event)
            self._size += len(event)
        self._wake()

    def take(self) -> bytes | None:
        """Return the next event, or None."""
        with self._changed:
            if not self._events:
                return None
            event = self._events.popleft()
            self._size -= len(event)
            self._changed.notify_all()
            return event

    def close(self) -> None:
        """Nobody reads any more."""
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()

    def nudge(self) -> None:
        """Make a writer that waits ask again whether it must hurry."""
        with self._changed:
            self._changed.notify_all()
