"""Writing tars of which the same content always has the same bytes, hashed as they are written.

Sorted by the caller, owner 0, no names of owners, modes 644 and 755, one fixed time: nothing of the machine that packs
is in them.
The GNU format keeps names that are not UTF-8, and long ones, without a header that depends on anything else.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from cicd.messages.base import Digest

EARLIEST_S = 315_532_800
"""1980-01-01: zip, and so a wheel that a job builds, knows no earlier time."""


class _Hashing:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)


class TarWriter:
    """A tar that is being written; a context manager. Once closed, `digest` and `size_bytes` tell what it became.

    Args:
        path: the file to make; it must not exist.
        time_s: modification time of every member, seconds since the epoch; earlier than 1980 becomes 1980.
    """

    def __init__(self, path: Path, time_s: int = EARLIEST_S) -> None:
        self._file = path.open("xb")
        self._hashing = _Hashing(self._file)
        self._time_s = min(max(time_s, EARLIEST_S), 2**32 - 1)
        self._tar = tarfile.open(  # noqa: SIM115  closed by close()
            fileobj=cast("IO[bytes]", self._hashing), mode="w|", format=tarfile.GNU_FORMAT, errors="surrogateescape"
        )
        self.digest = Digest("")
        self.size_bytes = 0

    def file(self, name: str, size_bytes: int, content: IO[bytes], *, executable: bool = False) -> None:
        """Add a file with the next `size_bytes` bytes of `content`.

        Raises:
            OSError: `content` ends too early.
        """
        info = self._info(name, tarfile.REGTYPE, 0o755 if executable else 0o644)
        info.size = size_bytes
        self._tar.addfile(info, content)

    def folder(self, name: str) -> None:
        """Add a folder; only an empty one needs it."""
        self._tar.addfile(self._info(name, tarfile.DIRTYPE, 0o755))

    def symlink(self, name: str, target: str) -> None:
        """Add a symlink as it is, wherever it points."""
        info = self._info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._tar.addfile(info)

    def close(self) -> None:
        """Write the end and make the file durable."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.digest = Digest(self._hashing.hash.hexdigest())
        self.size_bytes = self._hashing.size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _info(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.mode = mode
        info.mtime = self._time_s
        return info
