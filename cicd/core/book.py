"""What the core holds in memory: active runs with their jobs, and minions.

Records are frozen and replaced; entries are what ties them together. Ended runs are let go: the store has them. What
must hold of all this together is in `invariants`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from msgspec.structs import replace

from cicd.core import graph, needs
from cicd.core.events import Now
from cicd.core.lifecycle import TERMINAL
from cicd.core.plan import Plan
from cicd.core.ready import ReadyQueue, Requirements
from cicd.core.ring import Ring
from cicd.core.run_queue import RunQueue
from cicd.core.settings import CoreSettings
from cicd.core.timers import Timers
from cicd.messages.base import JobId, MinionId, PipelineId, RunId
from cicd.messages.cluster import Connection, HealthReason, Load, MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import JobSpec, LastRun, PipelineSpec
from cicd.messages.run import AttemptRecord, JobRecord, JobState, RunRecord, RunState

ENDED_REQUESTS = 2000
"""Requests that are remembered after the end of their runs: as many as one turn may take in."""


@dataclass(slots=True)
class JobEntry:
    """A job of an active run.

    Attributes:
        missing: how many of its needs have not ended as they have to, yet.
        attempt: the record of the current attempt, once there is one.
        history: its last events, for the story of an illegal one.
        assigned_boot_s: when the current attempt was first sent (or taken up by a restart).
        run_due_boot_s: when RunJob may be sent again, should the minion not know the attempt.
        cancel_due_boot_s: when CancelJob may be sent again, should it still run.
        absent_boot_s: since when the minion's reports leave out an attempt that runs; None: they do not.
    """

    record: JobRecord
    spec: JobSpec
    run: "RunEntry"
    missing: int
    attempt: AttemptRecord | None = None
    history: tuple[str, ...] = ()
    assigned_boot_s: float = 0.0
    run_due_boot_s: float = 0.0
    cancel_due_boot_s: float = 0.0
    absent_boot_s: float | None = None

    @property
    def current(self) -> AttemptRecord:
        """The current attempt of a job that has one."""
        return cast("AttemptRecord", self.attempt)

    @property
    def requirements(self) -> Requirements:
        """What a minion must offer to be given it."""
        return Requirements(self.spec.labels, self.run.requires, self.record.avoid)

    @property
    def cancel_by(self) -> str:
        """Who asked to cancel it or its run; empty: nobody."""
        return self.run.record.cancel_by or self.record.cancel_by

    @property
    def cancel_reason(self) -> str:
        """Why a job that is cancelled is, in words."""
        newer = self.run.record.superseded_by
        return f"superseded by {newer}" if newer else f"cancelled by {self.cancel_by}"


@dataclass(slots=True)
class RunEntry:
    """An active run."""

    record: RunRecord
    spec: PipelineSpec
    requires: tuple[str, ...]
    plugin_size_bytes: int
    source_size_bytes: int
    jobs: list[JobEntry] = field(default_factory=list)
    by_name: dict[str, JobEntry] = field(default_factory=dict)
    dependents: list[list[int]] = field(default_factory=list)
    tally: Counter[JobState] = field(default_factory=Counter)
    request: str = ""

    def build_graph(self) -> None:
        """Fill in what follows from the spec and the jobs' records."""
        self.dependents = graph.dependents(self.spec.jobs)
        self.by_name = {job.record.name: job for job in self.jobs}
        self.tally = Counter(job.record.state for job in self.jobs)
        for job in self.jobs:
            job.missing = self.missing_needs(job)

    def missing_needs(self, job: JobEntry) -> int:
        """Return how many of a job's needs have not ended as they have to, counted anew."""
        return sum(not needs.is_met(job.spec, self.by_name[need].record) for need in dict.fromkeys(job.spec.needs))

    @property
    def ended(self) -> bool:
        """Whether every job has ended."""
        return sum(self.tally[state] for state in TERMINAL) == len(self.jobs)


