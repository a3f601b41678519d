"""The store on LMDB: one environment, one database, one writing thread, every commit on the disk when it returns.

What is set, and why:

- Full sync with the meta page synced, no writable map: an acknowledged commit survives a power cut, and a full disk
  is an error, not a SIGBUS.
- The 0.9 engine, named explicitly: the package bundles two engines whose files the other cannot read.
- The map is grown between transactions once 80 % of it are used, or when a commit did not fit, which is then done
  again. LMDB allows that only while this process reads nothing: `guards.Gate` keeps views out meanwhile.
- A failed write of data pages leaves the store as it was: `StoreFullError`. After a failed meta page, or anything
  that was not foreseen, nobody can say what is on the disk until it is opened again: `StoreBrokenError`, from then on
  always.
- One process, by a lock of our own (`folder.StoreFolder`); and it must not be used in a forked child, which is checked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from cicd.errors import UnavailableError
from cicd.storage import guards, keys
from cicd.storage.base import (
    SCHEMA_VERSION,
    Precondition,
    PreconditionFailedError,
    SchemaError,
    Snapshot,
    StoreBrokenError,
    StoreFullError,
    Write,
)
from cicd.storage.folder import DATA_FILE, StoreFolder, StoreFolderError

_MIB = 1024 * 1024
_GROW_ABOVE = 0.8
_MAX_READERS = 256
_WAIT_FOR_VIEWS_S = 10.0
"""Views are short; one that is open for so long will not end because others wait."""

_BROKEN = (lmdb.PanicError, lmdb.CorruptedError, lmdb.PageNotFoundError)


class _LmdbView(guards.View):
    def __init__(self, txn: lmdb.Transaction[bytes], reading: threading.Lock) -> None:
        super().__init__()
        self._txn = txn
        # LMDB lets go of the interpreter's lock at every step. Two busy readers then pass it to each other, and a
        # writer that waits for it was seen to get it only after a minute. So they read one at a time.
        self._reading = reading

    def get(self, key: bytes) -> bytes | None:
        self.check()
        guards.check_key(key)
        with self._reading:
            return self._txn.get(key)

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        self.check()
        guards.check_limit(limit)
        found: list[tuple[bytes, bytes]] = []
        if limit == 0 or start >= end:
            return found
        with self._reading, self._txn.cursor() as cursor:
            if reverse:
                # The place is the last key below `end`: the one before the first that is not, or the very last.
                there = cursor.prev() if cursor.set_range(end) else cursor.last()
                pairs = cursor.iterprev() if there else iter(())
            else:
                there = cursor.set_range(start)  # an empty one: the first of all
                pairs = cursor.iternext() if there else iter(())
            for key, value in pairs:
                if not start <= key < end:
                    break
                found.append((key, value))
                if len(found) == limit:
                    break
        return found


class LmdbStorage:
    """A `Storage` in a folder.

    Args:
        folder: made if it is missing.
        map_size_bytes: of the map to begin with; it grows by itself.
        max_size_bytes: the map never grows beyond it.

    Raises:
        UnavailableError: another master uses the folder.
        SchemaError: another version of the system wrote it.
        StoreFolderError: it holds something else, or cannot be used.
    """

    def __init__(
        self, folder: Path, *, map_size_bytes: int = 64 * _MIB, max_size_bytes: int = 256 * 1024 * _MIB
    ) -> None:
        self._gate = guards.Gate()
        self._writer = guards.OneWriter()
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._pid = os.getpid()
        self._max_size_bytes = max_size_bytes
        self._broken = ""
        self._closed = False
        self._folder = StoreFolder(folder)
        try:
            self._env = _open(folder, min(map_size_bytes, max_size_bytes))
            try:
                with self._translated():
                    # Only this process may be here: whatever reader is left was killed, and pins old pages.
                    self._env.reader_check()
                    self._check_schema()
                self._page_bytes = self._env.stat()["psize"]
                self._folder.sync()
            except BaseException:
                self._env.close()
                raise
        except BaseException:
            self._folder.release()
            raise

    def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> None:
        """See `Storage.commit`."""
        guards.check_commit(preconditions, writes)
        if self._gate.inside:
            raise RuntimeError("a commit inside a view of the same thread: growing the map would wait for itself")
        last = {write.key: write.value for write in writes}
        with self._writing:
            self._check_usable()
            self._writer.check()
            self._watch()
            while True:
                try:
                    with self._translated():
                        self._commit(preconditions, last)
                except lmdb.MapFullError:
                    self._grow(_WAIT_FOR_VIEWS_S)
                else:
                    return

    def _commit(self, preconditions: Sequence[Precondition], writes: dict[bytes, bytes | None]) -> None:
        with self._env.begin(write=True) as txn:
            for precondition in preconditions:
                if txn.get(precondition.key) != precondition.value:
                    raise PreconditionFailedError(precondition.key)
            for key, value in writes.items():
                if value is None:
                    txn.delete(key)
                else:
                    txn.put(key, value)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """See `Storage.snapshot`. Keep it short: while it is open no page is freed and the map cannot grow."""
        with self._gate.view():
            self._check_usable()
            with self._translated():
                txn = self._env.begin()
            view = _LmdbView(txn, self._reading)
            try:
                with self._translated():
                    yield view
            finally:
                view.end()
                txn.abort()

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
        """Wait for the commit and the views that are under way, then close. From any thread; again: does nothing.

        Raises:
            RuntimeError: somebody keeps a view open. The store stays open then, as its map must not go away under it.
        """
        if os.getpid() != self._pid:
            return
        if self._gate.inside:
            raise RuntimeError("closing the store inside a view of the same thread")
        with self._writing:
            if self._closed:
                return
            with self._gate.alone(_WAIT_FOR_VIEWS_S) as granted:
                if not granted:
                    raise RuntimeError("the store cannot be closed: a view is open")
                self._closed = True
                self._env.close()
            self._folder.release()

    @property
    def map_size_bytes(self) -> int:
        """How far the store can grow before its map does."""
        return self._env.info()["map_size"]

    def _watch(self) -> None:
        """Grow in good time, if nobody is reading right now."""
        info = self._env.info()
        used_bytes = (info["last_pgno"] + 1) * self._page_bytes
        if used_bytes > info["map_size"] * _GROW_ABOVE and self._larger() > info["map_size"]:
            self._grow(0)

    def _larger(self) -> int:
        return min(self.map_size_bytes * 2, self._max_size_bytes) // self._page_bytes * self._page_bytes

    def _grow(self, wait_s: float) -> None:
        """Double the map; with `wait_s` 0 only if that is possible at once."""
        larger = self._larger()
        if larger <= self.map_size_bytes:
            raise StoreFullError(f"the store has reached its limit of {self._max_size_bytes} bytes")
        with self._gate.alone(wait_s) as granted:
            if granted:
                with self._translated():
                    self._env.set_mapsize(larger)
            elif wait_s:
                raise StoreFullError(f"the store cannot grow: a view has been open for {wait_s:.0f} s")

    def _check_schema(self) -> None:
        with self._env.begin() as txn:
            found = txn.get(keys.SCHEMA)
            entries = txn.stat()["entries"]
        if found is None and not entries:
            with self._env.begin(write=True) as txn:
                txn.put(keys.SCHEMA, b"%d" % SCHEMA_VERSION)
        elif found != b"%d" % SCHEMA_VERSION:
            version = "none" if found is None else found[:32].decode("ascii", "replace")
            raise SchemaError(
                f"{self._folder.path} has schema {version}, this version of cicd reads schema {SCHEMA_VERSION}: "
                "start the version that wrote it, or name another data folder"
            )

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("the store must not be used in a forked child")
        if self._closed:
            raise RuntimeError("the store is closed")
        if self._broken:
            raise StoreBrokenError(self._broken)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn LMDB's errors into ours; a full map is the caller's to handle."""
        try:
            yield
        except lmdb.MapFullError:
            raise
        except lmdb.ReadersFullError as error:
            raise UnavailableError(f"more than {_MAX_READERS} views of the store at once") from error
        except lmdb.Error as error:
            # A write that a full disk cuts short comes out of LMDB as an I/O error.
            if isinstance(error, lmdb.DiskError) or not (isinstance(error, _BROKEN) or self._folder.has_room()):
                raise StoreFullError(f"no room for the store in {self._folder.path}: {error}") from error
            self._broken = f"the store in {self._folder.path} cannot go on: {error}"
            raise StoreBrokenError(self._broken) from error


def _open(folder: Path, map_size_bytes: int) -> lmdb.Environment:
    # Before 3.0 there was only the one engine, and no such argument.
    engine: dict[str, Any] = {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}
    try:
        return lmdb.open(
            str(folder),
            map_size=map_size_bytes,
            subdir=True,
            mode=0o600,
            max_readers=_MAX_READERS,
            max_dbs=0,
            sync=True,
            metasync=True,
            writemap=False,
            lock=True,
            **engine,
        )
    except lmdb.Error as error:
        raise StoreFolderError(
            f"{folder / DATA_FILE} is no store of this system, or is damaged ({error}): "
            "move it away, or name another data folder"
        ) from error
