"""The minion's cache of plugins and source trees: `<data_dir>/cache/{plugin,source}/<digest>/`, whole or not there.

A blob is read in pieces, several on their way at once, into a file beside; then a thread of the cache's own checks and
unpacks it, so that neither logs nor other fetches wait for that.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cicd.clock import Clock
from cicd.errors import CicdError
from cicd.messages.base import Digest
from cicd.messages.bulk import CHUNK_BYTES, BlobKind, BlobRead
from cicd.plugins.artifact import unpack
from cicd.plugins.child.workspace import remove_tree

READS_IN_FLIGHT = 8
STUCK_S = 5.0
FORGET_ERROR_S = 10.0
"""A blob that could not be had is tried anew for a job that comes later than this."""


@dataclass(slots=True)
class BlobState:
    """How a blob stands."""

    folder: Path
    ready: bool = False
    error: str = ""


@dataclass(slots=True)
class _Fetch:
    kind: BlobKind
    digest: Digest
    partial: Path
    state: BlobState
    fd: int
    size_bytes: int = -1
    """-1: not known before the first piece."""
    todo: deque[int] = field(default_factory=lambda: deque([0]))
    """Offsets to ask for; at first only the beginning, whose answer tells the size."""
    asked: dict[int, None] = field(default_factory=dict)
    """Offsets that are on their way."""
    heard_boot_s: float = 0.0
    unpacking: bool = False


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A blob was checked and unpacked; `error` not empty: it could not be."""

    digest: Digest
    error: str


