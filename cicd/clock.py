"""The only place that reads a clock.

Two kinds of time are kept apart: boot time (monotonic, counts while the machine sleeps) decides leases, timeouts and
order; wall time is shown to people and decides nothing.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both times, in seconds."""

    def boot_s(self) -> float:
        """Seconds since the machine started, sleep included. Comparable between processes of one machine."""
        ...

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clocks."""

    def boot_s(self) -> float:
        """Return CLOCK_BOOTTIME in seconds."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_s(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()  # noqa: TID251  this file owns the clock
