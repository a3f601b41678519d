"""The minion's journal: what a jobhost must not forget when it is killed (rule R6).

An append-only file of records, each a length, a crc32 and a msgpack `Record`. `start` is durable before anything
runs, `finish` before anything is told; `forget` follows the master's acknowledgement and needs no sync: forgetting
twice is harmless. A torn tail is cut off when the file is opened: what it held was never acted upon. The file is
written anew, with only what still counts, when it is opened and when it has grown.

A full disk must not keep an end from being noted. So behind the file's end lie blocks that are its own already
(fallocate), enough for the ends of all that runs; `start` fails where they cannot be had. If the disk is full when the
file is opened, it is used as it is.

    start -> RUNNING -> finish -> FINISHED -> forget
             RUNNING -> (jobhost died) -> bury -> DEAD -> forget

After a restart every attempt that is RUNNING here belonged to a jobhost that is gone. Whether it is dead is for the
caller to prove before it calls `bury`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from cicd.codec import CorruptRecordError, dump, load
from cicd.messages.base import JobId, Message
from cicd.messages.minion import Entry, EntryState
from cicd.messages.run import Result

_HEADER = struct.Struct(">II")
_RECORD_LIMIT_BYTES = 1024 * 1024
_COMPACT_BYTES = 1024 * 1024
_END_BYTES = 64 * 1024
"""For the end of one attempt: outputs (16 KiB), a traceback, texts."""
_KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE: blocks behind the end of a file."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

Key = tuple[JobId, int]
"""A job and its attempt."""


class Record(Message, frozen=True):
    """One line of the journal. `op`: start, finish, dead or forget."""

    op: str
    job: JobId
    attempt: int
    session: int = 0
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    session: int
    entry: Entry


class Journal:
    """The journal of one data folder.

    Args:
        path: the file; made if it is not there.

    Attributes:
        torn_bytes: how much of a torn tail was cut off at the opening.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[Key, _Held] = {}
        self._size_bytes = 0
        self.torn_bytes = self._read()
        self._fd = -1
        self._compact_at_bytes = _COMPACT_BYTES
        try:
            self._compact()
        except OSError as error:
            if error.errno not in NO_ROOM or not self._path.exists():
                raise
            self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(self._fd, self._size_bytes)

    def get(self, key: Key) -> Entry | None:
        """Return what is known of an attempt."""
        held = self._held.get(key)
        return held.entry if held else None

    def entries(self) -> tuple[Entry, ...]:
        """Return everything that has not been acknowledged, oldest first."""
        return tuple(held.entry for held in self._held.values())

    def start(self, key: Key, session: int) -> None:
        """Note, durably, that an attempt is about to run.

        Raises:
            OSError: it could not be noted, or its end could not be: the attempt must not run.
        """
        self._reserve((self._running() + 2) * _END_BYTES)
        self._write(Record(op="start", job=key[0], attempt=key[1], session=session), sync=True)

    def finish(self, key: Key, result: Result) -> None:
        """Note, durably, how an attempt ended; it need not have been started.

        Raises:
            OSError: it could not be noted: the result must not be told.
        """
        self._write(Record(op="finish", job=key[0], attempt=key[1], result=result), sync=True)

    def bury(self, key: Key, result: Result) -> None:
        """Note, durably, that an attempt of an earlier jobhost is dead for certain.

        Raises:
            OSError: it could not be noted.
        """
        self._write(Record(op="dead", job=key[0], attempt=key[1], result=result), sync=True)

    def forget(self, key: Key) -> None:
        """Drop an attempt whose result the master has; one that is not known is no error."""
        if key in self._held:
            self._write(Record(op="forget", job=key[0], attempt=key[1]), sync=False)
            if self._size_bytes > self._compact_at_bytes:
                with contextlib.suppress(OSError):  # a full disk: the next time
                    self._compact()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, record: Record, *, sync: bool) -> None:
        data = _pack(record)
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(f"only {written} of {len(data)} bytes could be written")  # noqa: TRY301  one clean-up for both
            if sync:
                os.fdatasync(self._fd)
        except OSError:
            # Half a record would hide every later one.
            os.ftruncate(self._fd, self._size_bytes)
            self._keep_reserve()  # cut off with it, on some file systems
            raise
        self._size_bytes += len(data)
        self._apply(record)
        self._keep_reserve()

    def _running(self) -> int:
        return sum(held.entry.state is EntryState.RUNNING for held in self._held.values())

    def _keep_reserve(self) -> None:
        """Have room again for the ends of what runs: what was written took some of it. A full disk: as it was."""
        if running := self._running():
            with contextlib.suppress(OSError):
                self._reserve(running * _END_BYTES)

    def _reserve(self, length: int) -> None:
        """Have blocks for so many bytes behind the end; a file system that cannot do that gives none.

        Raises:
            OSError: the disk is full.
        """
        offset, size = ctypes.c_int64(self._size_bytes), ctypes.c_int64(length)
        if _LIBC.fallocate(self._fd, _KEEP_SIZE, offset, size) != 0:
            code = ctypes.get_errno()
            if code not in _NOT_SUPPORTED:
                raise OSError(code, os.strerror(code), str(self._path))

    def _apply(self, record: Record) -> None:
        key = (record.job, record.attempt)
        held = self._held.get(key)
        session = record.session or (held.session if held else 0)
        if record.op == "forget":
            self._held.pop(key, None)
            return
        state = {"finish": EntryState.FINISHED, "dead": EntryState.DEAD}.get(record.op, EntryState.RUNNING)
        entry = Entry(job=record.job, attempt=record.attempt, state=state, result=record.result)
        self._held[key] = _Held(session, entry)

    def _read(self) -> int:
        """Take in the file; return how many bytes at its end are no whole records."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        place = 0
        while len(data) - place >= _HEADER.size:
            length, checksum = _HEADER.unpack_from(data, place)
            body = data[place + _HEADER.size : place + _HEADER.size + length]
            if length > _RECORD_LIMIT_BYTES or len(body) < length or zlib.crc32(body) != checksum:
                break
            try:
                self._apply(load(body, Record))
            except CorruptRecordError:
                break
            place += _HEADER.size + length
        self._size_bytes = place
        return len(data) - place

    def _compact(self) -> None:
        """Write the file anew with what is held, durably, in the place of the old one."""
        records = [
            _pack(
                Record(
                    op={EntryState.FINISHED: "finish", EntryState.DEAD: "dead"}.get(held.entry.state, "start"),
                    job=held.entry.job,
                    attempt=held.entry.attempt,
                    session=held.session,
                    result=held.entry.result,
                )
            )
            for held in self._held.values()
        ]
        new = self._path.with_suffix(".new")
        whole = b"".join(records)
        try:
            with new.open("wb") as file:
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        new.replace(self._path)
        self._size_bytes = len(whole)
        self._compact_at_bytes = max(_COMPACT_BYTES, 4 * self._size_bytes)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._keep_reserve()  # what the old file had is gone with it


def _pack(record: Record) -> bytes:
    body = dump(record)
    return _HEADER.pack(len(body), zlib.crc32(body)) + body
