"""Files of the journal: frames of a length, a checksum and bytes; the first frame is the header, then the checkpoint.

    <8 digits>.inputs      in the order in which they were begun

A frame that the end of the file cuts off is what a killed writer leaves: reading ends before it. A frame whose checksum
is wrong is damage.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cicd.errors import CicdError

SUFFIX = ".inputs"
FORMAT = 1
_FRAME = struct.Struct("<II")
_MAX_FRAME_BYTES = 1 << 30


class JournalDamagedError(CicdError):
    """The journal cannot be read there; it says where."""

    code = "journal_damaged"


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a segment begins with.

    Attributes:
        version: of the program that wrote it.
        core: digest of the code that decided; only the same code decides the same.
        wall_s: when it was begun.
        kind: `start`: the master had just started; `next`: it follows on the segment before; `gap`: batches between
            the segment before and this one were not written.
        gap: why, and how many.
        deleted: how many older segments had been deleted by then.
    """

    format: int = FORMAT
    version: str
    core: str
    wall_s: float
    kind: Literal["start", "next", "gap"] = "start"
    gap: str = ""
    deleted: int = 0


def frame(data: bytes) -> bytes:
    """Return bytes as a frame."""
    return _FRAME.pack(len(data), zlib.crc32(data)) + data


def path_of(folder: Path, number: int) -> Path:
    """Return where segment `number` is."""
    return folder / f"{number:08d}{SUFFIX}"


def numbers(folder: Path) -> list[int]:
    """Return the numbers of a folder's segments, ascending; none if there is no such folder."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    found = [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]
    return sorted(int(name) for name in found if name.isascii() and name.isdigit())


def frames(path: Path) -> Iterator[bytes]:
    """Return a segment's frames, in order, up to where its writer was stopped or now stands.

    Raises:
        JournalDamagedError: a frame is not what was written.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at + _FRAME.size <= size:
            length, checksum = _FRAME.unpack(file.read(_FRAME.size))
            if not length:
                return  # a tail that was never written: a crash of the machine leaves zeros
            if length > _MAX_FRAME_BYTES:
                raise JournalDamagedError(f"{path.name}: damaged at byte {at}")
            if at + _FRAME.size + length > size:
                return
            data = file.read(length)
            if zlib.crc32(data) != checksum:
                raise JournalDamagedError(f"{path.name}: damaged at byte {at}")
            yield data
            at += _FRAME.size + length


def header_of(data: bytes, path: Path) -> Header:
    """Return the header in a segment's first frame.

    Raises:
        JournalDamagedError: it is none.
    """
    try:
        return msgspec.msgpack.decode(data, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JournalDamagedError(f"{path.name}: no journal of a master's, or damaged") from None
