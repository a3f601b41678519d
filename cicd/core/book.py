"""What the core holds in memory: active runs with their jobs, and minions.

Records are frozen and replaced; entries are what ties them together. Ended runs are let go: the store has them.
"""

from collections import Counter
from dataclasses import dataclass, field

from cicd.core import graph
from cicd.core.events import Now
from cicd.core.lifecycle import HELD, TERMINAL
from cicd.core.plan import Plan
from cicd.core.ready import ReadyQueue
from cicd.core.ring import Ring
from cicd.core.settings import CoreSettings
from cicd.messages.base import JobId, MinionId, PipelineId, RunId
from cicd.messages.cluster import Connection, Load, MinionRecord
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import AttemptRecord, JobRecord, JobState, RunRecord


@dataclass(slots=True)
class JobEntry:
    """A job of an active run.

    Attributes:
        missing: how many of its needs have not succeeded yet.
        attempt: the record of the current attempt, once there is one.
    """

    record: JobRecord
    spec: JobSpec
    run: "RunEntry"
    missing: int
    attempt: AttemptRecord | None = None
    history: tuple[str, ...] = ()


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
            needs = dict.fromkeys(job.spec.needs)
            job.missing = sum(self.by_name[need].record.state is not JobState.SUCCEEDED for need in needs)

    @property
    def ended(self) -> bool:
        """Whether every job has ended."""
        return sum(self.tally[state] for state in TERMINAL) == len(self.jobs)


@dataclass(slots=True)
class MinionEntry:
    """A minion: its record and how it is now. Times are boot time of the master."""

    record: MinionRecord
    connection: Connection
    seen_boot_s: float
    seen_wall_s: float = 0.0
    expires_boot_s: float = 0.0
    beat_seq: int = 0
    running: dict[JobId, None] = field(default_factory=dict)
    load: Load = Load()

    @property
    def is_open(self) -> bool:
        """Whether it may be given a job now."""
        return (
            self.connection is Connection.READY
            and not self.record.suspended
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
        self.requests: dict[str, RunId] = {}
        self.numbers: dict[PipelineId, int] = {}
        self.ready = ReadyQueue()
        self.ring = Ring()
        self.plan = Plan()
        self.now = Now(boot_s=0.0, wall_s=0.0)
        self.refused = 0
        """Messages that were dropped because they were not their sender's to say."""

    def save_minion(self, entry: MinionEntry, record: MinionRecord) -> None:
        """Replace a minion's record and store it."""
        entry.record = record
        self.plan.minions[record.id] = record
        self.reopen(entry)

    def reopen(self, entry: MinionEntry) -> None:
        """Put a minion into the ring or take it out, as its state asks."""
        if entry.is_open:
            self.ring.open(entry.record.ring)
        else:
            self.ring.close(entry.record.ring)

    def validate(self) -> None:
        """Check every invariant. Costs as much as there is state.

        Raises:
            AssertionError: one does not hold; it says which.
        """
        held: dict[JobId, MinionId] = {}
        for run in self.runs.values():
            assert not run.ended, f"{run.record.id} has ended and is still held"  # noqa: S101  that is what validate is
            assert run.tally == Counter(job.record.state for job in run.jobs), f"{run.record.id}: tally is off"  # noqa: S101
            for job in run.jobs:
                self._validate_job(job, held)
        for minion in self.minions.values():
            mine = {job for job, owner in held.items() if owner == minion.record.id}
            assert set(minion.running) == mine, f"{minion.record.name}: slots are off"  # noqa: S101
            assert (minion.record.ring in self.ring) == minion.is_open, f"{minion.record.name}: ring is off"  # noqa: S101
            lost_while_held = minion.connection is Connection.LOST and bool(minion.running)
            assert not lost_while_held, f"{minion.record.name} is lost and holds jobs"  # noqa: S101
        assert set(held.values()) <= set(self.minions), "a job is held by nobody we know"  # noqa: S101

    def _validate_job(self, job: JobEntry, held: dict[JobId, MinionId]) -> None:
        record = job.record
        name = f"{record.id} ({record.state})"
        assert record.state is not JobState.LOST, f"{name} rests in a passing state"  # noqa: S101  see validate
        assert (record.id in self.ready) == (record.state is JobState.QUEUED), f"{name}: ready queue is off"  # noqa: S101
        if record.state in HELD:
            assert record.minion is not None, f"{name} has no minion"  # noqa: S101
            assert job.attempt is not None, f"{name} has no attempt"  # noqa: S101
            assert job.attempt.attempt == record.attempt, f"{name}: attempt is off"  # noqa: S101
            held[record.id] = record.minion
        needs = [job.run.by_name[need].record.state for need in dict.fromkeys(job.spec.needs)]
        missing = sum(state is not JobState.SUCCEEDED for state in needs)
        assert job.missing == missing, f"{name}: needs are off"  # noqa: S101
        if record.state is JobState.WAITING:
            assert missing, f"{name} waits for nothing"  # noqa: S101
            assert not any(s in TERMINAL and s is not JobState.SUCCEEDED for s in needs), f"{name} waits in vain"  # noqa: S101
        if record.state in HELD or record.state is JobState.QUEUED:
            assert not missing, f"{name} runs before what it needs"  # noqa: S101
