"""Janitor: keeps the master's disk in order, in small steps beside the work.

Ten times a second it takes one step of a round: of the rules for runs and logs (`run_keeper`), of those for files
(`file_keeper`); and it looks at the disk a little further (`MasterDisk`). When a round is over it rests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
from msgspec import convert
from msgspec.structs import replace

from cicd.actors.base import Actor, Tick
from cicd.actors.crash import Die
from cicd.actors.file_keeper import FileKeeper
from cicd.actors.run_keeper import STEP_RECORDS, RunKeeper
from cicd.actors.store import StoreClient
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.config.master import Retention
from cicd.core.retention import DAY_S, RunRules
from cicd.errors import CicdError
from cicd.messages.base import RunId
from cicd.messages.disk import MasterDisk
from cicd.plugins.child.measure import walk
from cicd.storage import tombstones
from cicd.storage.base import Storage
from cicd.storage.records import Records
from cicd.storage.room import Room

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

TICK_S = 0.1
_LOOK_S = 0.005
"""Of each tick, spent on measuring."""
_LOOK_AGAIN_S = 30.0
_AFTER_ERROR_S = 5.0

_SECTIONS = {
    "store_bytes": "store",
    "logs_bytes": "logs",
    "plugins_bytes": "plugins",
    "sources_bytes": "sources",
    "mirrors_bytes": "repositories",
    "builds_bytes": "builds",
}


class DiskLook:
    """Measures a master's data folder, a little at a time.

    Args:
        data_dir: the folder.
        room: of its disk.
    """

    def __init__(self, data_dir: Path, room: Room, clock: Clock) -> None:
        self._data_dir = data_dir
        self._room = room
        self._clock = clock
        self._walk: Iterator[None] | None = None
        self._due_boot_s = 0.0
        self._last = MasterDisk()

    @property
    def now(self) -> MasterDisk:
        """What was measured last, with what is free now."""
        try:
            total = self._room.total_bytes
            free = self._room.free_bytes
        except OSError:
            return self._last
        return replace(self._last, total_bytes=total, free_bytes=free, reserve_held=self._room.held)

    def go_on(self) -> None:
        """Look for a few milliseconds."""
        if self._walk is None:
            if self._clock.boot_s() < self._due_boot_s:
                return
            self._walk = self._look()
        end = time.monotonic() + _LOOK_S
        while time.monotonic() < end:
            if next(self._walk, self) is self:
                self._walk = None
                self._due_boot_s = self._clock.boot_s() + _LOOK_AGAIN_S
                return

    def _look(self) -> Iterator[None]:
        found = dict.fromkeys((*_SECTIONS, "other_bytes"), 0)
        by_name = {name: section for section, name in _SECTIONS.items()}
        for path in sorted(self._data_dir.iterdir()):
            for size in walk(str(path)):
                found[by_name.get(path.name, "other_bytes")] += size
                yield
        self._last = convert({"measured_s": self._clock.wall_s(), **found}, MasterDisk)


class Janitor(Actor):
    """Carries the rules of retention out.

    Args:
        storage: read through views of its own.
        store: writes.
        data_dir: the master's.
        look: goes on with measuring.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        store: StoreClient,
        clock: Clock,
        data_dir: Path,
        rules: Retention,
        look: DiskLook,
        die: Die,
    ) -> None:
        super().__init__(die)
        self._storage = storage
        self._store = store
        self._clock = clock
        self._rules = rules
        self._look = look
        runs = RunRules(
            runs_keep=rules.runs_keep, runs_age_s=rules.runs_days * DAY_S, logs_age_s=rules.logs_days * DAY_S
        )
        self._runs = RunKeeper(storage, store, clock, logs=data_dir / "logs", rules=runs, protected=self._protected)
        self._files = FileKeeper(
            storage,
            clock,
            data_dir,
            plugins_age_s=rules.plugins_days * DAY_S,
            mirrors_age_s=rules.mirrors_days * DAY_S,
            builds_keep=rules.builds_keep,
            note=lambda deletion: store.commit([tombstones.note(deletion)]),
        )
        self._round: Iterator[None] | None = None
        self._due_boot_s = clock.boot_s()
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Begin."""
        self._ticker = Ticker(self.actor_ref, TICK_S, "janitor")
        self._ticker.start()

    def on_stop(self) -> None:
        """Stop; what is half done is found again at the next start."""
        if self._ticker is not None:
            self._ticker.stop()

    def on_receive(self, message: Any) -> Any:
        """Take a step."""
        if isinstance(message, Tick):
            self._look.go_on()
            self._step()

    def _step(self) -> None:
        now = self._clock.boot_s()
        if self._round is None:
            if now < self._due_boot_s:
                return
            self._round = self._steps()
        try:
            over = next(self._round, self) is self
        except (CicdError, OSError) as error:
            # A full disk, most likely. The next round begins where there is something to do.
            log.warning("janitor.round_failed", error=str(error))
            self._round, self._due_boot_s = None, now + _AFTER_ERROR_S
            return
        if over:
            self._round, self._due_boot_s = None, now + self._rules.every_s

    def _steps(self) -> Iterator[None]:
        yield from self._runs.steps()
        yield from self._files.steps()
        if self._rules.deletions_days:
            before_s = self._clock.wall_s() - self._rules.deletions_days * DAY_S
            while writes := self._old_deletions(before_s):
                self._store.commit(writes)
                yield

    def _old_deletions(self, before_s: float) -> list[Any]:
        with self._storage.snapshot() as view:
            return list(tombstones.forget_deletions(view, before_s, STEP_RECORDS))

    def _protected(self) -> set[RunId]:
        """Return the ended runs that active ones refer to."""
        active = Records(self._storage).active_runs()
        return {run.retry_of for run in active if run.retry_of is not None}
