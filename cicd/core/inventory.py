"""What a minion's journal proves about the attempts that it should be running.

The inventory in a Hello or a Beat holds every attempt that the journal knows and the master has not acknowledged.

What is in it is the truth, whenever it was written: it runs, it has finished, it is dead (started, not finished, gone).
What is *not* in it proves little (R8). An attempt that is absent from
- a Hello: nothing. Hellos are sent again, and a late one was written before what it does not know. An attempt of this
  very session is sent again; the minion dedupes.
- a Beat of a newer session than the attempt was sent to: it never began, and RunJobs of an older session are refused:
  safe to withdraw. (Had it been running, the journal has lost it, and nothing of an older session runs: lost.)
- a Beat of the same session, not known to run: RunJob is on its way, or was lost: send it again after a while.
- Beats of the same session for as long as a lease and margin, though it ran: the minion has lost track of it: lost.
"""

from msgspec.structs import replace

from cicd.core import attempts, orders, verdict
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.lifecycle import HELD
from cicd.core.plan import Send
from cicd.messages.base import JobId, MinionId
from cicd.messages.minion import CancelJob, Entry, EntryState, ResultAck
from cicd.messages.run import FailureKind, JobState, Status


def from_hello(book: Book, minion: MinionEntry, inventory: tuple[Entry, ...]) -> None:
    """Take in a Hello's inventory; say again what this session was told and may not have heard."""
    listed = {(entry.job, entry.attempt) for entry in inventory}
    for job in _held(book, minion):
        known = (job.record.id, job.record.attempt) in listed
        if not known and job.record.state is JobState.ASSIGNED and not _of_older_session(minion, job):
            orders.send_run(book, job)
    for entry in inventory:
        report(book, minion, entry)
    for job in _held(book, minion):
        if job.cancel_by:
            orders.send_cancel(book, job)


def from_beat(book: Book, minion: MinionEntry, inventory: tuple[Entry, ...]) -> None:
    """Take in a heartbeat's inventory, what is absent from it too."""
    listed = {(entry.job, entry.attempt) for entry in inventory}
    for job in _held(book, minion):
        if (job.record.id, job.record.attempt) not in listed:
            _absent(book, minion, job)
    for entry in inventory:
        report(book, minion, entry)
    for job in _held(book, minion):
        if job.cancel_by and book.now.boot_s >= job.cancel_due_boot_s:
            orders.send_cancel(book, job)


def _held(book: Book, minion: MinionEntry) -> list[JobEntry]:
    return [book.jobs[job_id] for job_id in minion.running]


def _of_older_session(minion: MinionEntry, job: JobEntry) -> bool:
    return job.current.session < minion.record.session


def _absent(book: Book, minion: MinionEntry, job: JobEntry) -> None:
    runs, now = job.record.state is JobState.RUNNING, book.now.boot_s
    if _of_older_session(minion, job):
        if runs:
            attempts.lose(book, job, f"{minion.record.name} started anew and no longer knows of it", verdict.FORGOTTEN)
        else:
            attempts.withdraw(book, job, f"{minion.record.name} started anew before it began")
    elif not runs:
        if now >= job.run_due_boot_s:
            orders.send_run(book, job)
    elif job.absent_boot_s is None:
        job.absent_boot_s = now
    elif now - job.absent_boot_s >= book.settings.expiry_s:
        attempts.lose(book, job, f"{minion.record.name} no longer knows of it", verdict.FORGOTTEN)


def report(book: Book, minion: MinionEntry, entry: Entry) -> None:
    """Take in one entry of a journal: it runs, it has finished, or it is dead."""
    job = book.jobs.get(entry.job)
    if job is None or not is_current(job, minion.record.id, entry.attempt):
        _stale(book, minion, job, entry)
        return
    result = entry.result
    if entry.state is EntryState.DEAD:
        gone = verdict.lost(f"its processes on {minion.record.name} are gone", verdict.GONE)
        result = replace(result or gone, status=Status.LOST, failure_kind=FailureKind.INFRASTRUCTURE)
    elif result is None:  # it runs; or it has finished, with a result too large for a list: that comes by itself
        attempts.started(book, job, 0, book.now.wall_s)
        return
    attempts.finished(book, job, result)
    book.plan.effects.append(Send(minion.record.id, ResultAck(job=entry.job, attempt=entry.attempt)))


def is_current(job: JobEntry, minion: MinionId, attempt: int) -> bool:
    """Return whether this attempt of a job is the current one, on this minion, and its end still open."""
    record = job.record
    is_open = record.state in HELD or record.state is JobState.UNKNOWN
    return is_open and record.attempt == attempt and record.minion == minion


def stale_start(book: Book, minion: MinionEntry, job: JobId, attempt: int) -> None:
    """An attempt that is of no use any more has started: end it."""
    _stale(book, minion, book.jobs.get(job), Entry(job=job, attempt=attempt, state=EntryState.RUNNING))


def _stale(book: Book, minion: MinionEntry, job: JobEntry | None, entry: Entry) -> None:
    """Acknowledge what is of no use any more, so that the minion forgets it; end it if it runs."""
    if job is not None and _never_given(job, minion, entry.attempt):
        book.refused += 1
    elif job is not None and entry.attempt == job.record.attempt and entry.result is not None:
        attempts.revise(book, job, verdict.judged(entry.result))
    if entry.state is EntryState.RUNNING:
        message = CancelJob(
            session=minion.record.session, job=entry.job, attempt=entry.attempt, grace_s=0.0, reason="superseded"
        )
        book.plan.effects.append(Send(minion.record.id, message))
    else:
        book.plan.effects.append(Send(minion.record.id, ResultAck(job=entry.job, attempt=entry.attempt)))


def _never_given(job: JobEntry, minion: MinionEntry, attempt: int) -> bool:
    """Whether a minion speaks of an attempt that was never its own, as far as can be told."""
    newest = job.attempt
    if newest is None or attempt > newest.attempt:
        return True
    return attempt == newest.attempt and newest.minion != minion.record.id
