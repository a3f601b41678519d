"""A job's way along the table, with everything that follows from its new state.

Slots are given back, the ready queue is kept, jobs that need this one become ready or are skipped, and the run ends
with its last job.
"""

from msgspec.structs import replace

from cicd.core.book import Book, JobEntry, RunEntry
from cicd.core.lifecycle import HELD, TERMINAL, JobEvent, next_state, run_outcome
from cicd.messages.run import JobState

NEEDS_LIMIT_BYTES = 160 * 1024
"""Most bytes of outputs that one job can be handed: a RunJob has to fit into a frame."""
_ITEM_BYTES = 10
"""What a name and a value cost on the wire beside their own bytes, at most."""
_STORY = 6


def move(book: Book, job: JobEntry, event: JobEvent, *, message: str | None = None) -> None:
    """Take a job along one row of the table.

    Args:
        book: the state.
        job: the job.
        event: what has happened to it.
        message: for people; None: it keeps the one that it has.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    _step(book, job, event, message)
    if job.record.state in TERMINAL:
        _ended(book, job)


def make_ready(book: Book, job: JobEntry) -> None:
    """Queue a job whose needs have succeeded; or fail it if what they returned is too large to be handed on."""
    move(book, job, JobEvent.NEEDS_MET)
    size = sum(_size(need, job.run.by_name[need].record.outputs) for need in dict.fromkeys(job.spec.needs))
    if size > NEEDS_LIMIT_BYTES:
        text = f"the outputs of the jobs it needs are {size} bytes, over the limit of {NEEDS_LIMIT_BYTES}"
        move(book, job, JobEvent.FAIL, message=text)


def _size(need: str, outputs: dict[str, str]) -> int:
    if not outputs:
        return 0
    content = sum(len(key.encode()) + len(value.encode()) + _ITEM_BYTES for key, value in outputs.items())
    return len(need.encode()) + 2 * _ITEM_BYTES + content


def _step(book: Book, job: JobEntry, event: JobEvent, message: str | None) -> None:
    old = job.record.state
    new = next_state(f"job {job.record.id}", old, event, job.history)
    job.history = (*job.history[1 - _STORY :], event)
    tally = job.run.tally
    tally[old] -= 1
    tally[new] += 1
    if not tally[old]:
        del tally[old]
    _leave(book, job, old, new)
    changes: dict[str, object] = {"state": new}
    if message is not None:
        changes["message"] = message
    if new is JobState.QUEUED:
        changes.update(queued_s=book.now.wall_s, started_s=0.0, minion=None)
    if new in TERMINAL:
        changes["finished_s"] = book.now.wall_s
    job.record = replace(job.record, **changes)
    book.plan.jobs[job.record.id] = job.record
    if new is JobState.QUEUED:
        book.ready.add(job.record.id, (job.spec.labels, job.run.requires))


def _leave(book: Book, job: JobEntry, old: JobState, new: JobState) -> None:
    """Give back what the old state held."""
    if old is JobState.QUEUED:
        book.ready.remove(job.record.id)
    if old in HELD and new not in HELD and job.record.minion is not None:
        minion = book.minions[job.record.minion]
        del minion.running[job.record.id]
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
                    make_ready(book, dependent)
            elif dependent.record.state is JobState.WAITING:
                _give_up_waiting(book, dependent, ended)
                pending.append(dependent)
    if run.ended and run.record.id in book.runs:
        _end_run(book, run)


def _give_up_waiting(book: Book, job: JobEntry, because: JobEntry) -> None:
    if job.run.record.cancel_by:
        _step(book, job, JobEvent.CANCEL, f"cancelled by {job.run.record.cancel_by}")
    else:
        text = f"it needs {because.record.name}, which was {because.record.state}"
        _step(book, job, JobEvent.NEEDS_FAILED, text)


def _end_run(book: Book, run: RunEntry) -> None:
    state = run_outcome(run.tally, cancelled=bool(run.record.cancel_by))
    run.record = replace(run.record, state=state, finished_s=book.now.wall_s)
    book.plan.runs[run.record.id] = run.record
    del book.runs[run.record.id]
    for job in run.jobs:
        del book.jobs[job.record.id]
    if run.request:
        del book.requests[run.request]
