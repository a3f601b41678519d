"""Runs and jobs: how they begin, move through the table, and end.

The rules for losses (delivery): an attempt that can no longer act is LOST; then the job is queued again if it is idempotent and
was not lost too often, else it is in doubt or poisoned. `attempt` is the fencing token: a result counts only for
the current attempt, of the minion that holds it.
"""

from msgspec.structs import replace

from cicd.core.book import Book, JobEntry, MinionEntry, RunEntry
from cicd.core.events import RunCancelRequested, RunSubmitted
from cicd.core.lifecycle import (
    EVENT_OF_STATUS,
    HELD,
    MAX_LOST_ATTEMPTS,
    TERMINAL,
    JobEvent,
    next_state,
    run_outcome,
)
from cicd.core.plan import Reply, Send
from cicd.errors import ConflictError, IllegalTransitionError, NotFoundError
from cicd.messages.base import job_id
from cicd.messages.minion import CancelJob, Need, RunJob
from cicd.messages.pipeline import LastRun
from cicd.messages.run import AttemptRecord, FailureKind, JobRecord, JobState, Result, RunState, Status

NEEDS_LIMIT_BYTES = 160 * 1024
"""Most bytes of outputs that one job can be handed: a RunJob has to fit into a frame."""
_STORY = 6


def submit(book: Book, event: RunSubmitted) -> None:
    """Begin a run: number it, store it with all its jobs, queue those that need nothing."""
    known = book.requests.get(event.request) if event.request else None
    if known is not None and known in book.runs:
        _reply_run(book, event, book.runs[known])
        return
    number = book.numbers.get(event.run.pipeline, 0) + 1
    book.numbers[event.run.pipeline] = number
    record = replace(event.run, number=number, created_s=book.now.wall_s, job_count=len(event.spec.jobs))
    run = RunEntry(
        record=record,
        spec=event.spec,
        requires=event.requires,
        plugin_size_bytes=event.plugin_size_bytes,
        source_size_bytes=event.source_size_bytes,
        request=event.request,
    )
    for index, spec in enumerate(event.spec.jobs):
        job = JobRecord(
            id=job_id(record.id, index), run=record.id, index=index, name=spec.name, created_s=book.now.wall_s
        )
        run.jobs.append(JobEntry(record=job, spec=spec, run=run, missing=0))
    run.build_graph()
    book.runs[record.id] = run
    book.plan.runs[record.id] = record
    book.plan.last_runs[record.pipeline] = LastRun(
        run=record.id, number=number, by=record.trigger.by, created_s=record.created_s
    )
    if event.request:
        book.requests[event.request] = record.id
        book.plan.requests[event.request] = record.id
    for entry in run.jobs:
        book.jobs[entry.record.id] = entry
        book.plan.jobs[entry.record.id] = entry.record
        if not entry.missing:
            move(book, entry, JobEvent.NEEDS_MET)
    _reply_run(book, event, run)


def _reply_run(book: Book, event: RunSubmitted, run: RunEntry) -> None:
    if event.asker is not None:
        book.plan.effects.append(Reply(event.asker, run.record))


def cancel(book: Book, event: RunCancelRequested) -> None:
    """End a run: what has not started ends at once, what runs is asked to stop, what is in doubt is given up."""
    run = book.runs.get(event.run)
    if run is None:
        if event.asker is not None:
            error = NotFoundError(f"run {event.run} is not active: it has ended, or there is none")
            book.plan.effects.append(Reply(event.asker, error))
        return
    if run.record.cancel_by:
        if event.asker is not None:
            error_again = ConflictError(f"run {event.run} is being cancelled already, by {run.record.cancel_by}")
            book.plan.effects.append(Reply(event.asker, error_again))
        return
    run.record = replace(run.record, cancel_by=event.by)
    book.plan.runs[run.record.id] = run.record
    for job in run.jobs:
        if job.record.state in HELD:
            send_cancel(book, job)
        elif job.record.state not in TERMINAL:
            move(book, job, JobEvent.CANCEL, message=f"cancelled by {event.by}")
    if event.asker is not None:
        book.plan.effects.append(Reply(event.asker, run.record))


