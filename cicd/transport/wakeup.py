"""Wakes a thread that waits in a poll, at most once per nap.

The sleeper says that it is about to sleep (`park`), looks at its queues once more, and polls. A sender puts its work
into a queue first and calls `notify` then: while the sleeper is awake that costs one look at a flag and no system
call.

An eventfd was chosen over an inproc PUSH/PULL pair: both cost under a microsecond, but a ZeroMQ socket belongs to one
thread, so senders would have to take a lock each time.
"""

from __future__ import annotations

import os
import threading


class Wakeup:
    """One sleeper, any number of notifiers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parked = False
        self._fd: int = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor to poll for reading."""
        return self._fd

    def notify(self) -> None:
        """Wake the sleeper if it sleeps, or is about to."""
        if self._parked:
            with self._lock:
                # The lock is for `close`: the number of a closed descriptor may be another file by now.
                if self._parked:
                    self._parked = False
                    os.eventfd_write(self._fd, 1)

    def park(self) -> None:
        """Say that the sleeper is about to poll; it must look at its queues after this."""
        self._parked = True

    def unpark(self, *, woken: bool) -> None:
        """Say that the sleeper is awake; `woken`: the poll said that the descriptor is readable."""
        self._parked = False
        if woken:
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Release the descriptor; `notify` does nothing from now on. Again: nothing."""
        with self._lock:
            self._parked = False
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
