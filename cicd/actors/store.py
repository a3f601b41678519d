"""Store: the one actor that writes. Its thread is the store's writer; a commit is durable when the ask is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pykka
import structlog

from cicd.actors.base import Actor, ask
from cicd.actors.crash import Die
from cicd.storage.base import Precondition, Storage, StoreBrokenError, StoreFullError, Write
from cicd.storage.room import Room

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Commit:
    """Check and write, all or nothing."""

    preconditions: Sequence[Precondition]
    writes: Sequence[Write]


@dataclass(frozen=True, slots=True)
class CountCommits:
    """-> how many commits there were since the start."""


class Store(Actor):
    """Commits what others decided.

    Args:
        storage: where to; open, used by no other writer.
        room: has a ballast to free for a commit that finds no room; None: there is none.
    """

    def __init__(self, storage: Storage, die: Die, room: Room | None = None) -> None:
        super().__init__(die)
        self._storage = storage
        self._room = room
        self._commits = 0

    def on_receive(self, message: Any) -> Any:
        """Carry out one commit."""
        if isinstance(message, Commit):
            try:
                self._commit(message)
            except StoreBrokenError as error:
                self._die("Store", error)
                raise
            self._commits += 1
            return None
        if isinstance(message, CountCommits):
            return self._commits
        raise TypeError(f"Store: {type(message).__name__}")

    def _commit(self, message: Commit) -> None:
        try:
            self._storage.commit(message.preconditions, message.writes)
        except StoreFullError:
            if self._room is None or not self._room.release():
                raise
            self._storage.commit(message.preconditions, message.writes)


class StoreClient:
    """How other actors reach the Store."""

    def __init__(self, actor: pykka.ActorRef[Store]) -> None:
        self._actor = actor

    def commit(self, writes: Sequence[Write], preconditions: Sequence[Precondition] = ()) -> None:
        """Commit and wait until it is durable.

        Raises:
            PreconditionFailedError, StoreFullError: see `Storage.commit`.
            UnavailableError: the Store did not answer in time.
        """
        ask(self._actor, Commit(preconditions, writes))

    def commits(self) -> int:
        """Return how many commits there were since the start."""
        count: int = ask(self._actor, CountCommits())
        return count
