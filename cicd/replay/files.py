"""The files of a journal that is being written: the segment that grows, and those before it that are kept."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from cicd import __version__
from cicd.replay import segments
from cicd.replay.segments import Header
from cicd.replay.version import core_digest

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

DAY_S = 86_400.0

Kind = Literal["start", "next", "gap"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept: older segments are deleted. The one that is being written is always kept.

    Attributes:
        keep_free_bytes: with less than that free on its disk nothing is written: the store may need it.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_age_s: float = 14 * DAY_S
    keep_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a segment."""

    kind: Kind
    wall_s: float
    gap: str
    checkpoint: bytes


class Files:
    """The segment that is being written, and those before it. Of the writing thread, but for `failed`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._fd = -1
        self._size = 0
        self._number = 0
        self.failed = ""

    def write(self, items: Sequence[bytes | Begin]) -> None:
        """Write what has gathered.

        Raises:
            OSError: it could not; the segment ends before it.
        """
        if items:
            self._leave_room()
        ready = bytearray()
        for item in items:
            if isinstance(item, Begin):
                self._append(ready)
                ready = bytearray(self._begin(item))
            else:
                ready += item
        self._append(ready)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _leave_room(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < self._limits.keep_free_bytes:
            raise OSError(errno.ENOSPC, "the disk is nearly full")

    def _append(self, data: bytearray) -> None:
        if not data or self._fd < 0:
            return
        view = memoryview(data)
        try:
            done = 0
            while done < len(view):
                done += os.write(self._fd, view[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)  # no half of a batch
            self.close()
            raise
        self._size += len(data)

    def _begin(self, item: Begin) -> bytes:
        self.close()
        there = segments.numbers(self._folder)
        deleted = self._delete_old(there, item.wall_s)
        self._number = max(there[-1] if there else 0, self._number) + 1
        path = segments.path_of(self._folder, self._number)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        header = Header(
            version=__version__, core=core_digest(), wall_s=item.wall_s, kind=item.kind, gap=item.gap, deleted=deleted
        )
        return segments.frame(msgspec.msgpack.encode(header)) + segments.frame(item.checkpoint)

    def _delete_old(self, there: Sequence[int], wall_s: float) -> int:
        """Delete the oldest segments as far as the limits ask; return how many were ever deleted."""
        found: list[tuple[int, Path, os.stat_result]] = []
        for number in there:
            path = segments.path_of(self._folder, number)
            with contextlib.suppress(FileNotFoundError):
                found.append((number, path, path.stat()))
        total = sum(stat.st_size for _, _, stat in found)
        for number, path, stat in found:
            old = wall_s - stat.st_mtime > self._limits.max_age_s
            if total <= self._limits.max_bytes and not old:
                return number - 1
            reason = "older than journal.max_days" if old else "more than journal.max_bytes"
            path.unlink(missing_ok=True)
            total -= stat.st_size
            log.info("journal.deleted", segment=path.name, size_bytes=stat.st_size, reason=reason)
        return there[-1] if there else 0
