"""What a folder's journal holds: its segments, and from each the core's state and the batches on top of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cicd.core.cluster import Cluster
from cicd.core.events import Event
from cicd.replay import segments
from cicd.replay.batches import Batch, BatchDecoder
from cicd.replay.checkpoint import thaw
from cicd.replay.segments import Header, JournalDamagedError
from cicd.replay.version import core_digest

JOURNAL = "journal"
"""Name of the journal's folder in a master's data folder."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment and what its header says."""

    path: Path
    header: Header

    @property
    def is_of_this_version(self) -> bool:
        """Whether this program decides as the one that wrote it did."""
        return self.header.core == core_digest() and self.header.format == segments.FORMAT

    def open(self) -> tuple[Cluster, Iterator[tuple[Batch, list[Event]]]]:
        """Return the core as it was, and the batches that it was given next.

        Raises:
            JournalDamagedError: it cannot be read; so may each step of the iterator.
            CheckpointError: its checkpoint cannot be.
            OSError: its file cannot be.
        """
        found = segments.frames(self.path)
        next(found, None)  # the header
        checkpoint = next(found, None)
        if checkpoint is None:
            raise JournalDamagedError(f"{self.path.name}: ends before its checkpoint")
        return thaw(checkpoint), self._batches(found)

    def _batches(self, found: Iterator[bytes]) -> Iterator[tuple[Batch, list[Event]]]:
        decoder = BatchDecoder()
        for number, data in enumerate(found, 1):
            try:
                yield decoder.decode(data)
            except JournalDamagedError as error:
                raise JournalDamagedError(f"{self.path.name}: batch {number}: {error.message}") from None


def read(folder: Path, from_s: float | None = None) -> list[Segment]:
    """Return a journal's segments, oldest first.

    Args:
        folder: the journal's.
        from_s: wall time; those before the segment that was being written then are left out. None: all.

    Raises:
        JournalDamagedError: one has no header that can be read.
        OSError: one cannot be read.
    """
    found: list[Segment] = []
    for number in reversed(segments.numbers(folder)):
        segment = _segment(segments.path_of(folder, number))
        if segment is None:
            continue
        found.append(segment)
        if from_s is not None and segment.header.wall_s <= from_s:
            break
    found.reverse()
    return found


def _segment(path: Path) -> Segment | None:
    """Return a segment; None: it was deleted meanwhile, or its writer was killed before it wrote anything of use."""
    try:
        found = segments.frames(path)
        first = next(found, None)
        found.close()  # type: ignore[attr-defined]  # a generator
    except FileNotFoundError:
        return None
    return None if first is None else Segment(path, segments.header_of(first, path))
