"""How times, sizes and states are said to people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cicd.messages.run import JobRecord

_KIB = 1024.0
_MINUTE_S = 60
_SHORT_S = 10
"""Below this, hundredths are shown."""

STYLES = {
    "succeeded": "green",
    "ready": "green",
    "failed": "red",
    "timed_out": "red",
    "poisoned": "red",
    "lost": "red",
    "unknown": "magenta",
    "running": "cyan",
    "assigned": "cyan",
    "building": "cyan",
    "queued": "yellow",
    "waiting": "yellow",
    "backoff": "yellow",
    "joining": "yellow",
    "suspect": "yellow",
    "suspended": "yellow",
    "draining": "yellow",
    "unhealthy": "red",
    "left": "dim",
    "cancelled": "yellow",
    "skipped": "dim",
    "revoked": "dim",
    "expired": "dim",
    "used": "dim",
}
"""How a state looks on a terminal."""


_FAILURES = frozenset({"failed", "timed_out", "poisoned"})


def is_allowed(job: JobRecord) -> bool:
    """Return whether a job has failed and was allowed to."""
    return job.allow_failure and job.state.value in _FAILURES


def style(state: str) -> str:
    """Return how a state looks; the first word counts."""
    return STYLES.get(state.partition(" ")[0].rstrip(",:"), "")


def moment(wall_s: float) -> str:
    """Return a wall time as ISO 8601 in UTC, to the second; `-` for none."""
    if wall_s <= 0:
        return "-"
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(wall_s: float, now_s: float) -> str:
    """Return how long ago a wall time was; `-` for none."""
    if wall_s <= 0:
        return "-"
    passed_s = now_s - wall_s
    if passed_s < 1.0:
        return "just now"
    return f"{duration(passed_s, whole=True)} ago"


def duration(seconds: float, *, whole: bool = False) -> str:
    """Return a duration with two significant units: 0.42 s, 12.3 s, 4 min 05 s, 3 h 07 min, 2 d 04 h."""
    if seconds < _MINUTE_S and not whole:
        return f"{seconds:.2f} s" if seconds < _SHORT_S else f"{seconds:.1f} s"
    total = int(seconds)
    for unit, name, smaller, smaller_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if total >= unit:
            first, rest = divmod(total, unit)
            return f"{first} {name}" if whole else f"{first} {name} {rest // smaller:02d} {smaller_name}"
    return f"{total} s"


def between(start_s: float, end_s: float) -> str:
    """Return the duration between two wall times; `-` while one of them has not been."""
    return duration(max(0.0, end_s - start_s)) if start_s > 0 and end_s > 0 else "-"


def size(number: int) -> str:
    """Return bytes in the unit that fits."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIB:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _KIB
    return f"{value:.1f} TiB"


def count(number: int, noun: str) -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
