"""What every store checks in the same way: keys and limits, which thread may do what, and who must wait for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cicd.storage.base import MAX_KEY_BYTES, Precondition, Write


def check_key(key: bytes) -> None:
    """Let a key of 1 to 511 bytes pass.

    Raises:
        ValueError: it is shorter or longer.
    """
    if not 1 <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"a key has 1 to {MAX_KEY_BYTES} bytes, not {len(key)}: {key[:32]!r}")


def check_commit(preconditions: Sequence[Precondition], writes: Sequence[Write]) -> None:
    """Check every key of a commit, before anything is done.

    Raises:
        ValueError: a key is too short or too long.
    """
    for precondition in preconditions:
        check_key(precondition.key)
    for write in writes:
        check_key(write.key)


def check_limit(limit: int | None) -> None:
    """Let a limit of 0 or more, or none, pass.

    Raises:
        ValueError: it is negative.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"a limit is 0 or more, not {limit}")


class View:
    """What all snapshots share: each is valid on the thread that made it, until it ends."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._ended = False

    def check(self) -> None:
        """Let the owner pass.

        Raises:
            RuntimeError: another thread, or the view has ended. A bug of the caller's.
        """
        if self._ended:
            raise RuntimeError("this view of the store has ended")
        if threading.get_ident() != self._thread:
            raise RuntimeError("a view of the store belongs to the thread that made it")

    def end(self) -> None:
        """Make every later use an error."""
        self._ended = True


class Gate:
    """Lets views in side by side, and at times one that needs the store to itself (to resize its map, to close it).

    Whoever wants the store alone keeps new views out while it waits, so that a stream of readers cannot starve it. A
    thread that already has a view is let in again: it would otherwise wait for itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._views = 0
        self._alone = False
        self._mine = threading.local()

    @property
    def inside(self) -> bool:
        """Whether the calling thread has a view open."""
        return bool(getattr(self._mine, "views", 0))

    @contextmanager
    def view(self) -> Iterator[None]:
        """Hold a place among the views."""
        mine: int = getattr(self._mine, "views", 0)
        with self._changed:
            while self._alone and not mine:
                self._changed.wait()
            self._views += 1
        self._mine.views = mine + 1
        try:
            yield
        finally:
            self._mine.views -= 1  # not what it was before: views need not end in the order in which they began
            with self._changed:
                self._views -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, wait_s: float) -> Iterator[bool]:
        """Wait until no view is open, at most `wait_s` seconds; say whether it came to that.

        Only one thread at a time may ask; the caller's lock sees to it.
        """
        # Before the lock is held: readers in a tight loop take it again and again before a waiting thread wakes up.
        self._alone = True
        with self._changed:
            granted = self._changed.wait_for(lambda: self._views == 0, wait_s)
        try:
            yield granted
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class OneWriter:
    """Holds all commits to the thread that made the first one."""

    def __init__(self) -> None:
        self._writer: threading.Thread | None = None

    def check(self) -> None:
        """Let the writer pass; the first to come is it. Called under the store's lock.

        Raises:
            RuntimeError: another thread. A bug of the caller's.
        """
        me = threading.current_thread()
        if self._writer is None:
            self._writer = me
        elif self._writer is not me:
            raise RuntimeError(f"commits belong to one thread: {self._writer.name} has begun, {me.name} came")
