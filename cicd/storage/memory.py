"""A store in memory, for tests and simulations: the same contract and the same errors as LMDB, without the disk.

A view holds the state that was current when it was opened. A commit changes the state in place while nobody looks at
it, and a copy of it while somebody does: views are consistent, and commits stay cheap where views are short.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cicd.storage import guards, keys
from cicd.storage.base import SCHEMA_VERSION, Precondition, PreconditionFailedError, Snapshot, Write


class _State:
    """Keys in order and their values; not changed while it has readers."""

    def __init__(self, order: list[bytes], values: dict[bytes, bytes]) -> None:
        self.order = order
        self.values = values
        self.readers = 0

    def apply(self, writes: Sequence[Write]) -> None:
        for write in writes:
            known = write.key in self.values
            if write.value is not None:
                self.values[write.key] = write.value
                if not known:
                    insort(self.order, write.key)
            elif known:
                del self.values[write.key]
                del self.order[bisect_left(self.order, write.key)]

    def range(self, start: bytes, end: bytes, limit: int | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        found = self.order[bisect_left(self.order, start) : bisect_left(self.order, end)]
        if reverse:
            found.reverse()
        return [(key, self.values[key]) for key in found[:limit]]


class _MemoryView(guards.View):
    def __init__(self, state: _State) -> None:
        super().__init__()
        self._state = state

    def get(self, key: bytes) -> bytes | None:
        self.check()
        guards.check_key(key)
        return self._state.values.get(key)

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        self.check()
        guards.check_limit(limit)
        return self._state.range(start, end, limit, reverse=reverse)


class MemoryStorage:
    """A `Storage` that lives as long as its process."""

    def __init__(self) -> None:
        self._state = _State([keys.SCHEMA], {keys.SCHEMA: b"%d" % SCHEMA_VERSION})
        self._lock = threading.Lock()
        self._gate = guards.Gate()
        self._writer = guards.OneWriter()
        self._closed = False
        self._failures: list[Exception] = []

    def fail_next(self, error: Exception) -> None:
        """Make the next commit raise `error` and write nothing; several are used up one by one."""
        with self._lock:
            self._failures.append(error)

    def reopen(self) -> None:
        """Make it usable again after `close`, by a new writer: what a restart of the process is for a store on disk."""
        with self._lock:
            self._closed = False
            self._writer = guards.OneWriter()
            self._failures.clear()

    def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> None:
        """See `Storage.commit`."""
        guards.check_commit(preconditions, writes)
        if self._gate.inside:
            raise RuntimeError("a commit inside a view of the same thread")
        with self._lock:
            self._check_open()
            self._writer.check()
            if self._failures:
                raise self._failures.pop(0)
            state = self._state
            for precondition in preconditions:
                if state.values.get(precondition.key) != precondition.value:
                    raise PreconditionFailedError(precondition.key)
            if state.readers:
                state = _State(state.order.copy(), state.values.copy())
            state.apply(writes)
            self._state = state

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See `Storage.snapshot`."""
        with self._lock:
            self._check_open()
            state = self._state
            state.readers += 1
        view = _MemoryView(state)
        try:
            with self._gate.view():
                yield view
        finally:
            view.end()
            with self._lock:
                state.readers -= 1

    def get(self, key: bytes) -> bytes | None:
        """See `Storage.get`."""
        with self.snapshot() as view:
            return view.get(key)

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """See `Storage.range`."""
        with self.snapshot() as view:
            return view.range(start, end, limit=limit, reverse=reverse)

    def close(self) -> None:
        """See `Storage.close`. What was committed is kept, for `reopen`."""
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")
