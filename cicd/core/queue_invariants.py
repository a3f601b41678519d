"""What holds between any two batches of concurrency groups, and of which runs were let in."""

from collections import Counter

from cicd.core import admission
from cicd.core.book import Book, RunEntry
from cicd.core.groups import HOLDING
from cicd.messages.base import PipelineId
from cicd.messages.run import JobState, RunState


def check(book: Book) -> None:
    """Check every invariant.

    Raises:
        AssertionError: one does not hold; it says which.
    """
    _check_groups(book)
    for run in book.runs.values():
        _check_run(book, run)
    for pipeline in {run.record.pipeline for run in book.runs.values()}:
        _check_pipeline(book, pipeline)
    lines = {run.record.pipeline for run in book.runs.values()}
    require(len(book.run_queue) == len(lines), "the queue of runs knows pipelines of which no run is active")


def require(holds: object, otherwise: str) -> None:
    """Raise AssertionError unless something holds."""
    if not holds:
        raise AssertionError(otherwise)


def _check_groups(book: Book) -> None:
    holding = [job for job in book.jobs.values() if job.spec.group and job.record.state in HOLDING]
    for group, count in Counter(job.spec.group for job in holding).items():
        require(count == 1, f"{count} jobs hold group {group}")
    held = {job.spec.group: job.record.id for job in holding}
    require(book.groups == held, f"groups are held by {book.groups}, it should be {held}")
    require(book.ready.held == held.keys(), "the ready queue passes other groups over than those that are held")


def _check_run(book: Book, run: RunEntry) -> None:
    record = run.record
    name = f"{record.id} ({record.pipeline_name}#{record.number})"
    require(book.run_queue.open(record.pipeline).get(record.number) == record.id, f"{name} is not in its queue")
    active = record.number in book.run_queue.active(record.pipeline)
    require(active != record.waiting, f"{name}: whether it was let in is off")
    if not record.waiting:
        require(admission.open_dependency(book, run) is None, f"{name} was let in before what it depends on")
        return
    require(record.state is RunState.QUEUED, f"{name} waits and is {record.state}")
    require(not record.cancel_by, f"{name} was cancelled and waits")
    begun = [job.record.name for job in run.jobs if job.record.attempt or job.record.state is JobState.QUEUED]
    require(not begun, f"{name} was not let in, and these go on: {begun}")


def _check_pipeline(book: Book, pipeline: PipelineId) -> None:
    """No more runs are active than their limits allow, and none waits for nothing."""
    runs = [book.runs[run] for run in book.run_queue.open(pipeline).values()]
    active = [run for run in runs if not run.record.waiting]
    # Of runs with different limits (the pipeline was changed) the one that was let in last had room when it was.
    limits = [run.spec.max_parallel_runs for run in active]
    require(not active or not all(limits) or len(active) <= max(limits), f"{len(active)} runs of {pipeline} are active")
    free = [run for run in runs if run.record.waiting and admission.open_dependency(book, run) is None]
    first = min(free, key=lambda run: (-run.record.priority, run.record.number), default=None)
    head = book.run_queue.head(pipeline)
    require(head == (first and first.record.id), f"{pipeline}: {head} is let in next, it should be {first}")
    require(first is None or admission.is_full(book, first), f"{head} waits, and nothing holds it back")
