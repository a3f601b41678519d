"""The log of a running attempt: what its processes print, marked lines made readable, masked, into its spool file.

    pipe -> marks -> masks -> limit -> spool
    what the jobhost itself adds ----^ (masked too)

Nothing that is to be masked reaches the file. Beyond its limit a log takes no more; it says so, and the job goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from cicd.messages.jobhost import LogState
from cicd.plugins.marks import MarkFilter
from cicd.plugins.masking import Masker
from cicd.plugins.secret_forms import MIN_BYTES
from cicd.plugins.spool import SpoolFile

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_TOO_SHORT = f"a value has fewer than {MIN_BYTES} characters in each of its lines: it is not masked"


class AttemptLog:
    """Writes one attempt's log.

    Args:
        file: takes it.
        fence: the nonce of its marks.
        grew: called after each piece.
        failed: called once, with the reason, when the file takes no more; the rest of the output is dropped.
        limit_bytes: most that the processes may write; 0: no limit. Our own few lines always go in.

    Attributes:
        masker: what is masked; of the result's texts too.
    """

    def __init__(
        self,
        file: SpoolFile,
        fence: str,
        grew: Callable[[], None],
        failed: Callable[[OSError], None],
        limit_bytes: int = 0,
    ) -> None:
        self._file = file
        self._marks = MarkFilter(fence, self.mask)
        self._grew = grew
        self._failed = failed
        self._limit_bytes = limit_bytes
        self._dropped_bytes = 0
        self._at_line_start = True
        self._broken = False
        self._notices: list[str] = []
        self._told_short = False
        self.masker = Masker()

    def mask(self, value: bytes) -> None:
        """Mask a value from here on."""
        if value.strip() and not self.masker.add(value) and not self._told_short:
            self._told_short = True  # once is enough: our own lines are outside the limit
            self._notices.append(_TOO_SHORT)

    def output(self, data: bytes) -> None:
        """Take what the processes wrote."""
        self.write(self._marks.feed(data))

    def write(self, data: bytes) -> None:
        """Take what is log already."""
        self._append(self.masker.feed(data) if self.masker.active else data)
        while self._notices:
            self.say(self._notices.pop())

    def say(self, text: str) -> None:
        """Add a line of the minion's own."""
        line = f"[warning] cicd: {self.masker.text(text)}\n".encode()
        self._put(line if self._at_line_start else b"\n" + line)

    def warn_of(self, outputs: Mapping[str, str]) -> None:
        """Say which outputs hold a masked value."""
        for name in sorted(name for name, value in outputs.items() if self.masker.holds_secret(value)):
            self.say(f"the output {name!r} holds a masked value: outputs are kept and shown as they are")

    def close(self) -> LogState:
        """End the log; return what it is."""
        self.write(self._marks.flush())
        self._append(self.masker.flush())
        if self._dropped_bytes:
            self.say(f"{self._dropped_bytes} bytes of output were dropped beyond the limit of {self._limit_bytes}")
        try:
            return self._file.close()
        except OSError as error:
            log.warning("log.not_durable", path=str(self._file.path), error=str(error))
            return self._file.state(closed=True)

    def _append(self, data: bytes) -> None:
        if self._limit_bytes and len(data) > self._limit_bytes - self._file.size_bytes:
            self._cut(data)
        else:
            self._put(data)

    def _cut(self, data: bytes) -> None:
        """Take what fits; whole lines, if there is one."""
        kept = 0
        if not self._dropped_bytes:
            room = max(0, self._limit_bytes - self._file.size_bytes)
            begun = self._file.size_bytes and self._at_line_start  # then the line that does not fit is left out whole
            kept = data.rfind(b"\n", 0, room) + 1 or (0 if begun else room)
            self._put(data[:kept])
            self.say(f"the log has reached logs.limit_bytes ({self._limit_bytes}): what follows is dropped")
        self._dropped_bytes += len(data) - kept

    def _put(self, data: bytes) -> None:
        if not data or self._broken:
            return
        try:
            self._file.append(data)
        except OSError as error:
            self._broken = True
            self._failed(error)
        else:
            self._at_line_start = data.endswith(b"\n")
            self._grew()
