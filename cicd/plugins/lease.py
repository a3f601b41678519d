"""The lease: until when the attempts of a session may run, by the boot clock (rules R3, R4, R5)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from cicd.clock import Clock
from cicd.plugins.child.kernel import BootTimer


class Lease:
    """Session and deadline as the agent was granted them; both 0 in a jobhost that is new. Needs a running loop.

    Args:
        clock: its boot time decides.
        expired: called when the deadline passes.
    """

    def __init__(self, clock: Clock, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._timer = BootTimer()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._timer.fd, self._fired)
        self.session = 0
        self.deadline_boot_s = 0.0

    @property
    def valid(self) -> bool:
        """Whether attempts may run now."""
        return self._clock.boot_s() < self.deadline_boot_s

    def grant(self, session: int, deadline_boot_s: float) -> bool:
        """Take a lease; return whether it is one: not of an older session, and not earlier than what is held."""
        if session < self.session or (session == self.session and deadline_boot_s <= self.deadline_boot_s):
            return False
        self.session = session
        self.deadline_boot_s = deadline_boot_s
        self._timer.arm(deadline_boot_s)
        return True

    def end(self) -> None:
        """Give session and lease back."""
        self.session = 0
        self.deadline_boot_s = 0.0
        self._timer.arm(0.0)

    def close(self) -> None:
        """Release the timer."""
        self._loop.remove_reader(self._timer.fd)
        self._timer.close()

    def _fired(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was set anew in the same turn
            os.read(self._timer.fd, 8)
        if not self.valid:
            self._expired()
