"""What holds of the core's state between any two batches.

Checked after every step in tests; it costs as much as there is state.
"""

from collections import Counter

from cicd.core import needs, queue_invariants
from cicd.core.book import Book, JobEntry, MinionEntry, RunEntry
from cicd.core.lifecycle import HELD, MAX_LOST_ATTEMPTS, TERMINAL
from cicd.core.ready import meets
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Connection
from cicd.messages.run import JobState, RunState


def check(book: Book) -> None:
    """Check every invariant.

    Raises:
        AssertionError: one does not hold; it says which.
    """
    held: dict[JobId, MinionId] = {}
    for run in book.runs.values():
        _check_run(book, run)
        for job in run.jobs:
            _check_job(book, job)
            if job.record.state in HELD and job.record.minion is not None:
                held[job.record.id] = job.record.minion
    _require(set(held.values()) <= set(book.minions), "a job is held by nobody we know")
    of: dict[MinionId, set[JobId]] = {}
    for job_id, owner in held.items():
        of.setdefault(owner, set()).add(job_id)
    for minion in book.minions.values():
        _check_minion(book, minion, of.get(minion.record.id, set()))
    keys = {minion.record.key: minion.record.id for minion in book.minions.values() if minion.record.key}
    _require(keys == book.minion_by_key, "keys are not their minions' own")
    _require(not keys.keys() & book.removed_keys.keys(), "a key that was removed speaks for a minion")
    _check_work(book)
    queue_invariants.check(book)


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _check_run(book: Book, run: RunEntry) -> None:
    name = run.record.id
    _require(not run.ended, f"{name} has ended and is still held")
    _require(run.tally == Counter(job.record.state for job in run.jobs), f"{name}: tally is off")
    limited = run.record.timeout_s and run.record.started_s and not run.record.cancel_by
    _require((name in book.timers) == bool(limited), f"{name}: its time limit is off")
    begun = any(job.record.attempt for job in run.jobs)
    _require(run.record.state is (RunState.RUNNING if begun else RunState.QUEUED), f"{name}: its state is off")
    _require(all(book.jobs.get(job.record.id) is job for job in run.jobs), f"{name}: its jobs are not in the book")


def _check_job(book: Book, job: JobEntry) -> None:
    record = job.record
    name = f"{record.id} ({record.state})"
    _require(record.state is not JobState.LOST, f"{name} rests in a passing state")
    _require((record.id in book.ready) == (record.state is JobState.QUEUED), f"{name}: ready queue is off")
    doubt = record.state is JobState.UNKNOWN
    if record.state in HELD or doubt:
        _require(record.minion is not None, f"{name} has no minion")
        _require(job.attempt is not None and job.attempt.attempt == record.attempt, f"{name}: attempt is off")
    if record.state in HELD:
        _require(job.attempt is not None and job.attempt.result is None, f"{name}: its attempt has ended")
    _require(job.missing == job.run.missing_needs(job), f"{name}: needs are off")
    if record.state is JobState.WAITING:
        before = [job.run.by_name[need].record for need in job.spec.needs]
        _require(job.missing or job.run.record.waiting, f"{name} waits for nothing")
        in_vain = any(need.state in TERMINAL and not needs.is_met(job.spec, need) for need in before)
        _require(not in_vain, f"{name} waits in vain")
    if record.state in HELD or record.state is JobState.QUEUED:
        _require(not job.missing, f"{name} runs before what it needs")
    _require(record.retries <= job.spec.retry.attempts, f"{name} was tried again too often")
    _require(record.lost <= MAX_LOST_ATTEMPTS, f"{name} was lost too often")
    avoids = record.state is JobState.QUEUED and record.avoid is not None
    timed = record.state is JobState.BACKOFF or avoids
    _require((record.id in book.timers) == timed, f"{name}: its timer is off")
    if job.cancel_by:
        _require(record.state in HELD or record.state in TERMINAL, f"{name} goes on though it is cancelled")


def _check_minion(book: Book, minion: MinionEntry, held: set[JobId]) -> None:
    name = minion.record.name
    _require(set(minion.running) == held, f"{name}: slots are off")
    _require((minion.record.ring in book.ring) == minion.is_open, f"{name}: ring is off")
    _require(book.minion_by_name.get(name) == minion.record.id, f"{name}: its name is not its own")
    _require(book.minion_by_place.get(minion.record.ring) == minion.record.id, f"{name}: its place is not its own")
    record = minion.record
    _require(record.suspended or not record.draining, f"{name} drains and is not suspended")
    _require(record.fenced or not record.left, f"{name} has left, and its session is valid")
    _require(not (record.left and record.draining), f"{name} has left and still drains")
    lost = minion.connection is Connection.LOST
    _require(lost == minion.record.fenced, f"{name} is {minion.connection}, its session says otherwise")
    _require(not (lost and minion.running), f"{name} is lost and holds jobs")


def _check_work(book: Book) -> None:
    """No job waits for a minion while one that suits it is open."""
    for wanted in book.ready.requirements():
        idle = [m.record.name for m in book.minions.values() if m.is_open and meets(m.record, wanted)]
        _require(not idle, f"jobs that require {wanted} wait, and {idle} are open")
