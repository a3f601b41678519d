"""A flag that goes up once and can be waited for; what `ctx.cancelled` is."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


class Latch:
    """Like `threading.Event`, but may be set from a signal's handler in whatever the main thread is doing.

    `threading.Event.set` takes a lock that the interrupted thread may hold; this one only ever releases.

    Args:
        seen: called whenever somebody is told that the flag is up.
        guard: entered while somebody waits.
    """

    __slots__ = ("_guard", "_lock", "_seen", "_up")

    def __init__(
        self, seen: Callable[[], None] = lambda: None, guard: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._lock = _thread.allocate_lock()
        self._lock.acquire()
        self._up = False
        self._seen = seen
        self._guard = guard

    def set(self) -> None:
        """Raise the flag."""
        if not self._up:
            self._up = True
            self._lock.release()

    def peek(self) -> bool:
        """Tell whether the flag is up, without that counting as told."""
        return self._up

    def is_set(self) -> bool:
        """Tell whether the flag is up."""
        if self._up:
            self._seen()
        return self._up

    __bool__ = is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is up, or for `timeout` seconds; tell whether it is up."""
        with self._guard():
            if self._lock.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
                self._lock.release()
            return self.is_set()
