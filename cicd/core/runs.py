"""Runs: how they begin, and how they are cancelled. They end with their last job (`jobs`)."""

from msgspec.structs import replace

from cicd.core import graph, jobs, orders
from cicd.core.book import Book, JobEntry, RunEntry
from cicd.core.events import Asker, RunCancelRequested, RunSubmitted
from cicd.core.lifecycle import HELD, TERMINAL, JobEvent
from cicd.core.plan import Reply
from cicd.errors import CicdError, ConflictError, NotFoundError, UserError
from cicd.messages.base import job_id
from cicd.messages.pipeline import LastRun
from cicd.messages.run import JobRecord, RunRecord


def submit(book: Book, event: RunSubmitted) -> None:
    """Begin a run: number it, store it with all its jobs, queue those that need nothing."""
    known = book.requests.get(event.request) if event.request else None
    if known is not None:
        _reply(book, event.asker, book.runs[known].record)
        return
    try:
        graph.check(event.spec.jobs)
    except UserError as error:
        _reply(book, event.asker, error)
        return
    number = book.numbers.get(event.run.pipeline, 0) + 1
    book.numbers[event.run.pipeline] = number
    run = _entry_of(book, event, number)
    record = run.record
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
            jobs.make_ready(book, entry)
    _reply(book, event.asker, run.record)


def _entry_of(book: Book, event: RunSubmitted, number: int) -> RunEntry:
    created_s = book.now.wall_s
    record = replace(event.run, number=number, created_s=created_s, job_count=len(event.spec.jobs))
    run = RunEntry(
        record=record,
        spec=event.spec,
        requires=event.requires,
        plugin_size_bytes=event.plugin_size_bytes,
        source_size_bytes=event.source_size_bytes,
        request=event.request,
    )
    for index, spec in enumerate(event.spec.jobs):
        job = JobRecord(id=job_id(record.id, index), run=record.id, index=index, name=spec.name, created_s=created_s)
        run.jobs.append(JobEntry(record=job, spec=spec, run=run, missing=0))
    run.build_graph()
    return run


def _reply(book: Book, asker: Asker | None, result: RunRecord | CicdError) -> None:
    if asker is not None:
        book.plan.effects.append(Reply(asker, result))


def cancel(book: Book, event: RunCancelRequested) -> None:
    """End a run: what has not started ends at once, what runs is asked to stop, what is in doubt is given up."""
    run = book.runs.get(event.run)
    if run is None:
        _reply(book, event.asker, NotFoundError(f"run {event.run} is not active: it has ended, or there is none"))
        return
    if run.record.cancel_by:
        text = f"run {event.run} is being cancelled already, by {run.record.cancel_by}"
        _reply(book, event.asker, ConflictError(text))
        return
    run.record = replace(run.record, cancel_by=event.by)
    book.plan.runs[run.record.id] = run.record
    for job in run.jobs:
        if job.record.state in HELD:
            orders.send_cancel(book, job)
        elif job.record.state not in TERMINAL:
            jobs.move(book, job, JobEvent.CANCEL, message=f"cancelled by {event.by}")
    _reply(book, event.asker, run.record)
