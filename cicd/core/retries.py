"""Which failed attempts are followed by another, and when.

Two counts that never mix. `retries`: failures of the job itself (its user's, a timeout, out of memory, a crash), as
often as its `Retry` says. `lost`: attempts that the infrastructure lost or failed, `MAX_LOST_ATTEMPTS` at most,
whatever the job asks for. What the infrastructure failed goes to another minion, where there is one within a short
time.

A wait is spread by a fraction that is derived from the job and its attempt: the same in every replay, different for
each job, so that what failed together does not come back together.
"""

from hashlib import sha256

from msgspec.structs import replace

from cicd.core.book import Book, JobEntry
from cicd.core.jobs import move
from cicd.core.lifecycle import HELD, MAX_LOST_ATTEMPTS, JobEvent
from cicd.core.ready import meets
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Connection
from cicd.messages.run import FailureKind, JobState, Result, Status

OWN_KINDS = frozenset({FailureKind.USER, FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY, FailureKind.CRASH})
"""Kinds of failure that are the job's own: tried again when it asks for retries and names no kinds."""
MAX_BACKOFF_S = 3600.0
"""Waits do not double beyond this; one that is longer from the start stays as it is."""
INFRASTRUCTURE_BACKOFF_S = 2.0
AVOID_S = 30.0
"""How long another minion is waited for after one has failed an attempt."""
_SPREAD = 0.25


def kind_of(result: Result) -> FailureKind:
    """Return the kind of a failed attempt's failure; what names none is its user's."""
    if result.status is Status.TIMED_OUT:
        return FailureKind.TIMEOUT
    return FailureKind.USER if result.failure_kind is FailureKind.NONE else result.failure_kind


def backoff_s(first_s: float, before: int, job: JobId, attempt: int) -> float:
    """Return how long to wait before the next attempt, in seconds.

    Args:
        first_s: the first wait; it doubles with each.
        before: waits before this one.
        job: of the attempt.
        attempt: the number of the attempt that failed.
    """
    wait_s: float = min(first_s * 2.0 ** min(before, 64), max(first_s, MAX_BACKOFF_S))
    fraction = int.from_bytes(sha256(f"{job}/{attempt}".encode()).digest()[:8]) / 2**64
    return wait_s * (1 + _SPREAD * fraction)


def try_again(book: Book, job: JobEntry, result: Result) -> bool:
    """Plan another attempt, if the result of the current one asks for it; return whether it does."""
    failed = result.status in {Status.FAILED, Status.TIMED_OUT}
    if not failed or job.record.state not in HELD or job.cancel_by:
        return False
    kind = kind_of(result)
    if kind is FailureKind.INFRASTRUCTURE:
        return _after_infrastructure(book, job, result)
    record, retry = job.record, job.spec.retry
    if kind not in (retry.on or OWN_KINDS) or record.retries >= retry.attempts or not job.spec.idempotent:
        return False
    wait_s = backoff_s(retry.backoff_s, record.retries, record.id, record.attempt)
    job.record = replace(record, retries=record.retries + 1)
    _back_off(book, job, wait_s, result.message or str(kind))
    return True


def _after_infrastructure(book: Book, job: JobEntry, result: Result) -> bool:
    record = job.record
    lost = record.lost + 1
    job.record = replace(record, lost=lost)
    began = record.state is JobState.RUNNING or job.current.pid or result.started_s
    if lost >= MAX_LOST_ATTEMPTS or (began and not job.spec.idempotent):
        return False
    if _is_another(book, job, job.current.minion):
        job.record = replace(job.record, avoid=job.current.minion)
    wait_s = backoff_s(INFRASTRUCTURE_BACKOFF_S, record.lost, record.id, record.attempt)
    _back_off(book, job, wait_s, result.message or str(FailureKind.INFRASTRUCTURE))
    return True


def _is_another(book: Book, job: JobEntry, minion: MinionId) -> bool:
    return any(
        entry.record.id != minion
        and entry.connection is not Connection.LOST
        and not entry.record.suspended
        and not entry.health
        and meets(entry.record, job.requirements)
        for entry in book.minions.values()
    )


def _back_off(book: Book, job: JobEntry, wait_s: float, why: str) -> None:
    due_boot_s = book.now.boot_s + wait_s
    job.record = replace(job.record, backoff_s=wait_s, due_boot_s=due_boot_s)
    move(book, job, JobEvent.RETRY, message=why)
    if wait_s:
        book.timers.set(job.record.id, due_boot_s)
    else:
        due(book, job)


def due(book: Book, job: JobEntry) -> None:
    """The time of a job has come: of its next attempt, or of taking whichever minion there is."""
    if job.record.state is JobState.BACKOFF:
        move(book, job, JobEvent.DUE)
        if job.record.avoid is not None:
            book.timers.set(job.record.id, book.now.boot_s + AVOID_S)
    elif job.record.state is JobState.QUEUED:
        job.record = replace(job.record, avoid=None)
        book.plan.jobs[job.record.id] = job.record
        book.ready.remove(job.record.id)
        book.make_ready(job)


def restore(book: Book, job: JobEntry) -> None:
    """Set a job's timer again, after a restart."""
    record, now = job.record, book.now.boot_s
    if record.state is JobState.BACKOFF:
        book.timers.set(record.id, min(record.due_boot_s, now + record.backoff_s))
    elif record.state is JobState.QUEUED and record.avoid is not None:
        book.timers.set(record.id, now + AVOID_S)


def told(job: JobEntry, attempt: int) -> str:
    """Return in words which attempt of a job this is, and what it follows; nothing for a first one."""
    if attempt <= 1:
        return ""
    left = job.spec.retry.attempts - job.record.retries
    of = f" of {attempt + left}" if job.spec.retry.attempts else ""
    after = f", after: {job.record.message}" if job.record.message else ""
    return f"attempt {attempt}{of}{after}"
