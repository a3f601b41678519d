"""Pages of answers: as many rows as fit into a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cicd.codec import FRAME_LIMIT_BYTES, dump
from cicd.messages.base import Message

PAGE_BYTES = FRAME_LIMIT_BYTES * 3 // 4
"""Most bytes of rows in one answer; the rest of the frame is for what is around them."""

R = TypeVar("R", bound=Message)


def fitting(rows: Sequence[R], limit_bytes: int = PAGE_BYTES) -> tuple[R, ...]:
    """Return the first rows that together fit into a frame: at least one, if there is any."""
    room = limit_bytes
    for count, row in enumerate(rows):
        room -= len(dump(row))
        if room < 0 and count:
            return tuple(rows[:count])
    return tuple(rows)
