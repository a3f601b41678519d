"""What people follow: a run, a log, a build's log.

A stream is asked for its `next` answer when the client has credit; `notice` tells it of news, and whether that is any
of its own. What it shows it reads from the store or the file at that moment, never from the news: so what a client sees
never goes backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from cicd.actors.archive import LogNews
from cicd.actors.desk import log_ends
from cicd.actors.desk.paging import fitting
from cicd.actors.log_files import LogFiles
from cicd.clock import Clock
from cicd.core.lifecycle import TERMINAL, TERMINAL_RUNS
from cicd.core.plan import Plan
from cicd.errors import NotFoundError
from cicd.messages.base import JobId, PipelineId, RunId, split_job_id
from cicd.messages.bulk import CHUNK_BYTES
from cicd.messages.client import Answer, JobView, LogEndInfo, LogText, PipelineAnswer, PipelineView, RunAnswer
from cicd.messages.pipeline import BuildState, PipelineRecord
from cicd.messages.run import AttemptRecord, JobRecord, JobState, RunRecord, Status
from cicd.storage import tombstones
from cicd.storage.base import Storage
from cicd.storage.records import Records

_PAGE = 200
_WAITING = frozenset({JobState.QUEUED, JobState.BACKOFF})
"""States of jobs in which it is worth asking why: in others their records tell."""
LOG_END_S = 5.0
"""How long the end of an ended attempt's log is waited for by somebody who does not follow it."""


@runtime_checkable
class Stream(Protocol):
    """Something that is followed."""

    polls: bool
    """Whether it has to be looked at every tick, since nobody tells of its news."""
    ended: bool
    """Nothing will come after what `next` has returned."""

    def notice(self, news: object) -> bool:
        """Take in news; return whether they concern this stream."""
        ...

    def next(self) -> Answer | None:
        """Return the next answer; None: not now, or (with `ended`) never."""
        ...


class Reasons(Protocol):
    """Tells why runs and jobs wait."""

    def waits(self, run: RunId, only: Sequence[JobId] | None = None) -> dict[JobId, str]:
        """Return why jobs of a run wait; `only`: these."""
        ...

    def run_waits(self, runs: Iterable[RunRecord]) -> dict[RunId, str]:
        """Return why runs have not been let in."""
        ...


class RunStream:
    """A run and its jobs: first all of them, in pages, then those that changed, until the run has ended.

    Args:
        reasons: tells why it and its jobs wait. What it waits for changes while it does not change itself.
    """

    def __init__(self, storage: Storage, run: RunId, reasons: Reasons) -> None:
        self._storage = storage
        self._run = run
        self._reasons = reasons
        self._told = ""
        self.polls = False
        self._after = -1
        self._whole = False
        self._changed: dict[int, None] = {}
        self._run_changed = False
        self.ended = False

    def notice(self, news: object) -> bool:
        """Note which jobs changed."""
        if not isinstance(news, Plan):
            return False
        mine = self._run in news.runs
        self._run_changed |= mine
        for job in news.jobs.values():
            if job.run == self._run:
                self._changed[job.index] = None
                mine = True
        return mine

    def next(self) -> Answer | None:
        """Return the next page or what has changed since."""
        if self.ended:
            return None
        with self._storage.snapshot() as view:
            found = Records(view)
            run = found.run(self._run)
            if run is None:
                raise NotFoundError(f"no run {self._run}")
            if not self._whole:
                return self._page(found, run)
            told = self._why(run)
            if not self._changed and not self._run_changed and told == self._told:
                return None
            indexes = list(self._changed)[:_PAGE]
            jobs = [job for index in indexes if (job := found.job(self._run, index)) is not None]
        waiting = [job.id for job in jobs if job.state in _WAITING]
        waits = self._reasons.waits(self._run, waiting) if waiting else {}
        views = fitting([JobView(job=job, waits=waits.get(job.id, "")) for job in jobs])
        for shown in views:
            del self._changed[shown.job.index]
        self._run_changed = False
        self._told = told
        self.ended = run.state in TERMINAL_RUNS and not self._changed
        return RunAnswer(run=run, jobs=views, waits=told)

    def _why(self, run: RunRecord) -> str:
        self.polls = run.waiting
        return self._reasons.run_waits([run]).get(run.id, "")

    def _page(self, found: Records, run: RunRecord) -> Answer:
        jobs = found.jobs(self._run, self._after, _PAGE)
        waits = self._reasons.waits(self._run) if run.state not in TERMINAL_RUNS else {}
        views = fitting([JobView(job=job, waits=waits.get(job.id, "")) for job in jobs])
        more = len(jobs) == _PAGE or len(views) < len(jobs)
        self._after = views[-1].job.index if views else self._after
        self._whole = not more
        self.ended = self._whole and run.state in TERMINAL_RUNS
        self._told = self._why(run)
        return RunAnswer(run=run, jobs=views, more=more, waits=self._told)


