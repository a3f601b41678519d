"""The jobhost's children: those that are meant to be there, and strays.

The jobhost is a subreaper: when a reaper is killed, what it supervised becomes the jobhost's child, and is ended
here. Reapers themselves become children when their zygote ends before them; they are expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

import structlog

from cicd.plugins.child import tree
from cicd.plugins.leftovers import end_strays, name_of

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_ROUND_S = 0.02
_LAST_S = 2.0
_MAY_BE_STARTING = ("cicd-zygote", "cicd-reaper")


class Family:
    """Watches the children of this process. Needs a running loop.

    Args:
        known: returns the children that others watch and reap.
        starting: whether a reaper may exist that has not said its name yet.
    """

    def __init__(self, known: Callable[[], set[int]], starting: Callable[[], bool]) -> None:
        self._known = known
        self._starting = starting
        self._loop = asyncio.get_running_loop()
        self._expected: set[int] = set()
        self._helpers: list[subprocess.Popen[bytes]] = []

    def watch(self) -> None:
        """Look for strays whenever a child ends."""
        self._loop.add_signal_handler(signal.SIGCHLD, self.end_strays)

    def adopt(self, helper: subprocess.Popen[bytes]) -> None:
        """Let a helper run to its end, and reap it."""
        self._helpers.append(helper)

    def expect(self, reaper: int, gone: asyncio.Future[None]) -> None:
        """Leave a reaper alone until it is gone."""
        self._expected.add(reaper)
        gone.add_done_callback(lambda _gone: self._forget(reaper))

    def end_strays(self) -> int:
        """End and reap the children that nobody knows; return how many are left, to be looked for again soon."""
        self._helpers = [helper for helper in self._helpers if helper.poll() is None]
        known = self._known() | self._expected | {helper.pid for helper in self._helpers}
        if self._starting():
            # A reaper whose zygote has ended looks like a stray until it has said who it is.
            known |= {pid for pid in tree.children(os.getpid()) if name_of(pid) in _MAY_BE_STARTING}
        return end_strays(known)

    async def end_all_strays(self) -> None:
        """Return when there are no strays."""
        while self.end_strays():  # noqa: ASYNC110  the processes of others have no event
            await asyncio.sleep(_ROUND_S)

    async def end(self) -> None:
        """End everything below this process, after some time for what ends by itself; return when nothing is left."""
        with contextlib.suppress(ValueError):
            self._loop.remove_signal_handler(signal.SIGCHLD)
        deadline = self._loop.time() + _LAST_S
        while self._known() | self._expected and self._loop.time() < deadline:  # noqa: ASYNC110  the same
            await asyncio.sleep(_ROUND_S)
        for helper in self._helpers:
            helper.kill()
            helper.wait()
        while tree.children(os.getpid()):
            tree.kill_below(os.getpid())
            end_strays(self._known())
            await asyncio.sleep(_ROUND_S)

    def _forget(self, reaper: int) -> None:
        self._expected.discard(reaper)
