"""Telling the agent that logs have grown: at once for the first piece, then at most every 20 ms for each log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cicd.plugins.journal import Key

_PAUSE_S = 0.02


class LogNotices:
    """Coalesces notices. Needs a running loop.

    Args:
        notify: tells of one log; returns False if it could not, then it is called again later.
    """

    def __init__(self, notify: Callable[[Key], bool]) -> None:
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._pausing: dict[Key, asyncio.TimerHandle] = {}
        self._grown: set[Key] = set()

    def grew(self, key: Key) -> None:
        """Note that a log has grown."""
        if key in self._pausing:
            self._grown.add(key)
        else:
            self._tell(key)

    def closed(self, key: Key) -> None:
        """Forget a log: its end is told instead."""
        self._grown.discard(key)
        if handle := self._pausing.pop(key, None):
            handle.cancel()

    def close(self) -> None:
        """Forget all logs."""
        for key in list(self._pausing):
            self.closed(key)

    def _tell(self, key: Key) -> None:
        if not self._notify(key):
            self._grown.add(key)
        self._pausing[key] = self._loop.call_later(_PAUSE_S, self._pause_over, key)

    def _pause_over(self, key: Key) -> None:
        del self._pausing[key]
        if key in self._grown:
            self._grown.discard(key)
            self._tell(key)
