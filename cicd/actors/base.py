"""What our actors share: dying loudly, an inbox that is drained in one go, and asks that end.

pykka hands over one message a turn. An actor that wants batches (to decide and commit once for many messages) keeps an
`Inbox` beside pykka's own and is told only that there is something in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

import pykka

from cicd.actors.crash import Die, last_words
from cicd.errors import UnavailableError

T = TypeVar("T")

ASK_TIMEOUT_S = 30.0
"""Longest wait for another actor: an ask that races a stop is sometimes never answered."""


@dataclass(frozen=True, slots=True)
class Wake:
    """There is something in the inbox."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; from a `Ticker`."""


class Inbox(Generic[T]):
    """Items from any thread, taken out in batches by one actor, which is woken once per batch.

    Args:
        limit: most items of one batch.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._lock = threading.Lock()
        self._woken = False
        self._actor: pykka.ActorRef[Any] | None = None

    def attach(self, actor: pykka.ActorRef[Any]) -> None:
        """Name the actor to wake; wake it if something is here already."""
        with self._lock:
            self._actor = actor
            wake = bool(self._items) and not self._woken
            self._woken = self._woken or wake
        if wake:
            actor.tell(Wake())

    def put(self, items: Iterable[T]) -> None:
        """Add items, in order."""
        with self._lock:
            self._items.extend(items)
            actor = self._actor
            wake = actor is not None and not self._woken and bool(self._items)
            self._woken = self._woken or wake
        if wake and actor is not None:
            try:
                actor.tell(Wake())
            except pykka.ActorDeadError:
                return  # the process is ending

    def drain(self) -> list[T]:
        """Take the next batch; the actor is woken again if more is left."""
        with self._lock:
            self._woken = False
            batch = [self._items.popleft() for _ in range(min(len(self._items), self._limit))]
            again = bool(self._items) and self._actor is not None
            self._woken = again
            actor = self._actor
        if again and actor is not None:
            actor.tell(Wake())
        return batch

    def __len__(self) -> int:
        return len(self._items)


class Actor(pykka.ThreadingActor):
    """Base of our actors.

    Args:
        die: what to do when it fails.
    """

    use_daemon_thread = True

    def __init__(self, die: Die) -> None:
        super().__init__()
        self._die = die

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process: pykka would leave the rest running without this actor."""
        del exception_type
        last_words(type(self).__name__, self._die, exception_value, traceback)


def ask(actor: pykka.ActorRef[Any], message: object, timeout_s: float = ASK_TIMEOUT_S) -> Any:
    """Ask an actor and wait.

    Raises:
        UnavailableError: it did not answer in time, or is gone.
        Exception: whatever it raised.
    """
    try:
        return actor.ask(message, timeout=timeout_s)
    except pykka.Timeout:
        raise UnavailableError(f"{actor.actor_class.__name__} did not answer in {timeout_s:g} s") from None
    except pykka.ActorDeadError:
        raise UnavailableError(f"{actor.actor_class.__name__} is gone") from None
