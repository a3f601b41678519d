"""How a running job is told to stop.

Theory of operation. The job runs in the main thread, the request comes in another one (or, when a pipeline runs by
hand, as a signal). `request` raises the flag, asks the process groups of `ctx.run` to end, and kicks the main thread
with a real signal: only that interrupts a `time.sleep` or a `waitpid`. The signal's handler raises `Cancelled` in the
main thread, once. A kick can be lost between Python's last look at its flags and the system call that blocks, so
whoever kicks repeats it until `settled`.

It is not raised where that would do harm. Inside `shield` (a child is being started, an event is being written) it
waits for the end of the shield. And a job that has seen `ctx.cancelled` goes up is left alone: it knows, and ends in
its own way.

    idle --arm--> armed --request--> asked --raised or seen--> delivered
                    |                  |                          |
                    +------------------+--------disarm------------+--> over
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cicd_sdk._latch import Latch
from cicd_sdk.errors import Cancelled

KICK = signal.SIGRTMIN + 9
"""A signal that programs hardly use: no default of a library is in the way."""


class Cancellation:
    """The request to stop one job, and the process groups that it has to reach."""

    def __init__(self) -> None:
        self.flag = Latch(self._seen, self.shield)
        self.reason = ""
        self.delivered = False
        self._deadline = 0.0
        self._armed = False
        self._shields = 0
        self._groups: set[int] = set()
        self._asked: set[int] = set()

    def listen(self, signum: int = KICK) -> None:
        """Raise `Cancelled` on this signal from now on. Main thread only."""
        signal.signal(signum, lambda _signum, _frame: self.check())

    def arm(self) -> None:
        """The job begins. Raises `Cancelled` when that was asked for already."""
        self._armed = True
        self.check()

    def disarm(self) -> None:
        """The job is over: nothing is raised any more."""
        self._armed = False

    def request(self, reason: str, grace_s: float) -> None:
        """Ask the job to stop; may be called from any thread, and more than once.

        Args:
            reason: for people.
            grace_s: what it has to end by itself.
        """
        if not self.flag.peek():
            self.reason = reason
            self._deadline = time.monotonic() + grace_s
            self.flag.set()
            # Once: many programs take a second SIGTERM as "at once".
            self._asked = set(self._groups)
            self.signal_groups(signal.SIGTERM)
        self.kick()

    def kick(self) -> None:
        """Interrupt the main thread."""
        if not self.settled:
            signal.pthread_kill(threading.main_thread().ident or 0, KICK)

    @property
    def settled(self) -> bool:
        """Whether no further kick is needed."""
        return self.delivered or not self._armed or not self.flag.peek()

    def grace_left_s(self) -> float:
        """Return how long the job still has, in seconds; endless when nobody asked."""
        return max(0.0, self._deadline - time.monotonic()) if self.flag.peek() else float("inf")

    def check(self) -> None:
        """Raise `Cancelled` if that was asked for and nobody has been told yet. Main thread only."""
        if self._armed and not self._shields and not self.delivered and self.flag.peek():
            self.delivered = True
            raise Cancelled(self.reason or "cancelled")

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let nothing be raised inside, but at the end. In threads other than the main one it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self.check()

    @contextmanager
    def window(self) -> Iterator[None]:
        """Lift the shields around something that blocks."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        shields, self._shields = self._shields, 0
        try:
            self.check()
            yield
        finally:
            self._shields = shields

    def add_group(self, group: int) -> None:
        """Remember a process group of the job."""
        self._groups.add(group)

    def remove_group(self, group: int) -> None:
        """Forget a process group that has ended."""
        self._groups.discard(group)

    def has_asked(self, group: int) -> bool:
        """Tell whether a process group got its SIGTERM from `request`."""
        return group in self._asked

    def signal_groups(self, signum: int) -> None:
        """Send a signal to every process group of the job."""
        for group in tuple(self._groups):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signum)

    def _seen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.delivered = True
