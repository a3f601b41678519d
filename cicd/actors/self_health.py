"""How well this minion is: gathers what the judge in the core needs, and says in the log when the verdict changes."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cicd.clock import Clock
from cicd.core.health import HealthJudge, HealthLimits, Readings, bounded, clock_off_s, in_words
from cicd.messages.cluster import HealthReason, Load
from cicd.messages.jobhost import Checks
from cicd.messages.minion import Beat, BeatAck

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class SelfHealth:
    """The verdict on this minion, for its heartbeats.

    Args:
        limits: what is too much.
        memory_total_bytes: of this machine; 0: not known.
        cpus: of this machine; 0: not known.
        beside: returns reasons that others have found.
    """

    def __init__(
        self,
        limits: HealthLimits,
        clock: Clock,
        *,
        memory_total_bytes: int = 0,
        cpus: int = 0,
        beside: Callable[[], tuple[HealthReason, ...]] = tuple,
    ) -> None:
        self._beside = beside
        self._judge = HealthJudge(limits)
        self._clock = clock
        self._memory_total_bytes = memory_total_bytes
        self._cpus = cpus
        self._off_s: float | None = None
        self._beat: tuple[int, int, float] = (0, 0, 0.0)
        self._sources: tuple[str, ...] = ()

    def sent(self, beat: Beat) -> None:
        """A heartbeat is on its way: its answer will say what time it is on the master."""
        self._beat = (beat.session, beat.seq, self._clock.wall_s())

    def hear(self, message: object) -> None:
        """Take in what the jobhost says of checks, and the master of the time."""
        if isinstance(message, Checks):
            self._judge.take_checks(message.states)
        elif isinstance(message, BeatAck) and message.wall_s:
            session, seq, sent_wall_s = self._beat
            if (message.session, message.seq) == (session, seq):
                self._off_s = clock_off_s(sent_wall_s, self._clock.wall_s(), message.wall_s)

    def reasons(self, load: Load) -> tuple[HealthReason, ...]:
        """Return why this minion is not well; empty: it is.

        Args:
            load: as it was measured just now.
        """
        readings = Readings(
            disk_total_bytes=load.disk.total_bytes,
            disk_free_bytes=load.disk.free_bytes,
            memory_total_bytes=self._memory_total_bytes,
            memory_free_bytes=load.memory_free_bytes,
            load1=load.load1,
            cpus=self._cpus,
            clock_off_s=self._off_s,
        )
        reasons = bounded((*self._judge.reasons(readings, self._clock.boot_s()), *self._beside()))
        sources = tuple(reason.source for reason in reasons)
        if sources != self._sources:
            self._sources = sources
            if reasons:
                log.warning("minion.unhealthy", why=in_words(reasons), effect="no new jobs")
            else:
                log.info("minion.healthy")
        return reasons