def send_cancel(book: Book, job: JobEntry) -> None:
    """Ask the minion that holds a job to stop it."""
    record, attempt = job.record, job.attempt
    if record.minion is not None and attempt is not None:
        message = CancelJob(
            session=attempt.session,
            job=record.id,
            attempt=record.attempt,
            grace_s=book.settings.cancel_grace_s,
            reason=f"cancelled by {job.run.record.cancel_by}",
        )
        book.plan.effects.append(Send(record.minion, message))


def assign(book: Book, job: JobEntry, minion: MinionEntry) -> None:
    """Give a queued job to a minion as a new attempt; or fail it if what it needs is too large to be sent."""
    size = sum(len(k) + len(v) for need in job.spec.needs for k, v in job.run.by_name[need].record.outputs.items())
    if size > NEEDS_LIMIT_BYTES:
        text = f"the outputs of the jobs it needs are {size} bytes, over the limit of {NEEDS_LIMIT_BYTES}"
        move(book, job, JobEvent.FAIL, message=text)
        return
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
    job.record = replace(
        record, attempt=job.attempt.attempt, minion=minion.record.id, minion_name=minion.record.name, message=""
    )
    move(book, job, JobEvent.ASSIGN)
    run = job.run
    if run.record.state is RunState.QUEUED:
        run.record = replace(run.record, state=RunState.RUNNING, started_s=book.now.wall_s)
        book.plan.runs[run.record.id] = run.record
    send_run(book, job)


def send_run(book: Book, job: JobEntry) -> None:
    """Send the current attempt of a job to its minion (again)."""
    run, record, attempt = job.run, job.record, job.attempt
    if record.minion is None or attempt is None:
        return
    message = RunJob(
        session=attempt.session,
        run=run.record.id,
        run_number=run.record.number,
        job=record.id,
        name=record.name,
        attempt=record.attempt,
        pipeline=run.record.pipeline_name,
        plugin=run.record.plugin,
        plugin_size_bytes=run.plugin_size_bytes,
        source=run.record.source_digest,
        source_size_bytes=run.source_size_bytes,
        checkout=job.spec.checkout,
        params=run.record.params,
        needs=tuple(
            Need(job=need, outputs=run.by_name[need].record.outputs) for need in dict.fromkeys(job.spec.needs)
        ),
        timeout_s=job.spec.timeout_s or book.settings.job_timeout_s,
        repository=run.record.repository,
        ref=run.record.ref,
        commit=run.record.commit,
    )
    book.plan.effects.append(Send(record.minion, message))


def started(book: Book, job: JobEntry, pid: int, started_s: float) -> None:
    """The current attempt runs. Again: nothing."""
    if job.record.state is not JobState.ASSIGNED or job.attempt is None:
        return
    job.attempt = replace(job.attempt, started_s=started_s, pid=pid)
    book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
    job.record = replace(job.record, started_s=book.now.wall_s)
    move(book, job, JobEvent.START)


def finished(book: Book, job: JobEntry, result: Result) -> None:
    """The current attempt has ended with this result."""
    if job.attempt is not None:
        job.attempt = replace(
            job.attempt,
            result=result,
            started_s=result.started_s or job.attempt.started_s,
            finished_s=book.now.wall_s,
        )
        book.plan.attempts[job.record.id, job.record.attempt] = job.attempt
    if result.status is Status.LOST:
        if job.record.state in HELD:
            lose(book, job, result.message or "the attempt was lost")
        return
    outputs = result.outputs if result.status is Status.SUCCEEDED else {}
    job.record = replace(job.record, outputs=outputs)
    message = result.message
    if not message and result.failure_kind is not FailureKind.NONE:
        message = str(result.failure_kind)
    move(book, job, EVENT_OF_STATUS[result.status], message=message)


def withdraw(book: Book, job: JobEntry, why: str) -> None:
    """The assignment is proven to have started nothing: queue the job again; no attempt counts as lost."""
    _end_attempt(book, job, why)
    if job.run.record.cancel_by:
        move(book, job, JobEvent.CANCEL, message=f"cancelled by {job.run.record.cancel_by}")
    else:
        move(book, job, JobEvent.WITHDRAW, message=why)