class LogStream:
    """The log of one attempt, from an offset; with `follow` until it is whole.

    The end of a log comes by another way than its job's result, and may come later: without `follow` too it is waited
    for, but not for long.

    Args:
        attempt: 0: the newest there is; with `follow`, the first to come.
    """

    polls = True

    def __init__(
        self, storage: Storage, logs: LogFiles, clock: Clock, *, job: JobId, attempt: int, offset: int, follow: bool
    ) -> None:
        self._clock = clock
        self._began_boot_s = clock.boot_s()
        self._storage = storage
        self._logs = logs
        self._job = job
        self._attempt = attempt
        self._offset = offset
        self._follow = follow
        self.ended = False

    def notice(self, news: object) -> bool:
        """Tell whether the log, or the job it belongs to, has news."""
        if isinstance(news, LogNews):
            return news.job == self._job and news.attempt == self._attempt
        return isinstance(news, Plan) and self._job in news.jobs

    def next(self) -> Answer | None:  # noqa: PLR0911  one return for each way a log can stand
        """Return the next piece, or how the log ended."""
        if self.ended:
            return None
        run, index = split_job_id(self._job)
        with self._storage.snapshot() as view:
            found = Records(view)
            job = found.job(run, index)
            if job is None:
                raise NotFoundError(f"no job {self._job}")
            self._attempt = self._attempt or job.attempt
            record = found.log(self._job, self._attempt) if self._attempt else None
            tried = found.attempt(self._job, self._attempt) if self._attempt else None
            removed = tombstones.logs_removed(view, run)
            minion_known = tried is None or found.minion(tried.minion) is not None
        if not self._attempt:
            return None if self._follow and job.state not in TERMINAL else self._end(0, gap=_never_ran(job))
        if tried is None:
            raise NotFoundError(f"{job.name} has no attempt {self._attempt}")
        data = read_piece(self._logs.path(self._job, self._attempt), self._offset)
        if data:
            answer = LogText(offset=self._offset, data=data)
            self._offset += len(data)
            return answer
        if removed is not None:
            day = datetime.fromtimestamp(removed.at_s, UTC).strftime("%Y-%m-%d")
            return self._end(self._attempt, gap=f"removed on {day}: {removed.reason}")
        if record is not None:
            self.ended = True
            return log_ends.of_record(record, self._offset)
        over = log_ends.open_end(job, tried, self._offset, minion_known=minion_known)
        if over is None and self._is_waited_for(tried):
            return None
        self.ended = True
        running = "the attempt is still running" if tried.result is None else "the log's end has not arrived yet"
        return over or log_ends.missing(tried, self._offset, running)

    def _is_waited_for(self, tried: AttemptRecord) -> bool:
        if tried.result is None:
            return self._follow
        in_time = self._clock.boot_s() - self._began_boot_s < LOG_END_S
        return in_time or (self._follow and tried.result.status is not Status.LOST)

    def _end(self, attempt: int, gap: str) -> Answer:
        self.ended = True
        return LogEndInfo(attempt=attempt, size_bytes=self._offset, gap=gap)


class BuildStream:
    """The log of a build, then the pipeline. The build host writes the file, so it is polled."""

    polls = True

    def __init__(self, storage: Storage, path: Path, pipeline: PipelineId, build: int, *, follow: bool) -> None:
        self._storage = storage
        self._path = path
        self._pipeline = pipeline
        self._build = build
        self._offset = 0
        self._follow = follow
        self.ended = False

    def notice(self, news: object) -> bool:
        """Tell whether the build has ended."""
        return isinstance(news, PipelineRecord) and news.id == self._pipeline

    def next(self) -> Answer | None:
        """Return the next piece, or the pipeline as it is after the build."""
        if self.ended:
            return None
        # Looked up before the file is read: what an ended build wrote is in the file by then.
        pipeline = Records(self._storage).pipeline_by_id(self._pipeline)
        if pipeline is None:
            raise NotFoundError("the pipeline was deleted")
        data = read_piece(self._path, self._offset)
        if data:
            answer = LogText(offset=self._offset, data=data)
            self._offset += len(data)
            return answer
        under_way = pipeline.build == self._build and pipeline.build_state is BuildState.BUILDING
        if under_way and self._follow:
            return None
        self.ended = True
        return PipelineAnswer(view=PipelineView(pipeline=pipeline))


def read_piece(path: Path, offset: int) -> bytes:
    """Return at most a chunk of a file from `offset`; empty at its end, or if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK_BYTES)
    except FileNotFoundError:
        return b""


def _never_ran(job: JobRecord) -> str:
    return f"{job.name} was not run: {job.message or job.state}"
