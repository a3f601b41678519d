"""Runs, jobs and attempts, as they are stored and shown.

One record per run, per job and per attempt, so that the bytes of a transition do not grow with the run. What the jobs
are (needs, timeouts, labels) stands once, with the plugin that the run is pinned to.
"""

from enum import StrEnum

from cicd.messages.base import Digest, JobId, Message, MinionId, PipelineId, RunId
from cicd.messages.evidence import Evidence


class RunState(StrEnum):
    """QUEUED until its first job was assigned. UNKNOWN jobs keep a run RUNNING."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobState(StrEnum):
    """States of a job; the table of transitions is in `cicd.core.lifecycle`."""

    WAITING = "waiting"
    """Needs jobs that have not ended."""
    QUEUED = "queued"
    """Ready; waits for a minion."""
    ASSIGNED = "assigned"
    RUNNING = "running"
    LOST = "lost"
    """Passing: the attempt can no longer act; becomes QUEUED, UNKNOWN or POISONED in the same step."""
    UNKNOWN = "unknown"
    """Not idempotent and lost: a late result of the same attempt or a person resolves it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    POISONED = "poisoned"
    """Lost three times."""
    SKIPPED = "skipped"
    """What it needs did not succeed."""


class Status(StrEnum):
    """How an attempt ended, as its jobhost saw it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The attempt's processes are gone and no result was written (jobhost killed, lease lost)."""


class FailureKind(StrEnum):
    """Whose fault a failed attempt is."""

    NONE = ""
    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    CRASH = "crash"


class Usage(Message, frozen=True):
    """What an attempt's processes used. Seconds and bytes."""

    cpu_user_s: float = 0.0
    cpu_system_s: float = 0.0
    max_rss_bytes: int = 0


class Result(Message, frozen=True):
    """How one attempt ended.

    Attributes:
        message: one line for people.
        exit_code: of the job's process or of the command that failed; None when there was none.
        signal: number of the signal that ended the process; 0: none.
        outputs: what the job returned for later jobs; together at most 16 KiB.
        traceback: of the user's code.
        log_bytes: length of the attempt's log.
        log_sha256: of the whole log.
        log_lines: lines in the log, a last one without newline counted.
        started_s: wall time on the minion.
        finished_s: wall time on the minion.
        run_s: seconds that the attempt ran, by the minion's monotonic clock.
        evidence: whose fault it is and what shows it, unless it succeeded.
    """

    status: Status
    message: str = ""
    failure_kind: FailureKind = FailureKind.NONE
    exit_code: int | None = None
    signal: int = 0
    outputs: dict[str, str] = {}
    traceback: str = ""
    log_bytes: int = 0
    log_sha256: str = ""
    log_lines: int = 0
    started_s: float = 0.0
    finished_s: float = 0.0
    run_s: float = 0.0
    usage: Usage = Usage()
    evidence: Evidence = Evidence()


class Trigger(Message, frozen=True):
    """Who or what started a run."""

    by: str
    kind: str = "manual"


class RunRecord(Message, frozen=True):
    """A run, pinned to the plugin and the commit it was started with."""

    id: RunId
    pipeline: PipelineId
    pipeline_name: str
    number: int
    plugin: Digest
    source_digest: Digest
    commit: str
    trigger: Trigger
    job_count: int
    params: dict[str, str] = {}
    state: RunState = RunState.QUEUED
    created_s: float = 0.0
    started_s: float = 0.0
    finished_s: float = 0.0
    cancel_by: str = ""
    """Who asked to cancel it; empty: nobody."""
    repository: str = ""
    ref: str = ""


class JobRecord(Message, frozen=True):
    """A job of a run.

    Attributes:
        attempt: the current attempt, counted from 1; 0: none yet. The fencing token.
        lost: attempts that were lost to the infrastructure.
        queued_s: wall time when it last became ready.
        outputs: of the attempt that succeeded.
    """

    id: JobId
    run: RunId
    index: int
    name: str
    state: JobState = JobState.WAITING
    attempt: int = 0
    lost: int = 0
    created_s: float = 0.0
    queued_s: float = 0.0
    started_s: float = 0.0
    finished_s: float = 0.0
    minion: MinionId | None = None
    minion_name: str = ""
    message: str = ""
    outputs: dict[str, str] = {}


class AttemptRecord(Message, frozen=True):
    """One try of a job on one minion."""

    job: JobId
    attempt: int
    minion: MinionId
    minion_name: str
    session: int
    assigned_s: float = 0.0
    started_s: float = 0.0
    finished_s: float = 0.0
    pid: int = 0
    result: Result | None = None


class LogRecord(Message, frozen=True):
    """What the master knows of an attempt's log once its end has arrived and was checked.

    Attributes:
        size_bytes: length of the log.
        lines: lines, a last one without newline counted.
        sha256: of the whole log.
        gap: why it is not whole; empty: complete.
    """

    job: JobId
    attempt: int
    size_bytes: int
    lines: int
    sha256: str
    gap: str = ""
