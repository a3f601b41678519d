"""What the master still does while its store takes nothing (a full disk): it answers signs of life, and nothing else.

The core's state is ahead of the store by the one plan that waits for room. It takes in no event meanwhile, or it would
get further ahead. But minions that hear nothing end their jobs when their lease is over; so what needs no decision is
answered here:

- a Beat of a session that is neither over nor fenced in the core's own state, which holds the waiting plan too: a
  minion that this plan gives up gets no more time, whether that is stored yet or not;
- a Hello that changes nothing: known minion, same name, same session. New sessions are granted by the store alone.

The answers extend leases. The core must know of that before it judges anybody's silence, so the newest of each
minion is kept, and is handed in first when the store takes writes again. Results and starts are not kept: they are in
each Beat's inventory, and minions say them again. People are told that the disk is full.
"""

from dataclasses import dataclass

from cicd.core import minions
from cicd.core.book import Book
from cicd.core.events import Asker, Event, MinionBeat, MinionSaidGoodbye, MinionSaidHello
from cicd.core.plan import Answer, Bind, Effect, Reply, Send
from cicd.errors import CicdError
from cicd.messages.base import MinionId
from cicd.messages.minion import BeatAck


@dataclass(slots=True)
class _Heard:
    """The newest of a minion's words, in the order in which they count."""

    hello: MinionSaidHello | None = None
    beat: MinionBeat | None = None
    goodbye: MinionSaidGoodbye | None = None

    def events(self) -> list[Event]:
        return [event for event in (self.hello, self.beat, self.goodbye) if event is not None]


class Standstill:
    """One standstill of a core, from the plan that found no room until it is stored.

    Args:
        book: the core's state; read only.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._heard: dict[MinionId, _Heard] = {}

    def take(self, events: list[Event], refusal: CicdError) -> list[Effect]:
        """Return what may be done about events before anything is stored.

        Args:
            events: what has happened, in order.
            refusal: what people's calls are answered with.
        """
        effects: list[Effect] = []
        for event in events:
            match event:
                case MinionBeat():
                    effects += self._beat(event)
                case MinionSaidHello():
                    effects += self._hello(event)
                case MinionSaidGoodbye():
                    self._of(event.minion).goodbye = event
                case _:
                    asker: Asker | None = getattr(event, "asker", None)
                    if asker is not None:
                        effects.append(Reply(asker, refusal))
        return effects

    def kept(self) -> list[Event]:
        """Return what the core has to take in before anything else: at most three events of a minion."""
        return [event for heard in self._heard.values() for event in heard.events()]

    def _beat(self, event: MinionBeat) -> list[Effect]:
        entry, beat = self._book.minions.get(event.minion), event.beat
        if entry is None or entry.record.fenced or beat.session != entry.record.session:
            return []
        self._of(event.minion).beat = event
        return [Send(event.minion, BeatAck(session=beat.session, seq=beat.seq, sent_boot_s=beat.sent_boot_s))]

    def _hello(self, event: MinionSaidHello) -> list[Effect]:
        message = event.hello
        entry = self._book.minions.get(message.minion)
        if entry is None or not minions.is_as_stored(entry.record, event):
            return []
        self._heard[message.minion] = _Heard(hello=event)
        return [
            Bind(message.minion, event.origin, message.name),
            Answer(event.origin, minions.welcome(self._book, message, message.session)),
        ]

    def _of(self, minion: MinionId) -> _Heard:
        return self._heard.setdefault(minion, _Heard())
