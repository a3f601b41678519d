r"""Marked lines in a job's output: what `ctx.log`, groups and the fence become in the one pipe that keeps their order.

A mark is `\x1e`, the fence (a nonce that only this attempt knows), a letter, a text and a newline:

    F                 all output before the result has been read; removed
    L<level> <text>   becomes `[level] text`
    G<title>          becomes `::group::title`
    g                 becomes `::endgroup::`
    M<base64>         a value to mask from here on, in base64; removed, and never shown, whole or not

It may begin in mid-line and be split anywhere between two reads. A `\x1e` without the right fence is the job's own
output. Only what could still become a mark is held back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

_MARK_LIMIT_BYTES = 256 * 1024
"""Longest mark; what begins like one and goes on longer is passed as it is."""
_UNREAD = b"[warning] cicd: a value to mask could not be read: it is not masked, and its line is left out\n"


class MarkFilter:
    """Turns a job's raw output into its log.

    Args:
        fence: the nonce.
        mask: takes each value to mask.

    Attributes:
        fenced: whether the fence has been seen.
    """

    def __init__(self, fence: str, mask: Callable[[bytes], None] = lambda _value: None) -> None:
        self._mask = mask
        self._skips = False
        self._prefix = b"\x1e" + fence.encode()
        self._held = b""
        self._at_line_start = True
        self.fenced = False

    def feed(self, data: bytes) -> bytes:
        """Take output; return what of the log is certain now."""
        if self._skips:
            data = self._skip(data)
        if not self._held and b"\x1e" not in data:
            self._note(data)
            return data
        data = self._held + data
        self._held = b""
        done: list[bytes] = []
        place = 0
        while (start := data.find(b"\x1e", place)) >= 0:
            self._pass(data[place:start], done)
            place = start
            if not self._prefix.startswith(data[start : start + len(self._prefix)]):
                self._pass(data[start : start + 1], done)  # another's
                place = start + 1
                continue
            end = data.find(b"\n", start)
            if end < 0 and len(data) - start <= _MARK_LIMIT_BYTES:
                self._held = data[start:]
                return b"".join(done)
            if end < 0:
                self._skips = data.startswith(self._prefix + b"M", start)
                if self._skips:
                    return b"".join(done)
                break
            self._mark(data[start : end + 1], done)
            place = end + 1
        self._pass(data[place:], done)
        return b"".join(done)

    def flush(self) -> bytes:
        """Return what is held back: nothing will complete it."""
        held, self._held = self._held, b""
        if held.startswith(self._prefix + b"M"):
            held = b""
        self._note(held)
        return held

    def _skip(self, data: bytes) -> bytes:
        """Pass over the rest of a value that is too long to be one."""
        _, newline, rest = data.partition(b"\n")
        self._skips = not newline
        return rest

    def _mark(self, line: bytes, done: list[bytes]) -> None:
        letter, text = line[len(self._prefix) : len(self._prefix) + 1], line[len(self._prefix) + 1 :]
        if letter == b"F" and text == b"\n":
            self.fenced = True
            return
        if letter == b"M":
            try:
                self._mask(base64.b64decode(text.strip(), validate=True))
            except binascii.Error:
                self._pass(_UNREAD if self._at_line_start else b"\n" + _UNREAD, done)
            return
        if letter == b"L":
            level, _, rest = text.partition(b" ")
            shown = b"[" + level.strip() + b"] " + rest if rest else b"[" + level.strip() + b"] \n"
        elif letter == b"G":
            shown = b"::group::" + text
        elif letter == b"g" and text == b"\n":
            shown = b"::endgroup::\n"
        else:
            self._pass(line, done)
            return
        # Somebody else's unfinished line is ended here: a marked line is whole, and begins where a reader looks for it.
        self._pass(shown if self._at_line_start else b"\n" + shown, done)

    def _pass(self, data: bytes, done: list[bytes]) -> None:
        self._note(data)
        done.append(data)

    def _note(self, data: bytes) -> None:
        if data:
            self._at_line_start = data.endswith(b"\n")
