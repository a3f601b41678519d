"""A clock that stands still until it is told to move."""

from __future__ import annotations

import threading


class FakeClock:
    """A `cicd.clock.Clock` for tests. Safe to read from several threads.

    Args:
        boot_s: seconds since the machine started.
        wall_s: seconds since the Unix epoch; the default is a Monday in 2026.
    """

    def __init__(self, boot_s: float = 1000.0, wall_s: float = 1_767_600_000.0) -> None:
        self._boot_s = boot_s
        self._wall_s = wall_s
        self._lock = threading.Lock()

    def boot_s(self) -> float:
        """Return seconds since the machine started."""
        with self._lock:
            return self._boot_s

    def wall_s(self) -> float:
        """Return seconds since the Unix epoch."""
        with self._lock:
            return self._wall_s

    def advance(self, seconds: float) -> None:
        """Let time pass: both clocks go on by `seconds`.

        Raises:
            ValueError: `seconds` is negative; boot time never goes back (the wall clock does: `set_wall`).
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds} s; a wall clock that is set back is set_wall()")
        with self._lock:
            self._boot_s += seconds
            self._wall_s += seconds

    def set_wall(self, wall_s: float) -> None:
        """Set the wall clock, forward or back, as an administrator or NTP may; boot time is not touched."""
        with self._lock:
            self._wall_s = wall_s
