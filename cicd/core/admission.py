"""Which run may begin: the limit of its pipeline, and the pipelines that it depends on.

A run is there, QUEUED, from when it was asked for; none of its jobs is ready before it is let in. First the runs that
it depends on have to end: those that were there when it was asked for. So it waits for older runs only: pipelines that
depend on each other in a circle cannot wait for each other for ever, and new runs do not keep it waiting. Then it takes
its place by priority and number, until its pipeline has room. When its turn has come, the newest ended run of each
pipeline that it depends on must not have failed, or else it ends without having begun, and says so.
"""

from heapq import nsmallest
from itertools import islice

from msgspec.structs import replace

from cicd.core import jobs
from cicd.core.book import Book, RunEntry
from cicd.core.lifecycle import TERMINAL
from cicd.messages.run import Dependency, JobState, RunState

_SHOWN = 3


def enter(book: Book, run: RunEntry) -> None:
    """Take in a run that waits, behind all that there are; `admit` lets it in."""
    book.run_queue.enter(run.record.pipeline, run.record.number, run.record.id)
    take_place(book, run)


def take_place(book: Book, run: RunEntry) -> None:
    """Put a run where it belongs: let in already, parked with what it depends on, or waiting for room."""
    record = run.record
    dependency = open_dependency(book, run)
    if not record.waiting:
        book.run_queue.let_in(record.pipeline, record.number)
    elif dependency is not None:
        book.run_queue.park(record.id, dependency.pipeline, dependency.up_to)
    else:
        book.run_queue.queue(record.pipeline, (-record.priority, record.number), record.id)


def admit(book: Book) -> None:
    """Let in whatever nothing holds back any more. Costs nothing while no run has ended or come."""
    while (moved := book.run_queue.take_moved()) is not None:
        pipeline, free = moved
        for waiting in [book.runs[run] for run in free if run in book.runs]:
            take_place(book, waiting)
        while (head := book.run_queue.head(pipeline)) is not None and not is_full(book, book.runs[head]):
            book.run_queue.take_head(pipeline)
            _begin(book, book.runs[head])


def is_full(book: Book, run: RunEntry) -> bool:
    """Return whether as many runs of a run's pipeline are active as it allows."""
    return 0 < run.spec.max_parallel_runs <= len(book.run_queue.active(run.record.pipeline))


def open_dependency(book: Book, run: RunEntry) -> Dependency | None:
    """Return the first pipeline of which there are still runs that a run has to wait for; None: there is none."""
    for each in run.record.depends_on:
        if any(True for _ in book.run_queue.open_up_to(each.pipeline, each.up_to)):
            return each
    return None


def why(book: Book, run: RunEntry) -> str:
    """Return why a run that waits has not been let in."""
    record = run.record
    dependency = open_dependency(book, run)
    if dependency is not None:
        found = [book.runs[each].record for each in book.run_queue.open_up_to(dependency.pipeline, dependency.up_to)]
        names = (f"{each.pipeline_name}#{each.number} ({each.state})" for each in found)
        return f"depends on {_short(list(islice(names, _SHOWN)), len(found))}"
    if is_full(book, run):
        active = book.run_queue.active(record.pipeline)
        limit = run.spec.max_parallel_runs
        shown = _short([f"#{number}" for number in nsmallest(_SHOWN, active)], len(active))
        return f"{len(active)} of {limit} runs of {record.pipeline_name} are active: {shown}"
    first = book.run_queue.head(record.pipeline) or record.id
    return f"{record.pipeline_name}#{book.runs[first].record.number} goes first"


def _short(texts: list[str], count: int) -> str:
    return ", ".join(texts) + (f" and {count - len(texts)} more" if count > len(texts) else "")


def _begin(book: Book, run: RunEntry) -> None:
    failed = [
        f"{each.name}#{last.ended_number}"
        for each in run.record.depends_on
        if (last := book.last_runs.get(each.pipeline)) is not None and last.ended_state is RunState.FAILED
    ]
    if failed:
        text = f"not started: {_short(failed[:_SHOWN], len(failed))} failed; force it with --force"
        jobs.end_unstarted(book, run, text)
        return
    run.record = replace(run.record, waiting=False)
    book.plan.runs[run.record.id] = run.record
    book.run_queue.let_in(run.record.pipeline, run.record.number)
    for job in run.jobs:
        if not job.missing and job.record.state is JobState.WAITING:
            jobs.make_ready(book, job)
            if job.record.state in TERMINAL:  # carried outputs that are too large to be handed on
                jobs.after_end(book, job)