def lose(book: Book, job: JobEntry, why: str) -> None:
    """The attempt can no longer act: queue the job again, or say why not."""
    _end_attempt(book, job, why)
    lost = job.record.lost + 1
    job.record = replace(job.record, lost=lost)
    move(book, job, JobEvent.LOSE)
    if job.run.record.cancel_by:
        move(book, job, JobEvent.CANCEL, message=f"cancelled by {job.run.record.cancel_by}; {why}")
    elif not job.spec.idempotent:
        move(book, job, JobEvent.DOUBT, message=f"{why}; it is not idempotent, so it is not tried again")
    elif lost >= MAX_LOST_ATTEMPTS:
        move(book, job, JobEvent.POISON, message=f"{why}; lost {lost} times")
    else:
        move(book, job, JobEvent.REQUEUE, message=why)


def _end_attempt(book: Book, job: JobEntry, why: str) -> None:
    if job.attempt is not None and job.attempt.result is None:
        job.attempt = replace(
            job.attempt,
            finished_s=book.now.wall_s,
            result=Result(status=Status.LOST, message=why, failure_kind=FailureKind.INFRASTRUCTURE),
        )
        book.plan.attempts[job.record.id, job.record.attempt] = job.attempt


def move(book: Book, job: JobEntry, event: JobEvent, *, message: str = "") -> None:
    """Take a job along one row of the table, with everything that follows from its new state."""
    old = job.record.state
    try:
        new = next_state(f"job {job.record.id}", old, event)
    except IllegalTransitionError as error:
        raise IllegalTransitionError(error.machine, old, event, job.history) from None
    job.history = (*job.history[-_STORY:], event)
    job.run.tally[old] -= 1
    job.run.tally[new] += 1
    if not job.run.tally[old]:
        del job.run.tally[old]
    _leave(book, job, old, new)
    changes: dict[str, object] = {"state": new}
    if message or new is JobState.SUCCEEDED:
        changes["message"] = message
    if new is JobState.QUEUED:
        changes.update(queued_s=book.now.wall_s, minion=None)
    if new in TERMINAL:
        changes["finished_s"] = book.now.wall_s
    job.record = replace(job.record, **changes)
    book.plan.jobs[job.record.id] = job.record
    if new is JobState.QUEUED:
        book.ready.add(job.record.id, (job.spec.labels, job.run.requires))
    elif new in TERMINAL:
        _ended(book, job)


def _leave(book: Book, job: JobEntry, old: JobState, new: JobState) -> None:
    """Give back what the old state held."""
    if old is JobState.QUEUED:
        book.ready.remove(job.record.id)
    if old in HELD and new not in HELD and job.record.minion is not None:
        minion = book.minions.get(job.record.minion)
        if minion is not None:
            minion.running.pop(job.record.id, None)
            book.reopen(minion)


def _ended(book: Book, job: JobEntry) -> None:
    """Tell the jobs that need this one; end the run with its last job."""
    run = job.run
    # A work list, not recursion: a chain of 10,000 jobs is skipped in one step.
    pending = [job]
    while pending:
        ended = pending.pop()
        for index in run.dependents[ended.record.index]:
            dependent = run.jobs[index]
            if ended.record.state is JobState.SUCCEEDED:
                dependent.missing -= 1
                if not dependent.missing and dependent.record.state is JobState.WAITING:
                    move(book, dependent, JobEvent.NEEDS_MET)
            elif dependent.record.state is JobState.WAITING:
                _skip(book, dependent, ended)
                pending.append(dependent)
    if run.ended and run.record.id in book.runs:
        _end_run(book, run)


def _skip(book: Book, job: JobEntry, because: JobEntry) -> None:
    record = job.record
    new = next_state(f"job {record.id}", record.state, JobEvent.NEEDS_FAILED)
    job.run.tally[record.state] -= 1
    if not job.run.tally[record.state]:
        del job.run.tally[record.state]
    job.run.tally[new] += 1
    text = f"it needs {because.record.name}, which was {because.record.state}"
    job.record = replace(record, state=new, message=text, finished_s=book.now.wall_s)
    book.plan.jobs[record.id] = job.record


def _end_run(book: Book, run: RunEntry) -> None:
    state = run_outcome(run.tally, cancelled=bool(run.record.cancel_by))
    run.record = replace(run.record, state=state, finished_s=book.now.wall_s)
    book.plan.runs[run.record.id] = run.record
    del book.runs[run.record.id]
    for job in run.jobs:
        del book.jobs[job.record.id]
    if run.request:
        book.requests.pop(run.request, None)
