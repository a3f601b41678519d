"""How runs and jobs are cancelled: by people, by a newer run, and by a run's time limit.

What has not started ends at once, what runs is asked to stop and killed after its grace, what is in doubt is given up.
A word that stands can be followed by one with a shorter grace, and by no other.
"""

from msgspec.structs import replace

from cicd.core import jobs, orders
from cicd.core.book import Book, JobEntry, RunEntry
from cicd.core.events import Asker, JobCancelRequested, RunCancelRequested
from cicd.core.lifecycle import HELD, TERMINAL, JobEvent
from cicd.core.plan import Reply
from cicd.errors import CicdError, ConflictError, NotFoundError
from cicd.messages.run import RunRecord


def cancel_run(book: Book, event: RunCancelRequested) -> None:
    """End a run."""
    run = book.runs.get(event.run)
    if run is None:
        _reply(book, event.asker, NotFoundError(f"run {event.run} is not active: it has ended, or there is none"))
        return
    record = run.record
    if record.cancel_by and not _is_shorter(book, event.grace_s, record.cancel_grace_s):
        text = f"run {event.run} is being cancelled already, by {record.cancel_by}"
        _reply(book, event.asker, ConflictError(text))
        return
    _cancel(book, run, record.cancel_by or event.by, event.grace_s)
    _reply(book, event.asker, run.record)


def cancel_job(book: Book, event: JobCancelRequested) -> None:
    """End one job of a run. Those that need it follow their conditions."""
    job = book.jobs.get(event.job)
    if job is None:
        _reply(book, event.asker, NotFoundError(f"job {event.job} is not active: its run has ended, or there is none"))
        return
    record = job.record
    if record.state in TERMINAL:
        _reply(book, event.asker, ConflictError(f"{record.name} has ended already: {record.state}"))
        return
    if job.cancel_by and not _is_shorter(book, event.grace_s, orders.cancel_grace_s(book, job)):
        _reply(book, event.asker, ConflictError(f"{record.name} is being cancelled already, by {job.cancel_by}"))
        return
    job.record = replace(record, cancel_by=record.cancel_by or event.by, cancel_grace_s=event.grace_s)
    book.plan.jobs[record.id] = job.record
    _end(book, job)
    _reply(book, event.asker, job.run.record)


def time_out(book: Book, run: RunEntry) -> None:
    """A run has taken as long as it may."""
    run.record = replace(run.record, timed_out=True)
    _cancel(book, run, f"the run's time limit of {run.record.timeout_s:g} s", None)


def supersede(book: Book, new: RunRecord) -> None:
    """Cancel the older runs of a new one's pipeline and ref, as if who asked for it had asked for that."""
    for run in [book.runs[older] for older in book.run_queue.open(new.pipeline).values()]:
        if run.record.ref == new.ref and not run.record.cancel_by:
            run.record = replace(run.record, superseded_by=f"{new.pipeline_name}#{new.number}")
            _cancel(book, run, new.trigger.by, None)


def set_limit(book: Book, run: RunEntry) -> None:
    """Set the timer of a run that has started and has a limit; after a restart, too."""
    record, now = run.record, book.now.boot_s
    if record.timeout_s and record.started_s and not record.cancel_by:
        book.timers.set(record.id, min(record.started_boot_s, now) + record.timeout_s)


def _cancel(book: Book, run: RunEntry, by: str, grace_s: float | None) -> None:
    run.record = replace(run.record, cancel_by=by, cancel_grace_s=grace_s)
    book.plan.runs[run.record.id] = run.record
    book.timers.drop(run.record.id)
    for job in run.jobs:
        if job.record.state not in TERMINAL:
            _end(book, job)


def _end(book: Book, job: JobEntry) -> None:
    if job.record.state in HELD:
        orders.send_cancel(book, job)
    else:
        jobs.move(book, job, JobEvent.CANCEL, message=job.cancel_reason)


def _is_shorter(book: Book, asked_s: float | None, given_s: float | None) -> bool:
    given_s = book.settings.cancel_grace_s if given_s is None else given_s
    return asked_s is not None and asked_s < given_s


def _reply(book: Book, asker: Asker | None, result: RunRecord | CicdError) -> None:
    if asker is not None:
        book.plan.effects.append(Reply(asker, result))
