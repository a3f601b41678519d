r"""What a job says beside what it prints: marked lines in its output, so that everything stays in one order.

A mark is "\x1e", the fence (a nonce of the host's), a letter, a text, a newline. It may begin in mid-line: no text
of a job holds the nonce by accident. Each is one write, which a pipe keeps whole up to PIPE_BUF bytes. Without a
fence nothing is marked: a host that sends none shows output as it comes.

    L<level> <text>   a log line of `ctx.log`
    G<title>   g      a group begins, ends
    M<base64>         a value to mask in all that follows
    F                 the fence: nothing of the job follows
"""

from __future__ import annotations

import os
from contextlib import suppress

from cicd_sdk._command import flush

STDOUT, STDERR = 1, 2
_MASK_BYTES = 2880
"""Of a value in one mark: PIPE_BUF, less base64 and the rest of the mark."""


class Marks:
    """Writes the marked lines of one job.

    Args:
        fence: the nonce; empty: nothing is marked.
    """

    def __init__(self, fence: str) -> None:
        self._prefix = f"\x1e{fence}" if fence else ""

    def log(self, level: str, text: str) -> None:
        """Write log lines: one for each line of the text."""
        mark = f"{self._prefix}L{level} " if self._prefix else "" if level == "info" else f"{level}: "
        self._write("".join(f"{mark}{line}\n" for line in text.splitlines() or [""]))

    def group(self, title: str) -> None:
        """Write that a group begins."""
        title = " ".join(title.split())
        self._write(f"{self._prefix}G{title}\n" if self._prefix else f"{title}:\n")

    def group_end(self) -> None:
        """Write that the latest group ends."""
        if self._prefix:
            self._write(f"{self._prefix}g\n")

    def mask(self, value: str) -> None:
        """Write what is to be masked: a line of its own for each of its lines, whole in one write of the pipe."""
        import base64  # slow to import, and rarely needed

        lines = [line for line in value.encode("utf-8", "surrogateescape").splitlines() if line.strip()]
        pieces = [line[at : at + _MASK_BYTES] for line in lines for at in range(0, len(line), _MASK_BYTES)]
        for piece in pieces if self._prefix else ():
            self._write(f"{self._prefix}M{base64.b64encode(piece).decode()}\n")

    def fence(self) -> None:
        """Write that the job's output ends: to both descriptors, once if they are the same pipe."""
        flush()
        if not self._prefix:
            return
        line = f"{self._prefix}F\n".encode()
        written: set[tuple[int, int]] = set()
        for fd in (STDOUT, STDERR):
            with suppress(OSError):  # a job may close its output; the host sees that it ends
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) not in written:
                    written.add((status.st_dev, status.st_ino))
                    _write_all(fd, line)

    def _write(self, text: str) -> None:
        flush()
        with suppress(OSError):
            _write_all(STDOUT, text.encode("utf-8", "backslashreplace"))


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
