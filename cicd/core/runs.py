"""Runs: how they begin. When they are let in says `admission`.

They end with their last job (`jobs`); `cancels` ends them early.
"""

from msgspec.structs import replace

from cicd.core import admission, cancels, graph, jobs
from cicd.core.book import Book, JobEntry, RunEntry
from cicd.core.events import Asker, RunSubmitted
from cicd.core.lifecycle import JobEvent
from cicd.core.plan import Reply
from cicd.errors import CicdError, UserError
from cicd.messages.base import job_id
from cicd.messages.pipeline import LastRun
from cicd.messages.run import JobRecord, RunRecord


def submit(book: Book, event: RunSubmitted) -> None:
    """Begin a run: number it, store it with all its jobs, let it in unless something holds it back."""
    known = _known(book, event.request)
    if known is not None:
        _reply(book, event.asker, known)
        return
    try:
        graph.check(event.spec.jobs)
    except UserError as error:
        _reply(book, event.asker, error)
        return
    run = _entry_of(book, event)
    record = run.record
    # Who runs an older one again is not newer than the others.
    if event.supersede or (event.spec.cancel_superseded and record.retry_of is None):
        cancels.supersede(book, record)
    book.runs[record.id] = run
    book.plan.runs[record.id] = record
    _note_newest(book, record)
    if event.request:
        book.requests[event.request] = record.id
        book.plan.requests[event.request] = record.id
    for entry in run.jobs:
        book.jobs[entry.record.id] = entry
        book.plan.jobs[entry.record.id] = entry.record
    admission.enter(book, run)
    for before in event.carried:
        _carry(book, run.by_name[before.name], before)
    admission.admit(book)
    _reply(book, event.asker, run.record)


def _known(book: Book, request: str) -> RunRecord | None:
    """Return the run that was asked for by this request before."""
    active = book.requests.get(request)
    return book.ended_requests.get(request) if active is None else book.runs[active].record


def _carry(book: Book, job: JobEntry, before: JobRecord) -> None:
    """Count a job as succeeded, with the outputs that it returned in the run before."""
    job.record = replace(job.record, outputs=before.outputs, carried_from=before.carried_from or before.run)
    jobs.move(book, job, JobEvent.CARRY, message="succeeded in the run before; not run again")


def _entry_of(book: Book, event: RunSubmitted) -> RunEntry:
    created_s = book.now.wall_s
    record = replace(
        event.run,
        number=book.number_of(event.run.pipeline) + 1,
        created_s=created_s,
        job_count=len(event.spec.jobs),
        timeout_s=event.spec.run_timeout_s or book.settings.run_timeout_s,
        waiting=True,
        depends_on=tuple(replace(each, up_to=book.number_of(each.pipeline)) for each in event.run.depends_on),
    )
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
            id=job_id(record.id, index),
            run=record.id,
            index=index,
            name=spec.name,
            created_s=created_s,
            allow_failure=spec.allow_failure,
        )
        run.jobs.append(JobEntry(record=job, spec=spec, run=run, missing=0))
    run.build_graph()
    return run


def _note_newest(book: Book, run: RunRecord) -> None:
    news = LastRun(run=run.id, number=run.number, by=run.trigger.by, created_s=run.created_s)
    last = book.last_runs.get(run.pipeline, news)
    book.save_last_run(run.pipeline, replace(news, ended_number=last.ended_number, ended_state=last.ended_state))


def _reply(book: Book, asker: Asker | None, result: RunRecord | CicdError) -> None:
    if asker is not None:
        book.plan.effects.append(Reply(asker, result))
