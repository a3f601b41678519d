"""Minions: how they join, and what they say of their jobs. What people say of them is in `wishes`.

`session` counts a minion's incarnations. Its newest value is the floor, stored with everything that follows from it in
one transaction. Sessions are compared with `<`, never with `!=`: a greater one was granted by a master too, and is only
unknown if the store was set back. How a lease is lost is in `liveness`; what a journal proves, in `inventory`.
"""

import re

from msgspec.structs import replace

from cicd.core import attempts, inventory, liveness
from cicd.core.book import Book, MinionEntry
from cicd.core.events import (
    MinionFinishedJob,
    MinionSaidHello,
    MinionStartedJob,
)
from cicd.core.plan import Answer, Bind, Expel
from cicd.messages.base import PROTOCOL_VERSION, MinionId
from cicd.messages.cluster import Connection, MinionRecord
from cicd.messages.enrol import Enrol
from cicd.messages.minion import Entry, EntryState, Fenced, Hello, Refused, Welcome

MAX_SLOTS = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TEXT_LENGTH = 200
_MOST_WORDS = 1000


def hello(book: Book, event: MinionSaidHello) -> None:
    """Let a minion in, or say why not; then hold its inventory against what it should be running."""
    message = event.hello
    refusal = _refusal(book, message) or _refusal_of_key(book, event)
    if refusal is not None:
        book.plan.effects.append(Answer(event.origin, refusal))
        return
    entry = book.minions.get(message.minion) or enter(book, message.minion, message.name)
    if message.session and message.session < entry.floor:
        book.plan.effects.append(Answer(event.origin, Fenced(floor=entry.floor)))
        return
    session = message.session or entry.record.session + 1
    entry.connection = Connection.READY
    entry.beat_seq = 0
    entry.take_load(message.load)
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


def is_as_stored(record: MinionRecord, event: MinionSaidHello) -> bool:
    """Return whether a Hello is of the session, name and kind of key that its minion's record has: no decision."""
    message = event.hello
    return (
        event.enrolled == bool(record.key)
        and message.protocol == PROTOCOL_VERSION
        and message.session == record.session
        and not record.fenced
        and message.name == record.name
    )


def _refusal(book: Book, message: Hello) -> Refused | None:
    if message.protocol != PROTOCOL_VERSION:
        text = f"this master speaks protocol {PROTOCOL_VERSION}, the minion {message.protocol}"
        return Refused(code="protocol", text=text)
    if not is_well_formed(message):
        return Refused(code="malformed", text="the minion's name, id, host name, labels or another text is malformed")
    taken = name_is_taken(book, message.minion, message.name)
    return Refused(code="name_taken", text=taken, retryable=True) if taken else None


def _refusal_of_key(book: Book, event: MinionSaidHello) -> Refused | None:
    """Only a minion's own key speaks for it, if it has one; a token's key for those that never had one."""
    entry = book.minions.get(event.hello.minion)
    has_key = entry is not None and bool(entry.record.key)
    if event.enrolled and not has_key:
        text = "this master does not know the minion: it has to enrol"
        return Refused(code="not_enrolled", text=text, retryable=True)
    if has_key and not event.enrolled:
        book.refused += 1
        return Refused(code="own_key", text="this minion has a key of its own: a join token does not speak for it")
    return None


def is_well_formed(message: Hello | Enrol) -> bool:
    """Return whether what a minion says of itself can be stored and shown."""
    texts = [message.hostname, message.version]
    if isinstance(message, Hello):
        words = (*message.labels, *message.tags, *message.capabilities)
        if len(words) > _MOST_WORDS:
            return False
        texts += [message.platform, message.python, *words]
    named = _NAME.fullmatch(message.name) and _ID.fullmatch(message.minion)
    return named is not None and all(len(text) <= _TEXT_LENGTH for text in texts)


def name_is_taken(book: Book, minion: MinionId, name: str) -> str:
    """Return why a minion may not have this name; empty: it may."""
    holder_id = book.minion_by_name.get(name)
    if holder_id is None or holder_id == minion:
        return ""
    holder = book.minions[holder_id]
    # A minion whose data folder was lost comes back under its old name with a new id. While the old one may still
    # be there, two machines claim one name.
    if holder.connection is Connection.LOST and minion not in book.minions:
        return ""
    return f"another minion ({holder.record.hostname}) is called {name!r}; give this one a name of its own"


def enter(book: Book, minion: MinionId, name: str) -> MinionEntry:
    """Make the record of a minion that was never seen; it takes over the name and place of a lost one of its name."""
    old_id = book.minion_by_name.get(name)
    if old_id is None:
        record = MinionRecord(id=minion, name=name, ring=book.next_place, joined_s=book.now.wall_s)
    else:
        old = book.minions[old_id].record
        if old.key:
            drop_key(book, old)
        forget(book, old)
        record = MinionRecord(
            id=minion,
            name=name,
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


def forget(book: Book, record: MinionRecord) -> None:
    """Take a minion that holds no jobs out of the book and the store."""
    del book.minions[record.id]
    del book.minion_by_name[record.name]
    del book.minion_by_place[record.ring]
    book.ring.close(record.ring)
    book.plan.minions.pop(record.id, None)
    # One that changed its name in this batch is there with the name that the store knows.
    book.plan.forgotten_minions.setdefault(record.id, record)


def drop_key(book: Book, record: MinionRecord) -> None:
    """Let a minion's key in no more."""
    del book.minion_by_key[record.key]
    book.plan.effects.append(Expel(record.id, record.key))


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
