"""One log on its way from the minion's spool to the master."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from cicd.clock import Clock
from cicd.messages.base import JobId, Wire
from cicd.messages.bulk import CHUNK_BYTES, WINDOW_BYTES, LogChunk, LogEnd


class LogShipment:
    """What was sent of a log, what the master has, what there is.

    Args:
        path: the spool file; it grows at its end only.
    """

    def __init__(self, job: JobId, attempt: int, path: Path, clock: Clock) -> None:
        self.job = job
        self.attempt = attempt
        self._path = path
        self._clock = clock
        self._fd = -1
        self._size_bytes = 0
        self._sent = 0
        self._acked: int | None = None
        """None: the master has not said yet what it has."""
        self._seq = 0
        self._seq_before = 0
        """The last one that was sent before it last went back: what is said of gaps up to that one is no news."""
        self._end: LogEnd | None = None
        self._end_sent = False
        self._heard_boot_s = clock.boot_s()

    def grew(self, size_bytes: int) -> None:
        """Note how long the file is."""
        self._size_bytes = max(self._size_bytes, size_bytes)

    def closed(self, size_bytes: int, lines: int, sha256: str) -> None:
        """Note how long the file will ever be."""
        self._size_bytes = size_bytes
        self._end = LogEnd(job=self.job, attempt=self.attempt, size_bytes=size_bytes, lines=lines, sha256=sha256)

    def asked(self) -> None:
        """The master is being asked what it has: hold still until it answers."""
        self._acked = None
        self._end_sent = False
        self._heard_boot_s = self._clock.boot_s()

    def acked(self, offset: int, gap_seq: int = 0) -> None:
        """Take in what the master has. An answer to a question, or one that tells of a gap: go on from there.

        A lost chunk takes all with it that were under way after it, and each of those tells of the gap: only a chunk
        that was sent after the last going back is news of another one.
        """
        if self._acked is None or offset < self._acked or gap_seq > self._seq_before:
            self._sent = offset
            self._seq_before = self._seq
        else:
            self._sent = max(self._sent, offset)
        self._end_sent = self._end_sent and offset >= self._size_bytes
        self._acked = offset
        self._heard_boot_s = self._clock.boot_s()

    def is_stuck(self, after_s: float) -> bool:
        """Return whether an answer is overdue."""
        waits = self._acked is None or self._sent > self._acked or self._end_sent
        return waits and self._clock.boot_s() - self._heard_boot_s > after_s

    def ready(self) -> Iterator[Wire]:
        """Return what may be sent now."""
        if self._acked is None:
            return
        while self._sent < self._size_bytes and self._sent - self._acked < WINDOW_BYTES:
            data = self._read(min(CHUNK_BYTES, self._size_bytes - self._sent))
            if not data:
                return
            if self._sent == self._acked:
                self._heard_boot_s = self._clock.boot_s()
            self._seq += 1
            yield LogChunk(
                job=self.job,
                attempt=self.attempt,
                seq=self._seq,
                offset=self._sent,
                data=data,
                crc32=zlib.crc32(data),
            )
            self._sent += len(data)
        if self._end is not None and not self._end_sent and self._acked >= self._size_bytes:
            self._end_sent = True
            self._heard_boot_s = self._clock.boot_s()
            yield self._end

    def _read(self, length: int) -> bytes:
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        return os.pread(self._fd, length, self._sent)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