@dataclass(slots=True)
class MinionEntry:
    """A minion: its record and how it is now. Times are boot time of the master.

    Attributes:
        closed: whether its connection was closed since the last sign of life.
    """

    record: MinionRecord
    connection: Connection
    seen_boot_s: float
    seen_wall_s: float = 0.0
    expires_boot_s: float = 0.0
    beat_seq: int = 0
    running: dict[JobId, None] = field(default_factory=dict)
    load: Load = Load()
    health: tuple[HealthReason, ...] = ()
    closed: bool = False

    def take_load(self, load: Load) -> None:
        """Take in how it is; a report of its disk that is left out stands as it was."""
        self.load = load if load.use is not None else replace(load, use=self.load.use)

    @property
    def floor(self) -> int:
        """The least session that may speak for it."""
        return self.record.session + 1 if self.record.fenced else self.record.session

    @property
    def is_open(self) -> bool:
        """Whether it may be given a job now."""
        return (
            self.connection is Connection.READY
            and not self.record.suspended
            and not self.health
            and not self.record.fenced
            and len(self.running) < self.record.slots
        )


class Book:
    """All state of the core, and the plan that is being written."""

    def __init__(self, settings: CoreSettings) -> None:
        self.settings = settings
        self.runs: dict[RunId, RunEntry] = {}
        self.jobs: dict[JobId, JobEntry] = {}
        self.minions: dict[MinionId, MinionEntry] = {}
        self.minion_by_name: dict[str, MinionId] = {}
        self.minion_by_place: dict[int, MinionId] = {}
        self.minion_by_key: dict[str, MinionId] = {}
        self.tokens: dict[str, TokenRecord] = {}
        self.removed_keys: dict[str, RemovedKey] = {}
        self.next_place = 0
        self.requests: dict[str, RunId] = {}
        self.ended_requests: dict[str, RunRecord] = {}
        """What was asked for lately and has ended. One who asks again may have looked into the store before the run was
        there, and be heard only after it has ended."""
        self.last_runs: dict[PipelineId, LastRun] = {}
        self.run_queue = RunQueue()
        self.groups: dict[str, JobId] = {}
        """The jobs that hold concurrency groups."""
        self.ready = ReadyQueue()
        self.ring = Ring()
        self.timers = Timers()
        self.plan = Plan()
        self.now = Now(boot_s=0.0, wall_s=0.0)
        self.awake_boot_s = 0.0
        """Since when the master has been running without a standstill of its own."""
        self.refused = 0
        """Messages that were not their sender's to say."""

    def end_request(self, request: str, record: RunRecord) -> None:
        """The run of a request has ended; it is remembered for a while."""
        del self.requests[request]
        self.ended_requests[request] = record
        if len(self.ended_requests) > ENDED_REQUESTS:
            del self.ended_requests[next(iter(self.ended_requests))]

    def add_minion(self, entry: MinionEntry) -> None:
        """Take in a minion under its name and its place."""
        record = entry.record
        self.minions[record.id] = entry
        self.minion_by_name[record.name] = record.id
        self.minion_by_place[record.ring] = record.id
        if record.key:
            self.minion_by_key[record.key] = record.id
        self.next_place = max(self.next_place, record.ring + 1)

    def make_ready(self, job: JobEntry) -> None:
        """Put a job into the ready queue."""
        self.ready.add(job.record.id, job.requirements, group=job.spec.group, priority=job.run.record.priority)

    def number_of(self, pipeline: PipelineId) -> int:
        """Return the number of a pipeline's newest run; 0: it has none."""
        last = self.last_runs.get(pipeline)
        return last.number if last is not None else 0

    def save_last_run(self, pipeline: PipelineId, last: LastRun) -> None:
        """Remember a pipeline's newest run, and how the newest of those that have ended did."""
        self.last_runs[pipeline] = self.plan.last_runs[pipeline] = last

    def note_end(self, run: RunRecord) -> None:
        """Remember how a run ended, if it is the newest that has. A cancelled one says nothing."""
        last = self.last_runs.get(run.pipeline)
        if last is not None and run.number > last.ended_number and run.state is not RunState.CANCELLED:
            self.save_last_run(run.pipeline, replace(last, ended_number=run.number, ended_state=run.state))

    def save_minion(self, entry: MinionEntry, record: MinionRecord) -> None:
        """Replace a minion's record and store it, if it has changed."""
        if record != entry.record:
            entry.record = record
            self.plan.minions[record.id] = record
        self.reopen(entry)

    def reopen(self, entry: MinionEntry) -> None:
        """Put a minion into the ring or take it out, as its state asks."""
        if entry.is_open:
            self.ring.open(entry.record.ring)
            self.ready.unblock(entry.record)
        else:
            self.ring.close(entry.record.ring)
