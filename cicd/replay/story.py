"""Decides again what concerned a run and looks on: why its jobs waited, why they were given where, who interfered.

What the run's records say (attempts, results, times) is not told again here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionBeat, Now, RunSubmitted, Ticked
from cicd.core.lifecycle import HELD
from cicd.core.plan import Plan
from cicd.messages.base import JobId, job_id
from cicd.messages.client.story import StoryKind, StoryLine
from cicd.messages.run import JobRecord, JobState, RunRecord
from cicd.replay.choices import WatchedRing
from cicd.replay.reader import Segment
from cicd.replay.segments import JournalDamagedError

LOOK_S = 1.0
"""How often it is looked why jobs wait, while nothing happens but heartbeats."""
MANY_JOBS = 200
"""In a run of more jobs it is looked no more often than that, whatever happens."""
MAX_LINES = 2000
_PASSING = re.compile(r"\d+ s\b| \((waiting|queued|assigned|running)\)")
"""What changes in a reason while it stays the same reason."""


_TRIED = HELD | {JobState.BACKOFF}


class Story:
    """One run's story, from a journal.

    Args:
        run: the run, as the store has it.
        names: of its jobs, by index.
        job: name of the only job that is of interest; empty: all are.
    """

    def __init__(self, run: RunRecord, names: Sequence[str], job: str = "") -> None:
        self._run = run
        self._job = job
        self._names = {job_id(run.id, index): name for index, name in enumerate(names)}
        self._waits: dict[JobId, str] = {}
        self._states: dict[JobId, JobState] = {}
        self._looked_s = 0.0
        self._seen = False
        self._ended = False
        self.lines: list[StoryLine] = []
        self.cut_off = False
        """Whether there was more to tell than `MAX_LINES`."""

    # ---- reading

    def read(self, found: Sequence[Segment]) -> Iterator[None]:
        """Read segments, oldest first, until the run has ended; yields after every batch, so that it can be paced."""
        if not found or found[0].header.wall_s > self._run.created_s:
            gone = (
                "the journal of the time before is not there any more" if found else "there is no journal of that time"
            )
            self._say(StoryKind.NOTE, found[0].header.wall_s if found else self._run.created_s, gone)
        for segment in found:
            if self._ended or self._is_later(segment):
                return
            yield from self._segment(segment)

    def _is_later(self, segment: Segment) -> bool:
        return 0 < self._run.finished_s < segment.header.wall_s

    def _segment(self, segment: Segment) -> Iterator[None]:
        header = segment.header
        if not segment.is_of_this_version:
            self._say(StoryKind.NOTE, header.wall_s, f"from here the journal is of another version ({header.version})")
            return
        if header.gap and header.wall_s > self._run.created_s:
            self._say(StoryKind.NOTE, header.wall_s, f"until here the journal has a gap: {header.gap}")
        if header.kind == "start" and header.wall_s > self._run.created_s:
            self._say(StoryKind.MASTER, header.wall_s, "the master was started")
        try:
            cluster, batches = segment.open()
            ring = WatchedRing(cluster.book.ring, cluster.book)
            cluster.book.ring = ring
            for batch, events in batches:
                plan = cluster.handle(events, batch.now)
                self._after(cluster, ring, events, plan, batch.now)
                ring.choices.clear()
                yield
                if self._ended:
                    return
        except JournalDamagedError as error:
            self._say(StoryKind.NOTE, header.wall_s, f"the journal is damaged: {error.message}")

    # ---- looking on

    def _after(self, cluster: Cluster, ring: WatchedRing, events: Sequence[Event], plan: Plan, now: Now) -> None:
        run = self._run.id
        here = run in cluster.book.runs
        if not here and not self._seen:
            return
        for event in events:
            if not isinstance(event, MinionBeat | Ticked):
                self._person(event, now)
        if ring.choices:
            self._chosen(cluster, ring, plan, now)
        self._requeued(plan, now)
        quiet = not plan.saves and all(isinstance(event, MinionBeat | Ticked) for event in events)
        quiet = quiet or len(self._names) > MANY_JOBS
        if here and (not quiet or not self._seen or now.wall_s - self._looked_s >= LOOK_S):
            self._look(cluster, now)
        self._seen = True
        self._ended = not here

    def _person(self, event: Event, now: Now) -> None:
        by = getattr(event, "by", "")
        run, job = getattr(event, "run", None), getattr(event, "job", None)
        of_run = run == self._run.id
        of_job = isinstance(job, str) and job.rpartition("-")[0] == self._run.id
        if isinstance(event, RunSubmitted) or not by or not (of_run or of_job):
            return
        name = self._name_of(JobId(job)) if of_job and isinstance(job, str) else ""
        if name is not None:
            self._say(StoryKind.PERSON, now.wall_s, f"{_words(type(event).__name__)} by {by}", name)

    def _name_of(self, job: JobId) -> str | None:
        """Return a job's name if it is of interest."""
        name = self._names.get(job, "")
        return name if not self._job or name == self._job else None

    def _chosen(self, cluster: Cluster, ring: WatchedRing, plan: Plan, now: Now) -> None:
        given = [attempt for attempt in plan.attempts.values() if attempt.assigned_s == now.wall_s]
        if len(given) != len(ring.choices):
            return  # which choice was whose cannot be told
        for attempt, choice in zip(given, ring.choices, strict=True):
            job = cluster.book.jobs.get(attempt.job)
            if job is not None and self._is_mine(job.record):
                text = f"given to {attempt.minion_name}: {choice.in_words(job)}"
                self._say(StoryKind.CHOSEN, now.wall_s, text, job.record.name, attempt.attempt)

    def _requeued(self, plan: Plan, now: Now) -> None:
        for record in plan.jobs.values():
            if not self._is_mine(record):
                continue
            before = self._states.get(record.id)
            self._states[record.id] = record.state
            if record.state is JobState.QUEUED and before in _TRIED:
                ended = plan.attempts.get((record.id, record.attempt))
                known = ended.result.message if ended is not None and ended.result is not None else ""
                why = f": {record.message}" if record.message and record.message != known else ""
                self._say(StoryKind.QUEUED, now.wall_s, f"queued again{why}", record.name, record.attempt)

    def _is_mine(self, record: JobRecord) -> bool:
        return record.run == self._run.id and (not self._job or record.name == self._job)

    def _look(self, cluster: Cluster, now: Now) -> None:
        self._looked_s = now.wall_s
        texts = cluster.waits(self._run.id, now)
        for job in cluster.book.runs[self._run.id].jobs:
            record = job.record
            self._states[record.id] = record.state
            text = texts.get(record.id, "")
            if record.state is JobState.ASSIGNED and ";" not in text:
                text = ""  # it was sent just now; that it was, the record says
            reason = _PASSING.sub("", text)
            if not self._is_mine(record) or self._waits.get(record.id, "") == reason:
                continue
            self._waits[record.id] = reason
            if text and record.state in HELD:
                self._say(StoryKind.DOUBT, now.wall_s, text, record.name, record.attempt)
            elif text:
                self._say(StoryKind.WAITS, now.wall_s, f"waits: {text.removeprefix('waits ')}", record.name)

    def _say(self, kind: StoryKind, at_s: float, text: str, job: str = "", attempt: int = 0) -> None:
        if len(self.lines) >= MAX_LINES:
            self.cut_off = True
            return
        self.lines.append(StoryLine(at_s=at_s, text=text, kind=kind.value, job=job, attempt=attempt))


def _words(name: str) -> str:
    """Return `RunCancelRequested` as `run cancel requested`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
