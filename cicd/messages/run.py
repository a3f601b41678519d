"""Runs, jobs and attempts, as they are stored and shown.

One record per run, per job and per attempt, so that the bytes of a transition do not grow with the run. What the jobs
are (needs, timeouts, labels) stands once, with the plugin that the run is pinned to.
"""

from enum import StrEnum

from cicd.messages.base import Digest, JobId, Message, MinionId, PipelineId, RunId
from cicd.messages.evidence import Evidence

MAX_PRIORITY = 100
"""Priorities of runs are from minus this to this."""


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
    BACKOFF = "backoff"
    """Its last attempt failed; waits for the time of the next."""
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
    """What it needs did not end as it has to."""


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


class Dependency(Message, frozen=True):
    """A pipeline that a run depends on.

    Attributes:
        name: as the pipeline is called.
        up_to: its runs up to this number are waited for: those that were there when the run was asked for.
    """

    pipeline: PipelineId
    name: str
    up_to: int = 0


class RunRecord(Message, frozen=True):
    """A run, pinned to the plugin and the commit it was started with.

    Attributes:
        cancel_by: who or what asked to cancel it; empty: nobody.
        cancel_grace_s: seconds between asking its jobs to stop and killing them; None: the master's default.
        message: for people: why it ended as it did, or was not started, where its jobs do not tell.
        timeout_s: seconds that it may take from the start of its first job; 0: any.
        timed_out: whether it took longer; then `cancel_by` names the timeout.
        started_boot_s: the master's boot clock when its first job started.
        retry_of: the run whose jobs it runs again.
        superseded_by: the newer run, such as `web#42`, because of which it was cancelled; empty: none.
        priority: among what waits, the higher goes first; -100 to 100.
        waiting: it has not been let in: a limit or a run that it depends on holds it back. None of its jobs is ready.
        depends_on: the pipelines that it waits for; none when it was forced.
        forced: it starts whatever becomes of the pipelines that its pipeline depends on.
    """

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
    repository: str = ""
    ref: str = ""
    cancel_grace_s: float | None = None
    message: str = ""
    timeout_s: float = 0.0
    timed_out: bool = False
    started_boot_s: float = 0.0
    retry_of: RunId | None = None
    request: str = ""
    """The asker's own id of what began it; empty: none."""
    superseded_by: str = ""
    priority: int = 0
    waiting: bool = False
    depends_on: tuple[Dependency, ...] = ()
    forced: bool = False


class ResolvedAs(StrEnum):
    """What a person can say of a job in doubt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRY = "retry"
    """It is safe to run it again."""


class Resolution(Message, frozen=True):
    """A person's word on a job in doubt.

    Attributes:
        attempt: the attempt that was in doubt.
        resolved_s: wall time.
    """

    how: ResolvedAs
    by: str
    why: str
    attempt: int
    resolved_s: float


class JobRecord(Message, frozen=True):
    """A job of a run.

    Attributes:
        attempt: the current attempt, counted from 1; 0: none yet. The fencing token.
        lost: attempts that the infrastructure lost or failed.
        queued_s: wall time when it last became ready.
        outputs: of the attempt that succeeded.
        retries: attempts beyond the first that failures (not the infrastructure) were answered with.
        backoff_s: seconds between the failure and the next attempt, in BACKOFF.
        due_boot_s: the master's boot clock when the next attempt is due, in BACKOFF.
        allow_failure: whether its failure counts as fine.
        cancel_by: who asked to cancel this job by itself; empty: nobody.
        cancel_grace_s: seconds between asking it to stop and killing it; None: the master's default.
        resolution: the last word of a person on it.
        granted: attempts that persons have granted by their word.
        carried_from: the run in which it succeeded, when it was not run again in this one.
        avoid: the minion that failed its last attempt: while it waits for another, for a short time.
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
    retries: int = 0
    backoff_s: float = 0.0
    due_boot_s: float = 0.0
    allow_failure: bool = False
    cancel_by: str = ""
    cancel_grace_s: float | None = None
    resolution: Resolution | None = None
    granted: int = 0
    carried_from: RunId | None = None
    avoid: MinionId | None = None


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
