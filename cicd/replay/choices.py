"""Why this minion: looks on while a core that is decided again goes round the ring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cicd.core import waits
from cicd.core.book import Book, JobEntry
from cicd.core.ready import Requirements, meets
from cicd.core.ring import Ring
from cicd.messages.cluster import MinionRecord

_SHOWN = 4


@dataclass(frozen=True, slots=True)
class _PassedOver:
    minion: MinionRecord
    state: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One turn of the ring.

    Attributes:
        name: of the minion that was chosen.
        after: the minion that was served last; empty: none yet.
        taken: slots of the chosen one that were taken.
        slots: all of them.
        passed_over: those that stand between the two in the ring.
    """

    name: str
    after: str
    taken: int
    slots: int
    passed_over: tuple[_PassedOver, ...]

    def in_words(self, job: JobEntry) -> str:
        """Return why the chosen minion was given a job."""
        parts = [self._turn(), f"{self.slots - self.taken} of {self.slots} slots free"]
        over = [f"{item.minion.name}: {_why_not(item, job)}" for item in self.passed_over]
        if over:
            more = f" and {len(over) - _SHOWN} more" if len(over) > _SHOWN else ""
            parts.append(f"passed over: {', '.join(over[:_SHOWN])}{more}")
        return "; ".join(parts)

    def _turn(self) -> str:
        if not self.after:
            return "the first in the ring"
        if self.after == self.name:
            return "the ring came round to it again"
        return f"next in the ring after {self.after}"


def _why_not(item: _PassedOver, job: JobEntry) -> str:
    labels, tags, avoid = job.requirements
    missing = [label for label in labels if label not in item.minion.labels]
    if missing:
        return f"no label {' and '.join(missing)}"
    if not meets(item.minion, Requirements((), tags)):
        return "cannot run this plugin"
    if item.minion.id == avoid:
        return "failed the last attempt"
    return item.state


class WatchedRing(Ring):
    """A ring that notes why each of its choices fell as it did.

    Args:
        ring: whose place it takes.
        book: the state that it belongs to.
    """

    def __init__(self, ring: Ring, book: Book) -> None:
        super().__init__()
        vars(self).update(vars(ring))
        self._book = book
        self.choices: list[Choice] = []

    def next(self, suits: Callable[[int], bool]) -> int | None:
        """Choose as the ring does."""
        before = self._hand
        place = super().next(suits)
        if place is not None:
            self.choices.append(self._choice(before, place))
        return place

    def _choice(self, before: int, place: int) -> Choice:
        by_place = self._book.minion_by_place
        places = sorted(by_place)
        # Those behind the hand first, then from the beginning: the way the hand went.
        way = [other for other in places if other > before] + [other for other in places if other <= before]
        between = [self._book.minions[by_place[other]] for other in way[: way.index(place)]]
        chosen = self._book.minions[by_place[place]]
        after = by_place.get(before)
        return Choice(
            name=chosen.record.name,
            after=self._book.minions[after].record.name if after is not None else "",
            taken=len(chosen.running),
            slots=chosen.record.slots,
            passed_over=tuple(_PassedOver(entry.record, waits.of_minion(entry)) for entry in between),
        )
