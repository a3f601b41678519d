"""Retention of runs and of their logs, step by step: each step is one small commit or some files.

No walk begins at the newest end or goes through what stays: runs sort by time and are taken from the oldest end, up to
the first that is too young for any rule; those of one pipeline by number, up to the number that is kept. The walk for
logs, whose runs may stay for ever, remembers in the store how far it has come; the few it had to pass by (they had not
ended) are kept in an index and looked at again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from cicd.actors.store import StoreClient
from cicd.clock import Clock
from cicd.core.retention import RunRules, logs_expired, run_expired
from cicd.messages.base import PipelineId, RunId
from cicd.messages.disk import Deletion
from cicd.messages.run import RunRecord
from cicd.storage import keys, tombstones
from cicd.storage.base import Storage, Write
from cicd.storage.records import Records

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STEP_RECORDS = 200
"""Most records that one step deletes."""
_PAGE = 50
_LOGS = "logs"


class RunKeeper:
    """Deletes runs and logs by rule.

    Args:
        storage: read through views of its own.
        store: writes.
        logs: the folder `logs`.
        protected: returns runs that must stay, whatever the rules say, beside active ones.
    """

    def __init__(
        self,
        storage: Storage,
        store: StoreClient,
        clock: Clock,
        *,
        logs: Path,
        rules: RunRules,
        protected: Callable[[], set[RunId]],
    ) -> None:
        self._storage = storage
        self._store = store
        self._clock = clock
        self._logs = logs
        self._rules = rules
        self._protected = protected

    def steps(self) -> Iterator[None]:
        """Carry the rules out once; each `next` is one small step."""
        with self._storage.snapshot() as view:
            dying = tombstones.dying_runs(view, _PAGE)
        for run in dying:
            yield from self._rest_of(run)
        protected = self._protected()
        if self._rules.runs_keep:
            yield from self._by_number(protected)
        if self._rules.runs_age_s:
            yield from self._by_age(protected)
        if self._rules.logs_age_s:
            yield from self._old_logs()
            yield from self._passed_logs()

    # ---- runs

    def _by_number(self, protected: set[RunId]) -> Iterator[None]:
        after = ""
        while True:
            with self._storage.snapshot() as view:
                pipelines = Records(view).pipelines(after, _PAGE)
            yield
            for pipeline in pipelines:
                yield from self._oldest_of(pipeline.id, protected)
            if not pipelines:
                return
            after = pipelines[-1].name

    def _oldest_of(self, pipeline: PipelineId, protected: set[RunId]) -> Iterator[None]:
        newest = self._newest(pipeline)
        start, last = 0, newest - self._rules.runs_keep
        while start <= last:
            with self._storage.snapshot() as view:
                page = view.range(
                    keys.pipeline_run(pipeline, start), keys.pipeline_run(pipeline, last + 1), limit=_PAGE
                )
                runs = [run for _, id_ in page if (run := Records(view).run(RunId(id_.decode()))) is not None]
            for run in runs:
                yield from self._judge(run, newest, protected)
            if len(page) < _PAGE:
                return
            start = runs[-1].number + 1

    def _by_age(self, protected: set[RunId]) -> Iterator[None]:
        after: RunId | None = None
        while True:
            with self._storage.snapshot() as view:
                runs = tombstones.runs_after(view, after, _PAGE)
            yield
            for run in runs:
                if self._clock.wall_s() - run.created_s < self._rules.runs_age_s:
                    return
                yield from self._judge(run, self._newest(run.pipeline), protected)
            if not runs:
                return
            after = runs[-1].id

    def _newest(self, pipeline: PipelineId) -> int:
        last = Records(self._storage).last_run(pipeline)
        return last.number if last is not None else 0

    def _judge(self, run: RunRecord, newest: int, protected: set[RunId]) -> Iterator[None]:
        now = self._clock.wall_s()
        why = run_expired(run, newest, now, self._rules) if run.id not in protected else ""
        if not why:
            return
        name = f"{run.pipeline_name}#{run.number}"
        deletion = Deletion(at_s=now, kind="run", name=name, reason=why, size_bytes=self._size_of(run.id))
        self._store.commit(tombstones.begin_run(run, deletion))
        log.info("disk.deleted", kind="run", name=name, run=run.id, reason=why, bytes=deletion.size_bytes)
        yield from self._rest_of(run.id)

    def _rest_of(self, run: RunId) -> Iterator[None]:
        while True:
            yield
            with self._storage.snapshot() as view:
                writes = tombstones.rest_of_run(view, run, STEP_RECORDS)
            if not writes:
                break
            self._store.commit(writes)
        self._remove_files(run)
        self._store.commit(tombstones.end_run(run))
        yield

    # ---- logs

    def _old_logs(self) -> Iterator[None]:
        at = self._storage.get(keys.walk(_LOGS))
        after = RunId(at.decode()) if at else None
        while True:
            with self._storage.snapshot() as view:
                runs = tombstones.runs_after(view, after, _PAGE)
            for run in runs:
                if self._clock.wall_s() - run.created_s < self._rules.logs_age_s:
                    return
                writes = []
                if not self._expire_logs(run):
                    writes.append(Write(keys.passed_run(run.id), run.id.encode()))
                # Only now: a master that is killed before comes by once more.
                self._store.commit([*writes, Write(keys.walk(_LOGS), run.id.encode())])
                after = run.id
                yield
            if not runs:
                return

    def _passed_logs(self) -> Iterator[None]:
        after = RunId("")
        while True:
            with self._storage.snapshot() as view:
                ids = tombstones.passed_runs(view, after, _PAGE)
                runs = {id_: Records(view).run(id_) for id_ in ids}
            for id_, run in runs.items():
                if run is None or self._expire_logs(run):
                    self._store.commit([Write(keys.passed_run(id_), None)])
                yield
            if not ids:
                return
            after = ids[-1]

    def _expire_logs(self, run: RunRecord) -> bool:
        """Remove the logs of a run if it is time; return whether it was."""
        now = self._clock.wall_s()
        why = logs_expired(run, now, self._rules)
        if not why:
            return False
        name = f"{run.pipeline_name}#{run.number}"
        deletion = Deletion(at_s=now, kind="logs", name=name, reason=why, size_bytes=self._size_of(run.id))
        self._store.commit(tombstones.remove_logs(run.id, deletion))
        self._remove_files(run.id)
        log.info("disk.deleted", kind="logs", name=name, run=run.id, reason=why, bytes=deletion.size_bytes)
        return True

    def _folder(self, run: RunId) -> Path | None:
        """Return the folder of a run's logs; None: such an id names none."""
        return self._logs / run if run and "/" not in run and not run.startswith(".") else None

    def _size_of(self, run: RunId) -> int:
        folder = self._folder(run)
        if folder is None or not folder.is_dir():
            return 0
        return sum(path.stat().st_size for path in folder.iterdir())

    def _remove_files(self, run: RunId) -> None:
        folder = self._folder(run)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
