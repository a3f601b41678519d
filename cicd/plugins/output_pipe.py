"""Reading a pipe in the loop: a bounded piece per turn, so that a job that prints without end starves nobody."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_PIECE_BYTES = 64 * 1024
_REST_PIECES = 64
"""At the end a pipe holds at most 1 MiB (the most an unprivileged process may set)."""


class OutputPipe:
    """The read end of a process's output; nothing is read before `set_feed`. Needs a running loop.

    Attributes:
        write_fd: the end to give away; closed by `release_write_end`.
        ended: done at the end of file.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._feed: Callable[[bytes], None] | None = None
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def set_feed(self, feed: Callable[[bytes], None]) -> None:
        """Begin to read; `feed` takes each piece, in the loop."""
        self._feed = feed
        self._loop.add_reader(self._fd, self._readable)

    def release_write_end(self) -> None:
        """Close our copy of the end that was given away."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def finish(self) -> None:
        """Take what the pipe still holds and close it: the processes that wrote to it are gone."""
        for _ in range(_REST_PIECES):
            if not self._readable():
                break
        self._close()

    def _readable(self) -> bool:
        """Take one piece; return whether there may be more."""
        if self._fd < 0 or self._feed is None:
            return False
        try:
            data = os.read(self._fd, _PIECE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close()
            return False
        self._feed(data)
        return True

    def _close(self) -> None:
        self.release_write_end()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if not self.ended.done():
            self.ended.set_result(None)
