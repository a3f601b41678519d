"""Minions: how they join, how long their lease runs, what their inventory proves, how they are lost.

Two times are compared, never mixed. The minion's own clock: its lease is valid for `lease_s` from when it *sent* the
heartbeat that was answered, and it kills its jobs then by itself. The master's clock: it gives a minion up `lease_s + margin`
after it *received* the last one, which is always later.

`session` counts a minion's incarnations. Its newest value is the floor, stored with everything that follows from it in one
transaction. Losing the lease sets `fenced`: then even the newest session is over.
"""

from msgspec.structs import replace

from cicd.core import runs
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.events import (
    MinionBeat,
    MinionDisconnected,
    MinionFinishedJob,
    MinionResumed,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionStartedJob,
    MinionSuspended,
)
from cicd.core.lifecycle import HELD
from cicd.core.plan import Answer, Bind, Reply, Send
from cicd.errors import NotFoundError
from cicd.messages.base import PROTOCOL_VERSION, JobId, MinionId
from cicd.messages.cluster import Connection, MinionRecord
from cicd.messages.minion import (
    BeatAck,
    CancelJob,
    Entry,
    EntryState,
    Fenced,
    Hello,
    Refused,
    ResultAck,
    Welcome,
)
from cicd.messages.run import FailureKind, JobState, Result, Status

MAX_SLOTS = 1024


def hello(book: Book, event: MinionSaidHello) -> None:
    """Let a minion in, or say why not; then hold its inventory against what it should be running."""
    message = event.hello
    refusal = _refusal(book, message)
    if refusal is not None:
        book.plan.effects.append(Answer(event.origin, refusal))
        return
    entry = book.minions.get(message.minion)
    if entry is None:
        entry = _enter(book, message)
    record = entry.record
    if message.session and (message.session < record.session or record.fenced):
        book.plan.effects.append(Answer(event.origin, Fenced(floor=record.session)))
        return
    session = max(message.session, record.session) if message.session else record.session + 1
    entry.connection = Connection.READY
    entry.beat_seq = 0
    entry.load = message.load
    _extend(book, entry, event.received_boot_s)
    described = replace(
        record,
        name=message.name,
        session=session,
        fenced=False,
        hostname=message.hostname,
        version=message.version,
        platform=message.platform,
        labels=message.labels,
        tags=message.tags,
        slots=max(1, min(message.slots, MAX_SLOTS)),
    )
    if record.name != message.name:
        book.minion_by_name.pop(record.name, None)
    book.minion_by_name[message.name] = message.minion
    book.save_minion(entry, described)
    welcome = Welcome(
        session=session,
        lease_s=book.settings.lease_s,
        heartbeat_s=book.settings.heartbeat_s,
        sent_boot_s=message.sent_boot_s,
    )
    book.plan.effects.append(Bind(message.minion, event.origin, message.name))
    book.plan.effects.append(Answer(event.origin, welcome))
    _reconcile(book, entry, message.inventory)


def _refusal(book: Book, message: Hello) -> Refused | None:
    if message.protocol != PROTOCOL_VERSION:
        return Refused(
            code="protocol", text=f"this master speaks protocol {PROTOCOL_VERSION}, the minion {message.protocol}"
        )
    holder_id = book.minion_by_name.get(message.name)
    if holder_id is None or holder_id == message.minion:
        return None
    holder = book.minions[holder_id]
    # A minion whose data folder was lost comes back under its old name with a new id. While the old one may still
    # be there, two machines claim one name.
    if holder.connection is Connection.LOST and message.minion not in book.minions:
        return None
    return Refused(
        code="name_taken",
        text=f"another minion ({holder.record.hostname}) is called {message.name!r}; give this one a name of its own",
        retryable=True,
    )


def _enter(book: Book, message: Hello) -> MinionEntry:
    """Make the record of a minion that was never seen; it takes over the name and place of a lost one of its name."""
    old_id = book.minion_by_name.get(message.name)
    suspended, by, why = False, "", ""
    if old_id is not None:
        old = book.minions.pop(old_id)
        book.ring.close(old.record.ring)
        book.plan.minions.pop(old_id, None)
        book.plan.forgotten_minions[old_id] = old.record
        place = old.record.ring
        suspended, by, why = old.record.suspended, old.record.suspended_by, old.record.suspended_why
    else:
        place = max(book.minion_by_place, default=-1) + 1
    record = MinionRecord(
        id=message.minion,
        name=message.name,
        ring=place,
        joined_s=book.now.wall_s,
        suspended=suspended,
        suspended_by=by,
        suspended_why=why,
    )
    entry = MinionEntry(record=record, connection=Connection.JOINING, seen_boot_s=book.now.boot_s)
    book.minions[message.minion] = entry
    book.minion_by_name[message.name] = message.minion
    book.minion_by_place[place] = message.minion
    return entry


