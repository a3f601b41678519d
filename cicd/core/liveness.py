"""How long a minion's silence may last: suspect first, then lost.

Two times are compared, never mixed. The minion's own clock: its lease is valid for `lease_s` from when it *sent* the
heartbeat that was answered, and it kills its jobs then by itself. The master's clock: it gives a minion up
`lease_s + margin` after it *received* the last one, which is always later. Losing the lease sets `fenced`: then even
the newest session is over, in one transaction with what is lost by it.
"""

from msgspec.structs import replace

from cicd.core import attempts, health, inventory, verdict
from cicd.core.book import Book, MinionEntry
from cicd.core.events import MinionBeat, MinionDisconnected, MinionSaidGoodbye
from cicd.core.plan import Notice, Send
from cicd.messages.cluster import Connection, HealthReason
from cicd.messages.evidence import Evidence
from cicd.messages.minion import BeatAck, Fenced
from cicd.messages.run import JobState


def beat(book: Book, event: MinionBeat) -> None:
    """A heartbeat: extend the lease and take in what it reports; or say that the session is over."""
    entry, message = book.minions.get(event.minion), event.beat
    if entry is None:
        book.refused += 1
        return
    if is_over(book, entry, message.session):
        return
    if message.session > entry.record.session or message.seq <= entry.beat_seq:
        book.refused += 1
        return
    entry.beat_seq = message.seq
    entry.take_load(message.load)
    extend(book, entry, event.received_boot_s)
    feel(book, entry, message.health)
    if entry.connection is not Connection.READY:
        _move(book, entry, Connection.READY, "it beats")
    inventory.from_beat(book, entry, message.inventory)
    ack = BeatAck(
        session=message.session,
        seq=message.seq,
        sent_boot_s=message.sent_boot_s,
        wall_s=book.now.wall_s,
        leave=entry.record.draining and not entry.running,
    )
    book.plan.effects.append(Send(event.minion, ack))


def feel(book: Book, entry: MinionEntry, reasons: tuple[HealthReason, ...]) -> None:
    """Take in whether a minion is well: while it is not it gets no new jobs; what runs goes on."""
    before = entry.health
    if reasons == before:
        return
    entry.health = health.bounded(reasons)
    book.reopen(entry)
    if [reason.source for reason in before] != [reason.source for reason in entry.health]:
        state = "unhealthy" if entry.health else "healthy"
        book.plan.effects.append(Notice(entry.record.id, entry.record.name, state, health.in_words(entry.health)))


def _move(book: Book, entry: MinionEntry, connection: Connection, why: str) -> None:
    entry.connection = connection
    book.reopen(entry)
    book.plan.effects.append(Notice(entry.record.id, entry.record.name, str(connection), why))


def is_over(book: Book, entry: MinionEntry, session: int) -> bool:
    """Return whether a session is below the floor; if so the minion is told."""
    if session < entry.floor:
        book.plan.effects.append(Send(entry.record.id, Fenced(floor=entry.floor)))
        return True
    return False


def extend(book: Book, entry: MinionEntry, received_boot_s: float) -> None:
    """A sign of life that is answered: the minion's lease begins anew.

    One that waited while the master stood still counts from when that was over: `grace` has spared those who were
    known, and whoever says Hello meanwhile is to be spared too.
    """
    received_boot_s = max(received_boot_s, book.awake_boot_s)
    entry.seen_boot_s = max(entry.seen_boot_s, received_boot_s)
    entry.seen_wall_s = book.now.wall_s
    entry.closed = False
    entry.expires_boot_s = max(entry.expires_boot_s, received_boot_s + book.settings.expiry_s)


def disconnected(book: Book, event: MinionDisconnected) -> None:
    """The connection broke: no new work until a sign of life. The lease goes on."""
    entry = book.minions.get(event.minion)
    if entry is None:
        return
    entry.closed = True
    if entry.connection is Connection.READY:
        _move(book, entry, Connection.SUSPECT, "its connection broke")


def goodbye(book: Book, event: MinionSaidGoodbye) -> None:
    """A minion has left on purpose: nothing of its session can act any more. That is not the fault of a job.

    A drain is over by that. What an idle one was given and has not begun crossed its Goodbye: nobody ever ran it.
    """
    entry = book.minions.get(event.minion)
    if entry is None or event.goodbye.session != entry.record.session or entry.record.fenced:
        return
    why = f"{entry.record.name} was stopped"
    for job in [book.jobs[job_id] for job_id in entry.running] if event.goodbye.idle else []:
        if job.record.state is JobState.ASSIGNED:
            attempts.withdraw(book, job, why)
    entry.record = replace(entry.record, left=True, draining=False)
    _give_up(book, entry, why, verdict.STOPPED, counts=False)


def expire(book: Book) -> None:
    """Look at every minion's silence."""
    now = book.now.boot_s
    for entry in book.minions.values():
        if entry.connection is Connection.LOST:
            continue
        if now >= entry.expires_boot_s:
            silent_s = now - entry.seen_boot_s
            evidence = verdict.silence(
                heard_s=entry.seen_wall_s,
                silent_s=silent_s,
                heartbeat_s=book.settings.heartbeat_s,
                closed=entry.closed,
            )
            why = f"{entry.record.name} was lost: not heard of for {silent_s:.0f} s"
            _give_up(book, entry, why, evidence, counts=True)
        elif entry.connection is Connection.READY and now - entry.seen_boot_s >= book.settings.suspect_s:
            _move(book, entry, Connection.SUSPECT, f"not heard of for {now - entry.seen_boot_s:.1f} s")


def _give_up(book: Book, entry: MinionEntry, why: str, evidence: Evidence, *, counts: bool) -> None:
    """The floor rises and every job is lost, in one transaction."""
    entry.health = ()
    _move(book, entry, Connection.LOST, why)
    book.save_minion(entry, replace(entry.record, fenced=True))
    for job in [book.jobs[job_id] for job_id in entry.running]:
        attempts.lose(book, job, why, evidence, counts=counts)


def grace(book: Book) -> None:
    """The master itself stood still, or has just started: nobody is expired for that."""
    book.awake_boot_s = book.now.boot_s
    for entry in book.minions.values():
        if entry.connection is not Connection.LOST:
            entry.seen_boot_s = book.now.boot_s
            entry.expires_boot_s = max(entry.expires_boot_s, book.now.boot_s + book.settings.expiry_s)
