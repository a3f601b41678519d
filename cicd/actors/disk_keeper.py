"""DiskKeeper: what the agent does with the jobhost's reports of the disk: tell the master, and keep the cache small.

Reports come once a second, on the local link's thread; heartbeats carry one only when it says something new, or every
`REPEAT_S`. What of the cache goes is decided in `core.retention`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from msgspec.structs import replace

from cicd.actors.blob_cache import BlobCache
from cicd.clock import Clock
from cicd.core.retention import CacheRules, cache_to_drop, over_quota
from cicd.messages.base import Digest
from cicd.messages.bulk import BlobKind
from cicd.messages.cluster import HealthReason, Load
from cicd.messages.disk import Deletion, DiskUse
from cicd.messages.jobhost import DiskReport

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

REPEAT_S = 10.0
_DELETIONS = 5


class DiskKeeper:
    """Of one minion.

    Args:
        cache: on which `keep` is called by the thread that uses it.
        rules: what the cache may take.
        clock: both times.
    """

    def __init__(self, cache: BlobCache, rules: CacheRules, clock: Clock) -> None:
        self._cache = cache
        self._rules = rules
        self._clock = clock
        self._lock = threading.Lock()
        self._use: DiskUse | None = None
        self._told: DiskUse | None = None
        self._told_boot_s = 0.0
        self._deletions: tuple[Deletion, ...] = ()

    def take(self, report: DiskReport) -> None:
        """Take in a report, from any thread."""
        with self._lock:
            self._use = report.use

    def filling(self, measure: Callable[[], Load]) -> Callable[[], Load]:
        """Return how to measure the machine with what it keeps, where that is worth telling."""

        def measured() -> Load:
            return replace(measure(), use=self._news())

        return measured

    def reasons(self) -> tuple[HealthReason, ...]:
        """Return that the minion keeps more than it may, if its cache could not give way far enough."""
        with self._lock:
            use = self._use
        why = over_quota(use.total_bytes, self._rules.total_bytes) if use is not None else ""
        return (HealthReason(source="quota", text=why),) if why else ()

    def keep(self, report: DiskReport, wanted: set[Digest]) -> None:
        """Let go of what the rules say; `wanted`: what attempts are about to begin with."""
        now = self._clock.wall_s()
        needed = wanted.union(report.needed)
        for item, why in cache_to_drop(report.cached, needed, report.use.total_bytes, now, self._rules):
            if self._cache.drop(BlobKind(item.kind), item.digest):
                log.info("disk.deleted", kind=item.kind, name=item.digest, reason=why, bytes=item.size_bytes)
                done = Deletion(at_s=now, kind=item.kind, name=item.digest[:12], reason=why, size_bytes=item.size_bytes)
                with self._lock:
                    self._deletions = (done, *self._deletions)[:_DELETIONS]

    def _news(self) -> DiskUse | None:
        now = self._clock.boot_s()
        with self._lock:
            if self._use is None:
                return None
            deletions = sorted((*self._use.deletions, *self._deletions), key=lambda one: -one.at_s)[:_DELETIONS]
            use = replace(self._use, deletions=tuple(deletions))
            same = self._told is not None and replace(use, measured_s=0.0) == replace(self._told, measured_s=0.0)
            if same and now - self._told_boot_s < REPEAT_S:
                return None
            self._told, self._told_boot_s = use, now
            return use