class BlobCache:
    """Fetches and keeps blobs. Used by the Courier's thread.

    Args:
        folder: `<data_dir>/cache`.
        on_unpacked: called on the cache's own thread when something has been unpacked, or could not be; it has to see
            to it
            that `unpacked` is called on the Courier's.
    """

    def __init__(self, folder: Path, on_unpacked: Callable[[Unpacked], None], clock: Clock) -> None:
        self._folder = folder
        self._on_unpacked = on_unpacked
        self._clock = clock
        self._states: dict[Digest, BlobState] = {}
        self._fetches: dict[Digest, _Fetch] = {}
        self._failed: dict[Digest, float] = {}
        self._unpacker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="unpack")
        for kind in BlobKind:
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("*.partial"):
            partial.unlink()
        for gone in folder.glob("*/.gone-*"):
            self._unpacker.submit(remove_tree, str(gone))

    def want(self, kind: BlobKind, digest: Digest) -> None:
        """See to it that a blob is here."""
        failed = self._failed.get(digest)
        if failed is not None and self._clock.boot_s() - failed > FORGET_ERROR_S:
            del self._failed[digest]
            self._states.pop(digest, None)
        known = self._states.get(digest)
        if known is not None and known.ready:
            self._touch(known.folder)
        if known is not None:
            return
        state = self._states[digest] = BlobState(folder=self._folder / kind / digest)
        if state.folder.exists():
            self._touch(state.folder)
            state.ready = True
            return
        partial = self._folder / f"{digest}.partial"
        try:
            fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            state.error = f"{kind} {digest[:12]} cannot be fetched: {partial}: {error.strerror}"
            self._failed[digest] = self._clock.boot_s()
            return
        self._fetches[digest] = _Fetch(
            kind=kind, digest=digest, partial=partial, state=state, fd=fd, heard_boot_s=self._clock.boot_s()
        )

    def state(self, kind: BlobKind, digest: Digest) -> BlobState:
        """Return how a blob stands; one that nobody wanted is not here."""
        return self._states.get(digest) or BlobState(folder=self._folder / kind / digest)

    def drop(self, kind: BlobKind, digest: Digest) -> bool:
        """Let a blob go that nobody uses; it is fetched again when it is wanted. Return whether it was here."""
        if digest in self._fetches:
            return False
        folder = self._folder / kind / digest
        aside = self._folder / kind / f".gone-{digest}"
        try:
            folder.rename(aside)
        except OSError:
            return False
        self._states.pop(digest, None)
        self._unpacker.submit(remove_tree, str(aside))
        return True

    def reads(self) -> Iterator[BlobRead]:
        """Return the reads to send now."""
        for fetch in self._fetches.values():
            if fetch.unpacking:
                continue
            while fetch.todo and len(fetch.asked) < READS_IN_FLIGHT:
                offset = fetch.todo.popleft()
                fetch.asked[offset] = None
                yield BlobRead(kind=fetch.kind, digest=fetch.digest, offset=offset, length=CHUNK_BYTES)

    def take(self, digest: Digest, offset: int, data: bytes, size_bytes: int) -> None:
        """Take in a piece that was asked for."""
        fetch = self._fetches.get(digest)
        if fetch is None or offset not in fetch.asked:
            return
        if fetch.size_bytes < 0:
            fetch.size_bytes = size_bytes
            fetch.todo.extend(range(CHUNK_BYTES, size_bytes, CHUNK_BYTES))
        wanted = max(0, min(CHUNK_BYTES, fetch.size_bytes - offset))
        if size_bytes != fetch.size_bytes or len(data) != wanted:
            self._fail(fetch, "the master sent pieces that do not fit together")
            return
        try:
            os.pwrite(fetch.fd, data, offset)
        except OSError as error:
            self._fail(fetch, f"{fetch.partial}: {error.strerror}")
            return
        del fetch.asked[offset]
        fetch.heard_boot_s = self._clock.boot_s()
        if not fetch.todo and not fetch.asked:
            fetch.unpacking = True
            self._unpacker.submit(self._unpack, fetch)

    def missing(self, digest: Digest, text: str) -> None:
        """The master does not have it."""
        fetch = self._fetches.get(digest)
        if fetch is not None and not fetch.unpacking:
            self._fail(fetch, text)

    def restart_reads(self) -> None:
        """The connection is new: what was on its way is asked for again."""
        for fetch in self._fetches.values():
            if not fetch.unpacking:
                self._rewind(fetch)

    def retry(self, now_boot_s: float) -> None:
        """Ask again for what is overdue."""
        for fetch in self._fetches.values():
            if not fetch.unpacking and now_boot_s - fetch.heard_boot_s > STUCK_S:
                self._rewind(fetch)

    def close(self) -> None:
        """Stop; what is half fetched is thrown away at the next start."""
        self._unpacker.shutdown(wait=True, cancel_futures=True)
        for fetch in self._fetches.values():
            os.close(fetch.fd)
        self._fetches.clear()

    def _touch(self, folder: Path) -> None:
        """Note that a blob was asked for: the cache is kept small from the end that was used longest ago."""
        now = self._clock.wall_s()
        with contextlib.suppress(OSError):
            os.utime(folder, (now, now))

    def _rewind(self, fetch: _Fetch) -> None:
        fetch.heard_boot_s = self._clock.boot_s()
        fetch.todo.extendleft(reversed(fetch.asked))
        fetch.asked.clear()

    def unpacked(self, news: Unpacked) -> None:
        """Take in how an unpacking went."""
        fetch = self._fetches.get(news.digest)
        if fetch is None:
            return
        if news.error:
            self._fail(fetch, news.error)
        else:
            fetch.state.ready = True
            self._let_go(fetch)

    def _unpack(self, fetch: _Fetch) -> None:
        """Check and unpack, on the cache's own thread."""
        error = ""
        try:
            unpack(fetch.partial, fetch.digest, fetch.state.folder)
        except (CicdError, OSError) as failure:
            error = str(failure)
        self._on_unpacked(Unpacked(fetch.digest, error))

    def _fail(self, fetch: _Fetch, why: str) -> None:
        fetch.state.error = f"{fetch.kind} {fetch.digest[:12]} cannot be fetched: {why}"
        self._failed[fetch.digest] = self._clock.boot_s()
        self._let_go(fetch)

    def _let_go(self, fetch: _Fetch) -> None:
        self._fetches.pop(fetch.digest, None)
        os.close(fetch.fd)
        fetch.partial.unlink(missing_ok=True)