def _extend(book: Book, entry: MinionEntry, received_boot_s: float) -> None:
    entry.seen_boot_s = max(entry.seen_boot_s, received_boot_s)
    entry.seen_wall_s = book.now.wall_s
    entry.expires_boot_s = max(entry.expires_boot_s, received_boot_s + book.settings.expiry_s)


def _reconcile(book: Book, minion: MinionEntry, inventory: tuple[Entry, ...]) -> None:
    known = {(entry.job, entry.attempt): entry for entry in inventory}
    for job_id in list(minion.running):
        job = book.jobs[job_id]
        if (job_id, job.record.attempt) not in known:
            _absent(book, minion, job)
    for entry in inventory:
        report(book, minion, entry)
    for job_id in minion.running:
        if book.jobs[job_id].run.record.cancel_by:
            runs.send_cancel(book, book.jobs[job_id])


def _absent(book: Book, minion: MinionEntry, job: JobEntry) -> None:
    """The minion's journal does not know an attempt that it holds. Absence alone proves nothing."""
    if job.record.state is JobState.RUNNING:
        runs.lose(book, job, f"{minion.record.name} no longer knows of it")
    elif job.attempt is not None and job.attempt.session < minion.record.session:
        runs.withdraw(book, job, f"{minion.record.name} started anew before it began")
    else:
        runs.send_run(book, job)


def report(book: Book, minion: MinionEntry, entry: Entry) -> None:
    """Take in one entry of a journal: it runs, it has finished, or it is dead."""
    job = book.jobs.get(entry.job)
    if job is None or not _is_current(job, minion.record.id, entry.attempt):
        _stale(book, minion, entry)
        return
    if entry.state is EntryState.RUNNING:
        if job.record.state is JobState.UNKNOWN:
            return
        runs.started(book, job, 0, book.now.wall_s)
        return
    result = entry.result
    if entry.state is EntryState.DEAD or result is None:
        result = replace(
            result or Result(status=Status.LOST, message=f"its processes on {minion.record.name} are gone"),
            status=Status.LOST,
            failure_kind=FailureKind.INFRASTRUCTURE,
        )
    runs.finished(book, job, result)
    book.plan.effects.append(Send(minion.record.id, ResultAck(job=entry.job, attempt=entry.attempt)))


def _stale(book: Book, minion: MinionEntry, entry: Entry) -> None:
    """Acknowledge what is of no use any more, so that the minion forgets it; end it if it runs."""
    if entry.state is EntryState.RUNNING:
        message = CancelJob(
            session=minion.record.session, job=entry.job, attempt=entry.attempt, grace_s=0.0, reason="superseded"
        )
        book.plan.effects.append(Send(minion.record.id, message))
    else:
        book.plan.effects.append(Send(minion.record.id, ResultAck(job=entry.job, attempt=entry.attempt)))


def _is_current(job: JobEntry, minion: MinionId, attempt: int) -> bool:
    record = job.record
    holds = record.state in HELD or record.state is JobState.UNKNOWN
    return holds and record.attempt == attempt and record.minion == minion


def beat(book: Book, event: MinionBeat) -> None:
    """A heartbeat: extend the lease and take in what it reports; or say that the session is over."""
    entry = book.minions.get(event.minion)
    if entry is None:
        book.refused += 1
        return
    message = event.beat
    if _is_over(book, entry, message.session):
        return
    if message.session > entry.record.session or message.seq <= entry.beat_seq:
        book.refused += 1
        return
    entry.beat_seq = message.seq
    entry.load = message.load
    _extend(book, entry, event.received_boot_s)
    if entry.connection is not Connection.READY:
        entry.connection = Connection.READY
        book.reopen(entry)
    for item in message.inventory:
        report(book, entry, item)
    ack = BeatAck(session=message.session, seq=message.seq, sent_boot_s=message.sent_boot_s)
    book.plan.effects.append(Send(event.minion, ack))


