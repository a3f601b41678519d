"""The spool: each attempt's log as an append-only file, kept until the master has stored it whole.

The files are the truth of the logs (docs: delivery). A file that a dead jobhost left behind is closed as it is: its
length, lines and sha256 are counted anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from cicd.messages.base import JobId
from cicd.messages.jobhost import LogState

_SYNC_EVERY_BYTES = 4 * 1024 * 1024
"""Written back as it grows, so that the last sync never holds up the loop for long."""

_PIECE_BYTES = 1024 * 1024
_NAME = re.compile(r"(?P<job>[A-Za-z0-9_-]+)\.(?P<attempt>\d+)\.log")


class SpoolFile:
    """The log of one attempt, being written.

    Args:
        path: a new file.
        job: the job's id.
        attempt: its attempt.
    """

    def __init__(self, path: Path, job: JobId, attempt: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._job = job
        self._attempt = attempt
        self._newlines = 0
        self._last = b"\n"
        self._hash = hashlib.sha256()
        self._unsynced_bytes = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, data: bytes) -> None:
        """Write more of the log.

        Raises:
            OSError: the disk is full or failing; what was not written counts for nothing.
        """
        while data:
            written = os.write(self._fd, data)
            piece, data = data[:written], data[written:]
            self.size_bytes += written
            self._newlines += piece.count(b"\n")
            self._last = piece[-1:]
            self._hash.update(piece)
            self._unsynced_bytes += written
        if self._unsynced_bytes >= _SYNC_EVERY_BYTES:
            self._sync()

    def close(self) -> LogState:
        """Make the file durable and return what it is. May be called once.

        Raises:
            OSError: the disk is failing.
        """
        try:
            self._sync()
        finally:
            os.close(self._fd)
            self._fd = -1
        return self.state(closed=True)

    def state(self, *, closed: bool = False) -> LogState:
        """Return what the file is now."""
        return LogState(
            job=self._job,
            attempt=self._attempt,
            path=str(self.path),
            size_bytes=self.size_bytes,
            closed=closed,
            lines=self._newlines + (self._last != b"\n"),
            sha256=self._hash.hexdigest() if closed else "",
        )

    def _sync(self) -> None:
        if self._unsynced_bytes:
            os.fdatasync(self._fd)
            self._unsynced_bytes = 0


class Spool:
    """The folder of all logs that the master has not stored yet.

    Args:
        folder: is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, job: JobId, attempt: int) -> SpoolFile:
        """Begin a log; an older file of the same attempt is replaced.

        Raises:
            OSError: the disk.
        """
        path = self._folder / f"{job}.{attempt}.log"
        path.unlink(missing_ok=True)
        return SpoolFile(path, job, attempt)

    def remove(self, job: JobId, attempt: int) -> None:
        """Drop a log that is stored elsewhere; one that is not there is no error."""
        (self._folder / f"{job}.{attempt}.log").unlink(missing_ok=True)

    def recover(self) -> list[LogState]:
        """Return the logs that an earlier jobhost left, closed as they are."""
        found: list[LogState] = []
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match is not None and path.is_file() and not path.is_symlink():
                found.append(_measure(path, JobId(match["job"]), int(match["attempt"])))
        return found


def _measure(path: Path, job: JobId, attempt: int) -> LogState:
    digest = hashlib.sha256()
    size_bytes = newlines = 0
    last = b"\n"
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
            newlines += piece.count(b"\n")
            last = piece[-1:]
    return LogState(
        job=job,
        attempt=attempt,
        path=str(path),
        size_bytes=size_bytes,
        closed=True,
        lines=newlines + (last != b"\n"),
        sha256=digest.hexdigest(),
    )
