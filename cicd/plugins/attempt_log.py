"""The log of a running attempt: what its processes print, marked lines made readable, into its spool file."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from cicd.messages.jobhost import LogState
from cicd.plugins.marks import MarkFilter
from cicd.plugins.spool import SpoolFile

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class AttemptLog:
    """Writes one attempt's log.

    Args:
        file: takes it.
        fence: the nonce of its marks.
        grew: called after each piece.
        failed: called once, with the reason, when the file takes no more; the rest of the output is dropped.
    """

    def __init__(
        self, file: SpoolFile, fence: str, grew: Callable[[], None], failed: Callable[[OSError], None]
    ) -> None:
        self._file = file
        self._marks = MarkFilter(fence)
        self._grew = grew
        self._failed = failed
        self._broken = False

    def output(self, data: bytes) -> None:
        """Take what the processes wrote."""
        self.write(self._marks.feed(data))

    def write(self, data: bytes) -> None:
        """Take what is log already."""
        if not data or self._broken:
            return
        try:
            self._file.append(data)
        except OSError as error:
            self._broken = True
            self._failed(error)
        else:
            self._grew()

    def close(self) -> LogState:
        """End the log; return what it is."""
        self.write(self._marks.flush())
        try:
            return self._file.close()
        except OSError as error:
            log.warning("log.not_durable", path=str(self._file.path), error=str(error))
            return self._file.state(closed=True)
