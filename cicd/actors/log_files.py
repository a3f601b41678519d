"""The master's log files: `<data_dir>/logs/<run>/<index>.<attempt>.log`, appended to and nothing else."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import OrderedDict
from pathlib import Path

import structlog

from cicd.messages.base import JobId, split_job_id

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MAX_OPEN = 128
"""Files that are kept open; the one that was used longest ago is closed first."""
_READ_BYTES = 1024 * 1024


class LogFile:
    """One attempt's log. Not for several threads.

    Args:
        path: of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size_bytes = os.fstat(self._fd).st_size
        self._hash = hashlib.sha256() if self.size_bytes == 0 else None
        self._durable_bytes = self.size_bytes

    def append(self, offset: int, data: bytes, crc32: int) -> bool:
        """Add `data`, which belongs at `offset`; what is there already is left out.

        Returns:
            False if it does not fit on (a gap) or is damaged: nothing was written.

        Raises:
            OSError: the disk is full or failing; what was written counts.
        """
        if zlib.crc32(data) != crc32 or offset > self.size_bytes or offset < 0:
            return False
        fresh = memoryview(data)[self.size_bytes - offset :]
        while fresh:
            written = os.write(self._fd, fresh)
            if self._hash is not None:
                self._hash.update(fresh[:written])
            self.size_bytes += written
            fresh = fresh[written:]
        return True

    def sync(self) -> None:
        """Make what was appended durable.

        Raises:
            OSError: it could not be. The file is as it was at the last sync: another one would not tell what is lost.
        """
        if self._durable_bytes == self.size_bytes:
            return
        try:
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._durable_bytes)
            self.size_bytes = self._durable_bytes
            self._hash = None
            raise
        self._durable_bytes = self.size_bytes

    def sha256(self) -> str:
        """Return the hash of the whole file, in hexadecimal; read again only if not written here from its start."""
        if self._hash is None:
            self._hash = hashlib.sha256()
            offset = 0
            while data := os.pread(self._fd, _READ_BYTES, offset):
                self._hash.update(data)
                offset += len(data)
        return self._hash.hexdigest()

    def close(self) -> None:
        """Make durable, if that is possible, and close: only what was acknowledged has to be."""
        try:
            self.sync()
        except OSError as error:
            log.warning("log.not_durable", path=str(self.path), error=str(error))
        finally:
            os.close(self._fd)


class LogFiles:
    """All log files of a master.

    Args:
        folder: `<data_dir>/logs`.
    """

    def __init__(self, folder: Path, max_open: int = MAX_OPEN) -> None:
        self._folder = folder
        self._max_open = max_open
        self._open: OrderedDict[tuple[JobId, int], LogFile] = OrderedDict()

    def path(self, job: JobId, attempt: int) -> Path:
        """Return where an attempt's log is.

        Raises:
            ValueError: not a job's id.
        """
        run, index = split_job_id(job)
        if "/" in run or run.startswith("."):
            raise ValueError(f"not a run id: {run!r}")
        return self._folder / run / f"{index}.{attempt}.log"

    def open(self, job: JobId, attempt: int) -> LogFile:
        """Return an attempt's log, opened if it is not."""
        key = (job, attempt)
        file = self._open.get(key)
        if file is None:
            file = self._open[key] = LogFile(self.path(job, attempt))
            if len(self._open) > self._max_open:
                _, oldest = self._open.popitem(last=False)
                oldest.close()
        self._open.move_to_end(key)
        return file

    def release(self, job: JobId, attempt: int) -> None:
        """Close a log that is whole."""
        file = self._open.pop((job, attempt), None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()
