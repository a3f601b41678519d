"""Concurrency groups: at most one job of a group runs at a time, in all runs of all pipelines.

A job holds its group from when it is assigned until it has ended, or waits for its next attempt: the one before can no
longer act, and who waits for a minion or for the time of a retry keeps nobody from working. A job in doubt holds on:
nobody knows yet how far it came. The others wait in the ready queue, in order, and hold up nobody else there.
"""

from cicd.core.book import Book, JobEntry
from cicd.core.lifecycle import HELD
from cicd.messages.run import JobState

HOLDING: frozenset[JobState] = HELD | {JobState.LOST, JobState.UNKNOWN}
"""States in which a job holds its group; LOST is passed through within a step."""


def moved(book: Book, job: JobEntry, old: JobState, new: JobState) -> None:
    """Take or give back the group of a job whose state changes."""
    group = job.spec.group
    if not group or (old in HOLDING) == (new in HOLDING):
        return
    if new in HOLDING:
        _hold(book, job)
    else:
        del book.groups[group]
        book.ready.release(group)


def restored(book: Book, job: JobEntry) -> None:
    """Take up that a job holds its group, if it does."""
    if job.spec.group and job.record.state in HOLDING:
        _hold(book, job)


def _hold(book: Book, job: JobEntry) -> None:
    book.groups[job.spec.group] = job.record.id
    book.ready.hold(job.spec.group)


def why(book: Book, job: JobEntry) -> str:
    """Return who holds the group of a queued job; empty: nobody."""
    holder = book.groups.get(job.spec.group)
    if holder is None:
        return ""
    held_by = book.jobs[holder]
    doubt = " (in doubt)" if held_by.record.state is JobState.UNKNOWN else ""
    run = held_by.run.record
    return f"group {job.spec.group} is held by {run.pipeline_name}#{run.number} job {held_by.record.name}{doubt}"