def _is_over(book: Book, entry: MinionEntry, session: int) -> bool:
    """Whether a session is older than the floor or has lost its lease; if so the minion is told."""
    if session < entry.record.session or (session == entry.record.session and entry.record.fenced):
        book.plan.effects.append(Send(entry.record.id, Fenced(floor=entry.record.session)))
        return True
    return False


def started(book: Book, event: MinionStartedJob) -> None:
    """An attempt runs, if it is the current one and the minion's own."""
    entry, message = book.minions.get(event.minion), event.started
    if entry is None or _is_over(book, entry, message.session):
        return
    job = book.jobs.get(message.job)
    if job is None or not _is_current(job, event.minion, message.attempt):
        _stale(book, entry, Entry(job=message.job, attempt=message.attempt, state=EntryState.RUNNING))
        return
    runs.started(book, job, message.pid, message.started_s)


def finished(book: Book, event: MinionFinishedJob) -> None:
    """An attempt has ended. A result of the current attempt counts; any other is acknowledged and dropped."""
    entry, message = book.minions.get(event.minion), event.finished
    if entry is None:
        book.refused += 1
        return
    report(
        book,
        entry,
        Entry(job=message.job, attempt=message.attempt, state=EntryState.FINISHED, result=message.result),
    )


def goodbye(book: Book, event: MinionSaidGoodbye) -> None:
    """A minion has left on purpose: nothing of its session can act any more."""
    entry = book.minions.get(event.minion)
    if entry is None or event.goodbye.session != entry.record.session or entry.record.fenced:
        return
    _give_up(book, entry, f"{entry.record.name} was stopped")


def disconnected(book: Book, event: MinionDisconnected) -> None:
    """The connection broke: no new work until a sign of life. The lease goes on."""
    entry = book.minions.get(event.minion)
    if entry is not None and entry.connection is Connection.READY:
        entry.connection = Connection.SUSPECT
        book.reopen(entry)


def suspend(book: Book, event: MinionSuspended) -> None:
    """Give a minion no new jobs until it is resumed. Stored."""
    _say(book, event.minion, event.asker, suspended=True, by=event.by, why=event.why)


def resume(book: Book, event: MinionResumed) -> None:
    """Give a minion jobs again. Stored."""
    _say(book, event.minion, event.asker, suspended=False, by="", why="")


def _say(book: Book, minion: MinionId, asker: object, *, suspended: bool, by: str, why: str) -> None:
    entry = book.minions.get(minion)
    if entry is not None:
        book.save_minion(
            entry, replace(entry.record, suspended=suspended, suspended_by=by, suspended_why=why)
        )
    if asker is not None:
        result = entry.record if entry is not None else NotFoundError(f"no minion {minion}")
        book.plan.effects.append(Reply(asker, result))  # type: ignore[arg-type]  # an Asker, as every caller's


def expire(book: Book) -> None:
    """Look at every minion's silence: suspect first, then lost."""
    now = book.now.boot_s
    for entry in book.minions.values():
        if entry.connection is Connection.LOST:
            continue
        if now >= entry.expires_boot_s:
            _give_up(book, entry, f"{entry.record.name} was lost: not heard of for {now - entry.seen_boot_s:.0f} s")
        elif entry.connection is Connection.READY and now - entry.seen_boot_s >= book.settings.suspect_s:
            entry.connection = Connection.SUSPECT
            book.reopen(entry)


def _give_up(book: Book, entry: MinionEntry, why: str) -> None:
    """The floor rises and every job is lost, in one transaction."""
    entry.connection = Connection.LOST
    book.save_minion(entry, replace(entry.record, fenced=True))
    for job in [book.jobs[job_id] for job_id in entry.running]:
        runs.lose(book, job, why)


def grace(book: Book) -> None:
    """The master itself stood still, or has just started: nobody is expired for that."""
    for entry in book.minions.values():
        if entry.connection is not Connection.LOST:
            entry.seen_boot_s = book.now.boot_s
            entry.expires_boot_s = max(entry.expires_boot_s, book.now.boot_s + book.settings.expiry_s)


def held_by(book: Book, minion: MinionId) -> tuple[JobId, ...]:
    """Return the jobs that hold a minion's slots."""
    return tuple(book.minions[minion].running)
