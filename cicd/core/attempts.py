"""Attempts: how a job is given to a minion, and how that ends.

The rules for losses (delivery): an attempt that can no longer act is LOST; then the job is queued again if it is
idempotent and was not lost too often, else it is in doubt or poisoned. An assignment that is proven to have begun
nothing is withdrawn: nothing was lost. `attempt` is the fencing token: whoever calls here has checked that it is the
current one.
"""

from msgspec.structs import replace

from cicd.core import cancels, orders, retries, verdict
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.jobs import move
from cicd.core.lifecycle import EVENT_OF_STATUS, HELD, MAX_LOST_ATTEMPTS, JobEvent
from cicd.messages.evidence import Evidence
from cicd.messages.run import AttemptRecord, FailureKind, JobState, Result, RunState, Status


def assign(book: Book, job: JobEntry, minion: MinionEntry) -> None:
    """Give a queued job to a minion as a new attempt."""
    record = job.record
    job.attempt = AttemptRecord(
        job=record.id,
        attempt=record.attempt + 1,
        minion=minion.record.id,
        minion_name=minion.record.name,
        session=minion.record.session,
        assigned_s=book.now.wall_s,
    )
    book.plan.attempts[record.id, job.attempt.attempt] = job.attempt
    minion.running[record.id] = None
    book.reopen(minion)
    job.record = replace(record, attempt=job.attempt.attempt, minion=minion.record.id, minion_name=minion.record.name)
    job.assigned_boot_s = book.now.boot_s
    job.cancel_due_boot_s = 0.0
    job.absent_boot_s = None
    move(book, job, JobEvent.ASSIGN, message=retries.told(job, job.attempt.attempt))
    run = job.run
    if run.record.state is RunState.QUEUED:
        run.record = replace(
            run.record, state=RunState.RUNNING, started_s=book.now.wall_s, started_boot_s=book.now.boot_s
        )
        book.plan.runs[run.record.id] = run.record
        cancels.set_limit(book, run)
    orders.send_run(book, job)


def started(book: Book, job: JobEntry, pid: int, started_s: float) -> None:
    """The current attempt runs. Again: nothing, and nothing for a job in doubt: only a result resolves it."""
    job.absent_boot_s = None
    if job.record.state is JobState.RUNNING and pid and not job.current.pid:
        # A heartbeat was first to tell that it runs, and does not know its process.
        job.attempt = replace(job.current, pid=pid)
        book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
    if job.record.state is not JobState.ASSIGNED:
        return
    job.attempt = replace(job.current, started_s=started_s, pid=pid)
    book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
    job.record = replace(job.record, started_s=book.now.wall_s)
    move(book, job, JobEvent.START)


def finished(book: Book, job: JobEntry, result: Result) -> None:
    """The current attempt has ended with this result."""
    result = verdict.judged(result)
    if result.status is Status.LOST and job.record.state not in HELD:
        revise(book, job, result)
        return  # in doubt already, and this resolves nothing
    told_s = result.started_s or job.current.started_s
    job.attempt = replace(job.current, result=result, started_s=told_s, finished_s=book.now.wall_s)
    book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
    if result.status is Status.LOST:
        lose(book, job, result.message or "the attempt was lost", result.evidence)
        return
    if retries.try_again(book, job, result):
        return
    record = job.record
    # The word that it had started may have been lost, or have been overtaken.
    started_s = record.started_s or max(record.queued_s, book.now.wall_s - result.run_s)
    outputs = result.outputs if result.status is Status.SUCCEEDED else {}
    job.record = replace(record, outputs=outputs, started_s=started_s)
    message = result.message
    if not message and result.failure_kind is not FailureKind.NONE:
        message = str(result.failure_kind)
    if result.failure_kind is FailureKind.INFRASTRUCTURE and record.lost >= MAX_LOST_ATTEMPTS:
        message = f"{message}; lost or failed by the infrastructure {record.lost} times"
    move(book, job, EVENT_OF_STATUS[result.status], message=message)


def revise(book: Book, job: JobEntry, told: Result) -> None:
    """The minion of an attempt that was given up in silence tells what had happened to it: keep the better verdict."""
    before = job.current.result
    after = verdict.revised(before, told) if before is not None else None
    if after is not before:
        job.attempt = replace(job.current, result=after)
        book.plan.attempts[job.record.id, job.current.attempt] = job.attempt


def withdraw(book: Book, job: JobEntry, why: str) -> None:
    """The assignment is proven to have started nothing: queue the job again; no attempt counts as lost."""
    _end_attempt(book, job, why, verdict.NOT_BEGUN)
    if job.cancel_by:
        move(book, job, JobEvent.CANCEL, message=job.cancel_reason)
    else:
        move(book, job, JobEvent.WITHDRAW, message=why)


def lose(book: Book, job: JobEntry, why: str, evidence: Evidence, *, counts: bool = True) -> None:
    """The attempt can no longer act: queue the job again, or say why not.

    Args:
        book: the state.
        job: a job that is held.
        why: for people.
        evidence: whose fault, and what shows it.
        counts: whether the loss may be the job's fault; a minion that was stopped on purpose is not.
    """
    _end_attempt(book, job, why, evidence)
    lost = job.record.lost + counts
    job.record = replace(job.record, lost=lost)
    move(book, job, JobEvent.LOSE)
    if job.cancel_by:
        move(book, job, JobEvent.CANCEL, message=f"{job.cancel_reason}; {why}")
    elif not job.spec.idempotent:
        move(book, job, JobEvent.DOUBT, message=f"{why}; it is not idempotent, so it is not tried again")
    elif lost >= MAX_LOST_ATTEMPTS:
        move(book, job, JobEvent.POISON, message=f"{why}; lost {lost} times")
    else:
        move(book, job, JobEvent.REQUEUE, message=why)


def _end_attempt(book: Book, job: JobEntry, why: str, evidence: Evidence) -> None:
    if job.current.result is None:
        job.attempt = replace(job.current, finished_s=book.now.wall_s, result=verdict.lost(why, evidence))
        book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
