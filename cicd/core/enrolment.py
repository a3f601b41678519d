"""Enrolment: which keys speak for which minions, and the join tokens that let new keys in.

A token lets keys in, until it expires, is used up or is revoked; none of that touches a key that is in. A key belongs
to one minion for good. It goes when its minion is removed, or when another one takes over the name of a minion that is
lost, with nothing but a token in its hand: while the old one may still be there, two machines claim one name.
"""

import re

from msgspec.structs import replace

from cicd.core import liveness, minions
from cicd.core.book import Book, MinionEntry
from cicd.core.events import MinionAskedToEnrol, MinionRemoved, TokenCreated, TokenRevoked
from cicd.core.plan import Admit, AnswerJoiner, CloseToken, OpenToken, Reply
from cicd.errors import CicdError, ConflictError, NotFoundError
from cicd.messages.base import PROTOCOL_VERSION
from cicd.messages.cluster import Connection, MinionRecord, RemovedKey
from cicd.messages.enrol import Enrol, Enrolled, EnrolRefused

_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
"""A key in z85. Source: https://rfc.zeromq.org/spec/32/"""


def enrol(book: Book, event: MinionAskedToEnrol) -> None:
    """Take a minion's key, or say why not. The same key again: nothing changes, and the answer is the same."""
    ask = event.ask
    entry = book.minions.get(ask.minion)
    is_known = entry is not None and entry.record.key == ask.key
    refusal = _refusal(ask) or (None if is_known else _refusal_of_new(book, event, entry))
    if refusal is not None:
        book.refused += 1
        book.plan.effects.append(AnswerJoiner(event.origin, refusal))
        return
    if entry is None:
        entry = minions.enter(book, ask.minion, ask.name)
        liveness.extend(book, entry, book.now.boot_s)
    if not is_known:
        _change_key(book, entry, ask)
        token = book.tokens[event.token]
        book.tokens[token.id] = book.plan.tokens[token.id] = replace(token, uses=token.uses + 1)
    book.plan.effects.append(Admit(ask.minion, ask.key))
    book.plan.effects.append(AnswerJoiner(event.origin, Enrolled(minion=ask.minion)))


def _change_key(book: Book, entry: MinionEntry, ask: Enrol) -> None:
    record = entry.record
    if record.key:
        minions.drop_key(book, record)
    book.minion_by_key[ask.key] = record.id
    book.save_minion(entry, replace(record, key=ask.key, hostname=ask.hostname, version=ask.version))


def _refusal(ask: Enrol) -> EnrolRefused | None:
    if ask.protocol != PROTOCOL_VERSION:
        text = f"this master speaks protocol {PROTOCOL_VERSION}, the minion {ask.protocol}"
        return EnrolRefused(code="protocol", text=text)
    if not (_KEY.fullmatch(ask.key) and minions.is_well_formed(ask)):
        return EnrolRefused(code="malformed", text="the minion's name, id, host name, version or key is malformed")
    return None


def _refusal_of_new(book: Book, event: MinionAskedToEnrol, entry: MinionEntry | None) -> EnrolRefused | None:
    token = book.tokens.get(event.token)
    if token is None or token.revoked:
        return EnrolRefused(code="token_unknown", text=f"join token {event.token} is unknown or was revoked")
    if token.expires_s and book.now.wall_s >= token.expires_s:
        return EnrolRefused(code="token_expired", text=f"join token {token.id} has expired; ask for a new one")
    refusal = _refusal_of_key(book, event.ask, entry)
    if refusal is None and token.max_uses and token.uses >= token.max_uses:
        text = f"join token {token.id} has let in {token.uses} of {token.max_uses} minions; ask for a new one"
        return EnrolRefused(code="token_used_up", text=text)
    return refusal


def _refusal_of_key(book: Book, ask: Enrol, entry: MinionEntry | None) -> EnrolRefused | None:
    removed = book.removed_keys.get(ask.key)
    if removed is not None:
        text = f"this minion was removed by {removed.removed_by}; to join anew it needs an empty data folder"
        return EnrolRefused(code="removed", text=text)
    if ask.key in book.minion_by_key:
        return EnrolRefused(code="key_taken", text="this key belongs to another minion: was the data folder copied?")
    taken = minions.name_is_taken(book, ask.minion, ask.name)
    if taken:
        return EnrolRefused(code="name_taken", text=taken, retryable=True)
    if entry is not None and entry.record.key and entry.connection is not Connection.LOST:
        text = f"minion {entry.record.name!r} has another key, which counts until the minion is lost or removed"
        return EnrolRefused(code="id_taken", text=text, retryable=True)
    return None


def remove(book: Book, event: MinionRemoved) -> None:
    """Forget a minion that holds no jobs; its name is free, its key is let in no more."""
    result = _remove(book, book.minions.get(event.minion), event.by)
    if event.asker is not None:
        book.plan.effects.append(Reply(event.asker, result))


def _remove(book: Book, entry: MinionEntry | None, by: str) -> MinionRecord | CicdError:
    if entry is None:
        return NotFoundError("there is no such minion any more")
    record = entry.record
    if entry.running:
        what = "a job" if len(entry.running) == 1 else f"{len(entry.running)} jobs"
        return ConflictError(f"minion {record.name!r} holds {what}: suspend it and wait, or cancel them")
    if record.key:
        minions.drop_key(book, record)
        book.removed_keys[record.key] = book.plan.removed_keys[record.key] = RemovedKey(
            key=record.key, minion=record.id, name=record.name, removed_s=book.now.wall_s, removed_by=by
        )
    minions.forget(book, record)
    return record


def create_token(book: Book, event: TokenCreated) -> None:
    """Let a new token in."""
    token = event.token
    book.tokens[token.id] = book.plan.tokens[token.id] = token
    book.plan.effects.append(OpenToken(token))
    if event.asker is not None:
        book.plan.effects.append(Reply(event.asker, token))


def revoke_token(book: Book, event: TokenRevoked) -> None:
    """Let nobody in with a token any more; minions that have keys of their own stay."""
    token = book.tokens.get(event.token)
    if token is not None:
        token = book.tokens[token.id] = book.plan.tokens[token.id] = replace(token, revoked=True)
        book.plan.effects.append(CloseToken(token))
    if event.asker is not None:
        result = token or NotFoundError(f"no token {event.token!r}; `cicd tokens list` shows those there are")
        book.plan.effects.append(Reply(event.asker, result))
