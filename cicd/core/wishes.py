"""What people say of minions: suspend, resume, drain. Stored, with who and why, until something else is said.

The last word counts. A draining minion is suspended too; once it holds no job it is told to leave (`liveness.beat`),
and with its Goodbye the drain is over: should it come back, it is suspended until it is resumed.
"""

from msgspec.structs import replace

from cicd.core.book import Book
from cicd.core.events import Asker, MinionDrained, MinionResumed, MinionSuspended
from cicd.core.plan import Notice, Reply
from cicd.errors import NotFoundError
from cicd.messages.base import MinionId


def suspend(book: Book, event: MinionSuspended) -> None:
    """Give a minion no new jobs until it is resumed. A drain that is not over is undone: it stays."""
    _say(book, event.minion, event.asker, suspended=True, by=event.by, why=event.why)


def drain(book: Book, event: MinionDrained) -> None:
    """Give a minion no new jobs, and let it leave when it has finished those it has. One that left has drained."""
    _say(book, event.minion, event.asker, suspended=True, draining=True, by=event.by, why=event.why)


def resume(book: Book, event: MinionResumed) -> None:
    """Give a minion jobs again."""
    _say(book, event.minion, event.asker, suspended=False, by=event.by)


def _say(
    book: Book,
    minion: MinionId,
    asker: Asker | None,
    *,
    suspended: bool,
    by: str,
    why: str = "",
    draining: bool = False,
) -> None:
    entry = book.minions.get(minion)
    if entry is not None:
        said = replace(
            entry.record,
            suspended=suspended,
            suspended_by=by if suspended else "",
            suspended_why=why,
            suspended_s=book.now.wall_s if suspended else 0.0,
            draining=draining and not entry.record.left,
        )
        book.save_minion(entry, said)
        book.plan.effects.append(Notice(minion, said.name, str(said.availability), f"{by}: {why}" if why else by))
    if asker is not None:
        result = entry.record if entry is not None else NotFoundError(f"no minion {minion}")
        book.plan.effects.append(Reply(asker, result))
