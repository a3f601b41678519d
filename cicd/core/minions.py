"""Minions: how they join, and what they say of their jobs. What people say of them is in `wishes`.

`session` counts a minion's incarnations. Its newest value is the floor, stored with everything that follows from it in
one transaction. Sessions are compared with `<`, never with `!=`: a greater one was granted by a master too, and is only
unknown if the store was set back. How a lease is lost is in `liveness`; what a journal proves, in `inventory`.
"""

from msgspec.structs import replace

from cicd.core import attempts, inventory, liveness
from cicd.core.book import Book, MinionEntry
from cicd.core.events import (
    MinionFinishedJob,
    MinionSaidHello,
    MinionStartedJob,
)
from cicd.core.plan import Answer, Bind
from cicd.messages.base import PROTOCOL_VERSION
from cicd.messages.cluster import Connection, MinionRecord
from cicd.messages.minion import Entry, EntryState, Fenced, Hello, Refused, Welcome

MAX_SLOTS = 1024


def hello(book: Book, event: MinionSaidHello) -> None:
    """Let a minion in, or say why not; then hold its inventory against what it should be running."""
    message = event.hello
    refusal = _refusal(book, message)
    if refusal is not None:
        book.plan.effects.append(Answer(event.origin, refusal))
        return
    entry = book.minions.get(message.minion) or _enter(book, message)
    if message.session and message.session < entry.floor:
        book.plan.effects.append(Answer(event.origin, Fenced(floor=entry.floor)))
        return
    session = message.session or entry.record.session + 1
    entry.connection = Connection.READY
    entry.beat_seq = 0
    entry.load = message.load
    liveness.feel(book, entry, message.health)
    liveness.extend(book, entry, event.received_boot_s)
    _rename(book, entry, message.name)
    book.save_minion(entry, _described(entry.record, message, session))
    book.plan.effects.append(Bind(message.minion, event.origin, message.name))
    book.plan.effects.append(Answer(event.origin, welcome(book, message, session)))
    inventory.from_hello(book, entry, message.inventory)


def welcome(book: Book, message: Hello, session: int) -> Welcome:
    """Return the answer to a Hello that is accepted."""
    return Welcome(
        session=session,
        lease_s=book.settings.lease_s,
        heartbeat_s=book.settings.heartbeat_s,
        sent_boot_s=message.sent_boot_s,
    )


def is_as_stored(record: MinionRecord, message: Hello) -> bool:
    """Return whether a Hello is of the session and the name that its minion's record has: nobody has to decide."""
    return (
        message.protocol == PROTOCOL_VERSION
        and message.session == record.session
        and not record.fenced
        and message.name == record.name
    )


def _refusal(book: Book, message: Hello) -> Refused | None:
    if message.protocol != PROTOCOL_VERSION:
        text = f"this master speaks protocol {PROTOCOL_VERSION}, the minion {message.protocol}"
        return Refused(code="protocol", text=text)
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
    if old_id is None:
        record = MinionRecord(id=message.minion, name=message.name, ring=book.next_place, joined_s=book.now.wall_s)
    else:
        old = book.minions.pop(old_id).record
        book.plan.minions.pop(old_id, None)
        book.plan.forgotten_minions[old_id] = old
        record = MinionRecord(
            id=message.minion,
            name=message.name,
            ring=old.ring,
            joined_s=book.now.wall_s,
            suspended=old.suspended,
            suspended_by=old.suspended_by,
            suspended_why=old.suspended_why,
            suspended_s=old.suspended_s,
        )
    entry = MinionEntry(record=record, connection=Connection.JOINING, seen_boot_s=book.now.boot_s)
    book.add_minion(entry)
    return entry


def _rename(book: Book, entry: MinionEntry, name: str) -> None:
    old = entry.record
    if old.name != name:
        del book.minion_by_name[old.name]
        book.minion_by_name[name] = old.id
        book.plan.forgotten_minions.setdefault(old.id, old)  # frees the old name in the store


def _described(record: MinionRecord, message: Hello, session: int) -> MinionRecord:
    return replace(
        record,
        name=message.name,
        session=session,
        fenced=False,
        left=False,
        hostname=message.hostname,
        version=message.version,
        platform=message.platform,
        labels=message.labels,
        tags=message.tags,
        slots=max(1, min(message.slots, MAX_SLOTS)),
    )


def started(book: Book, event: MinionStartedJob) -> None:
    """An attempt runs, if it is the current one and the minion's own."""
    entry, message = book.minions.get(event.minion), event.started
    if entry is None:
        book.refused += 1
        return
    if liveness.is_over(book, entry, message.session):
        return
    job = book.jobs.get(message.job)
    if job is None or not inventory.is_current(job, event.minion, message.attempt):
        inventory.stale_start(book, entry, message.job, message.attempt)
        return
    attempts.started(book, job, message.pid, message.started_s)


def finished(book: Book, event: MinionFinishedJob) -> None:
    """An attempt has ended. The current one's result counts, of whatever session; any other is acked and dropped."""
    entry, message = book.minions.get(event.minion), event.finished
    if entry is None:
        book.refused += 1
        return
    item = Entry(job=message.job, attempt=message.attempt, state=EntryState.FINISHED, result=message.result)
    inventory.report(book, entry, item)
