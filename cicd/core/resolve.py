"""What a person says of a job in doubt: it succeeded, it failed, or it is safe to run it again."""

from msgspec.structs import replace

from cicd.core import jobs
from cicd.core.book import Book, JobEntry
from cicd.core.events import JobResolved
from cicd.core.lifecycle import JobEvent
from cicd.core.plan import Reply
from cicd.errors import CicdError, ConflictError, NotFoundError
from cicd.messages.run import JobState, Resolution, ResolvedAs, RunRecord

_EVENTS = {
    ResolvedAs.SUCCEEDED: JobEvent.SUCCEED,
    ResolvedAs.FAILED: JobEvent.FAIL,
    ResolvedAs.RETRY: JobEvent.REQUEUE,
}
_WORDS = {
    ResolvedAs.SUCCEEDED: "says it succeeded",
    ResolvedAs.FAILED: "says it failed",
    ResolvedAs.RETRY: "lets it run again",
}


def resolve(book: Book, event: JobResolved) -> None:
    """Take a person's word for what became of a job; who said it, and why, is kept with the job."""
    answer = _resolve(book, event)
    if event.asker is not None:
        book.plan.effects.append(Reply(event.asker, answer))


def _resolve(book: Book, event: JobResolved) -> RunRecord | CicdError:
    job = book.jobs.get(event.job)
    if job is None:
        return NotFoundError(f"job {event.job} is not active: its run has ended, or there is none")
    if job.record.state is not JobState.UNKNOWN:
        text = f"{job.record.name} is {job.record.state}: only a job in doubt (unknown) can be resolved"
        return ConflictError(text)
    _take_word(book, job, event)
    return job.run.record


def _take_word(book: Book, job: JobEntry, event: JobResolved) -> None:
    record = job.record
    word = Resolution(how=event.how, by=event.by, why=event.why, attempt=record.attempt, resolved_s=book.now.wall_s)
    again = event.how is ResolvedAs.RETRY
    # A person's word begins a new count: what was lost before says nothing against trying once more.
    lost = 0 if again else record.lost
    job.record = replace(record, resolution=word, granted=record.granted + again, lost=lost)
    why = f": {event.why}" if event.why else ""
    jobs.move(book, job, _EVENTS[event.how], message=f"{event.by} {_WORDS[event.how]}{why}")
