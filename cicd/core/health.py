"""Whether a minion is well, from what it reads of its machine: pure, with hysteresis, so that it does not flap.

A reading is judged by two levels: beyond the limit it is bad, below the release it is good, between the two it is what
it was. A change counts only after it has held for `SETTLE_S`; the very first reading counts at once, so that a minion
that starts on a full disk gets nothing. A self-check is bad after so many failures in a row as its settings say, and
good as soon as it passes; before it has ever passed, one failure is enough, and not to have run at all too.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from cicd.messages.cluster import HealthReason
from cicd.messages.jobhost import CheckState

SETTLE_S = 3.0
"""A change of a reading counts when it has held for so long."""
RELEASE = 0.97
"""What was too much is good again below this part of its limit."""
MAX_REASONS = 20
MAX_TEXT = 200
"""Characters of one reason."""
_CHECK = "check."


class HealthLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is too much; 0: never.

    Attributes:
        disk_percent: of the data folder's disk that is not free.
        memory_percent: of the machine's memory that is not available.
        load_per_cpu: load average of a minute, divided by the number of processors.
        clock_off_s: seconds between this machine's wall clock and the master's.
        checks: how many failures in a row are too many, by self-check.
    """

    disk_percent: float = 0.0
    memory_percent: float = 0.0
    load_per_cpu: float = 0.0
    clock_off_s: float = 0.0
    checks: Mapping[str, int] = {}


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """What a minion reads of its machine at one moment. A total of 0, and None: not known, which is not bad."""

    disk_total_bytes: int = 0
    disk_free_bytes: int = 0
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    load1: float = 0.0
    cpus: int = 0
    clock_off_s: float | None = None


class _Gauge:
    """One reading over time."""

    def __init__(self) -> None:
        self._bad = False
        self._judged = False
        self._changing_s: float | None = None

    def judge(self, value: float, limit: float, now_s: float) -> bool:
        bad = value >= limit or (self._bad and value >= limit * RELEASE)
        if bad == self._bad:
            self._changing_s = None
        elif not self._judged:
            self._bad = bad
        else:
            self._changing_s = now_s if self._changing_s is None else self._changing_s
            if now_s - self._changing_s >= SETTLE_S:
                self._bad = bad
                self._changing_s = None
        self._judged = True
        return self._bad


class HealthJudge:
    """Remembers how readings were, to say whether the minion is well.

    Args:
        limits: what is too much.
    """

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._gauges: dict[str, _Gauge] = {}
        self._checks: dict[str, CheckState] = {}

    def take_checks(self, states: Sequence[CheckState]) -> None:
        """Take in how the self-checks stand."""
        self._checks = {state.name: state for state in states}

    def reasons(self, readings: Readings, now_s: float) -> tuple[HealthReason, ...]:
        """Return why the minion is not well; empty: it is.

        Args:
            readings: of now.
            now_s: the time, on a clock that only goes forward.
        """
        found = [
            HealthReason(source=source, text=text)
            for source, value, limit, text in self._judged(readings)
            if limit and self._gauges.setdefault(source, _Gauge()).judge(value, limit, now_s)
        ]
        for name, most in self._limits.checks.items():
            state = self._checks.get(name)
            if state is None:
                found.append(HealthReason(source=_CHECK + name, text=f"check {name} has not run yet"))
            elif state.failures >= (most if state.passed else 1):
                found.append(HealthReason(source=_CHECK + name, text=f"check {name}: {state.text or 'failed'}"))
        return bounded(found)

    def _judged(self, readings: Readings) -> Iterable[tuple[str, float, float, str]]:
        limits = self._limits
        if readings.disk_total_bytes:
            used = _percent(readings.disk_free_bytes, readings.disk_total_bytes)
            yield "disk", used, limits.disk_percent, f"disk {used:.0f} % full, limit {limits.disk_percent:g} %"
        if readings.memory_total_bytes:
            used = _percent(readings.memory_free_bytes, readings.memory_total_bytes)
            text = f"memory {used:.0f} % in use, limit {limits.memory_percent:g} %"
            yield "memory", used, limits.memory_percent, text
        if readings.cpus:
            each = readings.load1 / readings.cpus
            yield "load", each, limits.load_per_cpu, f"load {each:.1f} per cpu, limit {limits.load_per_cpu:g}"
        if readings.clock_off_s is not None:
            off = readings.clock_off_s
            yield (
                "clock",
                off,
                limits.clock_off_s,
                f"clock {_span(off)} off the master's, limit {limits.clock_off_s:g} s",
            )


def _percent(free: int, total: int) -> float:
    return 100.0 * (1.0 - free / total)


def _span(seconds: float) -> str:
    hour_s, day_s = 3600, 86400
    if seconds >= day_s:
        return f"{seconds / day_s:.0f} d"
    return f"{seconds / hour_s:.1f} h" if seconds >= hour_s else f"{seconds:.0f} s"


def clock_off_s(sent_wall_s: float, received_wall_s: float, master_wall_s: float) -> float:
    """Return by how many seconds, at least, a wall clock differs from the master's.

    The master read its clock at some moment between the sending of a question and the receipt of its answer: what can
    be explained by the time that this took is no difference.

    Args:
        sent_wall_s: this clock when the question was sent.
        received_wall_s: this clock when the answer came.
        master_wall_s: what the answer says.
    """
    return max(0.0, sent_wall_s - master_wall_s, master_wall_s - received_wall_s)


def bounded(reasons: Iterable[HealthReason]) -> tuple[HealthReason, ...]:
    """Return reasons as they may be kept and shown: not too many, not too long, one line each."""
    kept = list(reasons)[:MAX_REASONS]
    return tuple(HealthReason(source=reason.source[:MAX_TEXT], text=_line(reason.text)) for reason in kept)


def _line(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in text[:MAX_TEXT])
    return line.strip() or "unhealthy"


def in_words(reasons: Iterable[HealthReason]) -> str:
    """Return reasons as one text."""
    return "; ".join(reason.text for reason in reasons)
