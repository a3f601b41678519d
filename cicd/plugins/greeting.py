"""How much of the journal fits into one message to the agent."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cicd.codec import dump
from cicd.messages.minion import Entry
from cicd.plugins.journal import Key

_BUDGET_BYTES = 512 * 1024
"""Half of a local frame: logs stand beside the entries."""


def fit_entries(entries: Iterable[Entry], budget_bytes: int = _BUDGET_BYTES) -> tuple[tuple[Entry, ...], list[Key]]:
    """Return the entries, and the attempts whose results had to be left out: those are told by `Finished`."""
    fitted: list[Entry] = []
    left_out: list[Key] = []
    for entry in entries:
        size_bytes = len(dump(entry))
        if entry.result is not None and size_bytes > budget_bytes:
            left_out.append((entry.job, entry.attempt))
            fitted.append(msgspec.structs.replace(entry, result=None))
        else:
            budget_bytes -= size_bytes
            fitted.append(entry)
    return tuple(fitted), left_out
