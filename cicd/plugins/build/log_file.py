"""A build's log: appended to as it comes, so that people can follow it, and cut where it grows without end."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cicd.plugins.masking import Masker

PREFIX = "== "
"""Begins the lines of the build itself; the others are of git, uv and the plugin."""


class BuildLog:
    """One log, open for appending.

    Args:
        path: the file; its folder is made.
        max_bytes: what the build's programs may write; the build's own lines always go in.
        secrets: what is masked in it.
    """

    def __init__(self, path: Path, max_bytes: int, secrets: Iterable[bytes] = ()) -> None:
        self._masker = Masker()
        for secret in secrets:
            self._masker.add(secret)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left_bytes = max_bytes
        self._at_line_start = True
        if os.fstat(self._descriptor).st_size:
            # The same build was begun before, and whoever began it is gone.
            self._write(b"\n")
            self.say("begun again: the build before was interrupted")

    def say(self, text: str) -> None:
        """Add a line of the build itself."""
        text = self.masked(text)
        self._write(self._masker.flush())
        start = b"" if self._at_line_start else b"\n"
        self._write(start + f"{PREFIX}{text}\n".encode(errors="replace"))

    def write(self, data: bytes) -> None:
        """Add output of a program."""
        if self._masker.active:
            data = self._masker.feed(data)
        if not data or self._left_bytes <= 0:
            return
        kept = data[: self._left_bytes]
        self._left_bytes -= len(data)
        self._write(kept)
        if self._left_bytes <= 0:
            self.say("the log is cut here: the build wrote too much")

    def masked(self, text: str) -> str:
        """Return a text without secrets."""
        return self._masker.text(text)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            self._write(self._masker.flush())
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        if data:
            self._at_line_start = data.endswith(b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return  # a full disk: the build's own error tells it better than its log can
