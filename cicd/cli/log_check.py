"""Checks a log that is printed from its beginning: is it what the minion wrote, and where does it end?"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from cicd.messages.client import LogEndInfo


class LogCheck:
    """Of one attempt's log, from its first byte on."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._newlines = 0
        self._size_bytes = 0
        self._last = b"\n"

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if data:
            self._hash.update(data)
            self._newlines += data.count(b"\n")
            self._size_bytes += len(data)
            self._last = data[-1:]

    def end(self, end: LogEndInfo) -> LogEndInfo:
        """Return how it ended, by what has really been read: a damaged log is not complete."""
        if end.complete and self._hash.hexdigest() != end.sha256:
            gap = "it is damaged: what was read is not what the minion wrote (its sha256 differs)"
            end = replace(end, complete=False, gap=gap)
        if end.complete:
            return end
        return replace(end, size_bytes=self._size_bytes, lines=self._newlines + (self._last != b"\n"))
