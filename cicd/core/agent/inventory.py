"""What an agent knows of its jobhost's journal: every attempt that the master has not acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from cicd.messages.base import JobId
from cicd.messages.minion import Entry

RESULTS_BYTES = 100 * 1024
"""Most bytes of results in one message: it has to fit into a frame with everything else."""
_RESULT_BYTES = 300
"""A result without its texts, generously."""


class Inventory:
    """Entries by job and attempt, oldest first."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = {(entry.job, entry.attempt): entry for entry in entries}

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def get(self, job: JobId, attempt: int) -> Entry | None:
        """Return an entry."""
        return self._entries.get((job, attempt))

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace what was known of the attempt."""
        self._entries[entry.job, entry.attempt] = entry

    def forget(self, job: JobId, attempt: int) -> None:
        """Drop an entry; not there: nothing."""
        self._entries.pop((job, attempt), None)

    def fitting(self, alone: Callable[[Entry], None]) -> tuple[Entry, ...]:
        """Return every entry, for one message; none is left out, for an absent one would be taken for gone.

        Args:
            alone: called with each entry whose result is left out, as too much: it is to be sent by itself.
        """
        room = RESULTS_BYTES
        fitting: list[Entry] = []
        for entry in self._entries.values():
            result = entry.result
            if result is not None:
                texts = (*result.outputs, *result.outputs.values(), result.traceback, result.message)
                room -= sum(len(text.encode()) for text in texts) + _RESULT_BYTES
            if result is not None and room < 0:
                alone(entry)
                fitting.append(replace(entry, result=None))
            else:
                fitting.append(entry)
        return tuple(fitting)
