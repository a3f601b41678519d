r"""Disks as a power cut leaves them: every write of a process is recorded (by strace), then played up to any point.

What was written and synced is there. Of what was written and not yet synced any part may be there, page by page, and
a page may be torn at a sector. A descriptor that was opened with O_DSYNC has synced a write when it returns.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from witness import Dice

_PAGE = 4096
_SECTOR = 512
_CALLS = "openat,lseek,pwrite64,writev,fdatasync,fsync,write,ftruncate"
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_IOV = re.compile(r'iov_base="((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Wrote:
    """A write into the watched file."""

    offset: int
    data: bytes
    synced: bool


@dataclass(frozen=True)
class Synced:
    """A sync of the watched file."""


@dataclass(frozen=True)
class Said:
    """A line on stdout: what was acknowledged."""

    text: str


Step = Wrote | Synced | Said


def _bytes(text: str) -> bytes:
    return bytes.fromhex("".join(_HEX.findall(text)))


def record(strace: str, command: list[str], file: str, trace: Path) -> list[Step]:
    """Run a single-threaded program and return, in order, what it did to the file of this name and said."""
    options = ["-qq", "-xx", "-s", "100000000", "-e", f"trace={_CALLS}", "-o", str(trace)]
    subprocess.run([strace, *options, *command], check=True, capture_output=True, timeout=300)
    return list(_parse(trace.read_text(), file))


def _parse(text: str, name: str) -> Iterator[Step]:
    opened: dict[int, bool] = {}
    """Descriptors of the file, and whether their writes are synced by themselves."""
    place: dict[int, int] = {}
    for line in text.splitlines():
        call, _, rest = line.partition("(")
        result = int(line.rpartition("= ")[2].split()[0])
        if result < 0:
            continue
        if call == "openat":
            opened.pop(result, None)
            if _bytes(rest.split('"')[1]).decode().endswith(name):
                opened[result] = "O_DSYNC" in rest
            continue
        fd = int(re.match(r"\d+", rest)[0])
        if call == "write" and fd == 1:
            yield Said(_bytes(rest.split('"')[1]).decode())
        if fd not in opened:
            continue
        if call == "lseek":
            place[fd] = result
        elif call in ("fdatasync", "fsync"):
            yield Synced()
        else:
            yield _wrote(call, rest, place.get(fd, 0), synced=opened[fd])


def _wrote(call: str, rest: str, place: int, *, synced: bool) -> Wrote:
    if call == "pwrite64":
        offset = int(rest.rpartition(") =")[0].rpartition(", ")[2])
        return Wrote(offset, _bytes(rest.split('"')[1]), synced)
    assert call == "writev", f"not expected of this file: {call}"
    return Wrote(place, b"".join(_bytes(part) for part in _IOV.findall(rest)), synced)


@dataclass
class Disk:
    """The watched file as it is on the disk: what is certain, and what is not yet."""

    certain: bytearray = field(default_factory=bytearray)
    pending: list[Wrote] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Take in what the program did."""
        if isinstance(step, Synced):
            for wrote in self.pending:
                _put(self.certain, wrote.offset, wrote.data)
            self.pending.clear()
        elif isinstance(step, Wrote):
            if step.synced:
                _put(self.certain, step.offset, step.data)
            else:
                self.pending.append(step)

    def image(self, dice: Dice, in_flight: Step | None) -> bytes:
        """Return the file as a power cut may leave it, the next step perhaps begun."""
        image = bytearray(self.certain)
        writes = [*self.pending, *([in_flight] if isinstance(in_flight, Wrote) else [])]
        for wrote in writes:
            for start in range(0, len(wrote.data), _PAGE):
                page = wrote.data[start : start + _PAGE]
                chance = dice.between(0, 3)
                if chance > 2:
                    continue  # it never got there
                if chance > 1.7:
                    page = page[: int(dice.between(0, len(page) / _SECTOR)) * _SECTOR]  # torn
                _put(image, wrote.offset + start, page)
        return bytes(image)


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data
