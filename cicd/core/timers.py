"""Times at which something is to happen to a job or a run: one each, of the master's boot clock.

Kept in memory only: what a restart has to set again stands in the records. There boot times are the master's too: they
are compared with the time now so that a restart of the process changes nothing, and one of the machine, whose clock
begins anew, makes nothing due too early and nothing wait longer than the whole of it again.
"""

import math
from collections.abc import Iterator


class Timers:
    """Due times by the id of a job or a run."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._next = math.inf

    def __iter__(self) -> Iterator[str]:
        return iter(self._due)

    def set(self, key: str, due_boot_s: float) -> None:
        """Set when something is due; an earlier word on it is forgotten."""
        self._due[key] = due_boot_s
        self._next = min(self._next, due_boot_s)

    def drop(self, key: str) -> None:
        """Nothing is due any more. Not set: nothing."""
        self._due.pop(key, None)

    def left_s(self, key: str, now_boot_s: float) -> float:
        """Return the seconds until something that is set is due, 0 or more."""
        return max(0.0, self._due[key] - now_boot_s)

    def take(self, now_boot_s: float) -> list[str]:
        """Return what is due, earliest first, and forget it."""
        if now_boot_s < self._next:
            return []
        due = sorted((when, key) for key, when in self._due.items() if when <= now_boot_s)
        for _, key in due:
            del self._due[key]
        self._next = min(self._due.values(), default=math.inf)
        return [key for _, key in due]
