"""Cuts the pieces of a log into lines, however the pieces were cut."""

from __future__ import annotations


class LogLines:
    """Of one attempt's log. Lines are counted from 1 and carry no newlines."""

    def __init__(self) -> None:
        self._number = 0
        self._open = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the lines that are whole now, with their numbers."""
        *whole, self._open = (self._open + data).split(b"\n")
        first, self._number = self._number + 1, self._number + len(whole)
        return list(enumerate(whole, first))

    def rest(self) -> list[tuple[int, bytes]]:
        """Return the last line, if the log does not end with a newline."""
        return self.feed(b"\n") if self._open else []
