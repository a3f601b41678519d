"""Linux calls that Python 3.11 does not have: prctl, and timers on the boot clock."""

from __future__ import annotations

import ctypes
import os
import signal
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLOCK_BOOTTIME = 7
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_NANOSECONDS = 1_000_000_000


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Call this process so in `ps` and /proc/PID/comm; at most 15 bytes."""
    if _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NAME)")


def forbid_new_privileges() -> None:
    """Let no setuid program of this process or its descendants gain anything."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends; also when it has ended already.

    Args:
        parent: its process id, read by the parent before it forked. It must have one thread: the signal comes when
            the thread that forked ends.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def boot_s() -> float:
    """Return CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class BootTimer:
    """A descriptor that becomes readable at a time of the boot clock, also right after the machine slept through it."""

    def __init__(self) -> None:
        self.fd: int = _LIBC.timerfd_create(_CLOCK_BOOTTIME, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self.fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")

    def arm(self, deadline_boot_s: float) -> None:
        """Fire at this time, at once if it has passed; 0 disarms. What had fired before is forgotten."""
        nanoseconds = max(1, int(deadline_boot_s * _NANOSECONDS)) if deadline_boot_s else 0
        spec = (ctypes.c_long * 4)(0, 0, nanoseconds // _NANOSECONDS, nanoseconds % _NANOSECONDS)
        if _LIBC.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, spec, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_settime: {os.strerror(number)}")

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self.fd)
