"""A job's way along the table, with everything that follows from its new state.

Slots are given back, the ready queue is kept, jobs that need this one become ready or are skipped, and the run ends
with its last job.
"""

from collections import Counter

from msgspec.structs import replace

from cicd.core import groups, needs
from cicd.core.book import Book, JobEntry, RunEntry
from cicd.core.lifecycle import HELD, TERMINAL, JobEvent, next_state, run_outcome
from cicd.messages.run import JobState, RunState

NEEDS_LIMIT_BYTES = 160 * 1024
"""Most bytes of outputs that one job can be handed: a RunJob has to fit into a frame."""
_ITEM_BYTES = 10
"""What a name and a value cost on the wire beside their own bytes, at most."""
_STORY = 6
_ENDED = {JobState.SUCCEEDED: "succeeded", JobState.FAILED: "failed", JobState.TIMED_OUT: "timed out"}


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
        after_end(book, job)


def make_ready(book: Book, job: JobEntry) -> None:
    """Queue a job whose needs are met; or fail it if what they returned is too large to be handed on.

    A job of a run that has not been let in goes on waiting.
    """
    if job.run.record.waiting:
        return
    _step(book, job, JobEvent.NEEDS_MET, None)
    size = sum(_size(need, job.run.by_name[need].record.outputs) for need in dict.fromkeys(job.spec.needs))
    if size > NEEDS_LIMIT_BYTES:
        text = f"the outputs of the jobs it needs are {size} bytes, over the limit of {NEEDS_LIMIT_BYTES}"
        _step(book, job, JobEvent.FAIL, text)  # whoever calls with needs looks at what follows


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
    groups.moved(book, job, old, new)
    changes: dict[str, object] = {"state": new}
    if message is not None:
        changes["message"] = message
    if new is JobState.QUEUED:
        changes.update(queued_s=book.now.wall_s, backoff_s=0.0, due_boot_s=0.0)
    if new in {JobState.QUEUED, JobState.BACKOFF}:
        changes.update(started_s=0.0, minion=None)
    if old is JobState.QUEUED:
        changes["avoid"] = None
    if new in TERMINAL:
        changes["finished_s"] = book.now.wall_s
    job.record = replace(job.record, **changes)
    book.plan.jobs[job.record.id] = job.record
    if new is JobState.QUEUED:
        book.make_ready(job)


def _leave(book: Book, job: JobEntry, old: JobState, new: JobState) -> None:
    """Give back what the old state held."""
    book.timers.drop(job.record.id)
    if old is JobState.QUEUED:
        book.ready.remove(job.record.id)
    if old in HELD and new not in HELD and job.record.minion is not None:
        minion = book.minions[job.record.minion]
        del minion.running[job.record.id]
        book.reopen(minion)


def after_end(book: Book, job: JobEntry) -> None:
    """Tell the jobs that need this one; end the run with its last job."""
    run = job.run
    # A work list, not recursion: a chain of 10,000 jobs is skipped in one step.
    pending = [job]
    while pending:
        ended = pending.pop()
        for index in run.dependents[ended.record.index]:
            dependent = run.jobs[index]
            is_met = needs.is_met(dependent.spec, ended.record)
            dependent.missing -= is_met
            if dependent.record.state is not JobState.WAITING:
                continue
            if run.record.cancel_by or not is_met:
                _give_up_waiting(book, dependent, ended)
            elif not dependent.missing:
                make_ready(book, dependent)
            if dependent.record.state in TERMINAL:
                pending.append(dependent)
    if run.ended and run.record.id in book.runs:
        _end_run(book, run)


def _give_up_waiting(book: Book, job: JobEntry, because: JobEntry) -> None:
    if job.run.record.cancel_by:
        _step(book, job, JobEvent.CANCEL, job.cancel_reason)
    else:
        state = because.record.state
        was = _ENDED.get(state, f"was {state}")
        text = f"it needs {needs.named(job.spec, because.record.name)}, which {was}"
        _step(book, job, JobEvent.NEEDS_FAILED, text)


def end_unstarted(book: Book, run: RunEntry, why: str) -> None:
    """End a run that was not let in as failed: none of its jobs is run, whatever they need."""
    for job in run.jobs:
        if job.record.state not in TERMINAL:
            _step(book, job, JobEvent.NEEDS_FAILED, why)
    _close(book, run, RunState.FAILED, why)


def _end_run(book: Book, run: RunEntry) -> None:
    tally = Counter(job.record.state for job in run.jobs if not needs.is_allowed(job.record))
    state = run_outcome(tally, cancelled=bool(run.record.cancel_by))
    message = run.record.message
    if state is RunState.CANCELLED and run.record.timed_out:
        state, message = RunState.FAILED, f"took longer than its time limit of {run.record.timeout_s:g} s"
    _close(book, run, state, message)


def _close(book: Book, run: RunEntry, state: RunState, message: str) -> None:
    record = run.record = replace(run.record, state=state, finished_s=book.now.wall_s, message=message, waiting=False)
    book.plan.runs[record.id] = record
    book.note_end(record)
    book.run_queue.leave(record.pipeline, record.number)
    book.timers.drop(record.id)
    del book.runs[record.id]
    for job in run.jobs:
        del book.jobs[job.record.id]
    if run.request:
        book.end_request(run.request, run.record)
