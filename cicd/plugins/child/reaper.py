"""The reaper: the one process that ends an attempt's tree, whatever happens to the others.

It forks the job's process and then waits for the first of: that process's end, a `kill` on the control socket, the
socket's end of file (the jobhost is gone), the lease's deadline on the boot clock (which also passes while the jobhost
is stopped). Then it kills and reaps everything below itself; as a subreaper it inherits what left the job's session.
Only when nothing is left does it report, and only after that does it remove the workspace, so that a large one makes
nobody wait.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from . import control, kernel, tree

REAPER_NAME = "cicd-reaper"
DONE_NAME = "cicd-done"
"""A reaper's name once nothing is left below it: it may still remove folders."""

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Reaper:
    """Supervises one job's process.

    Args:
        link: the control socket.
        deadline_boot_s: the lease at the start; 0: none.
    """

    def __init__(self, link: socket.socket, deadline_boot_s: float) -> None:
        self._link = link
        self._timer = kernel.BootTimer()
        self._timer.arm(deadline_boot_s)
        self._pid = 0
        self._status: int | None = None
        self._cause = ""

    def run(self, start: Callable[[], NoReturn], output: int | None = None) -> None:
        """Fork, let the child call `start`, and return when nothing below this process is left.

        Args:
            start: becomes the job's process.
            output: its output's descriptor, closed here once the child has it.
        """
        kernel.set_name(REAPER_NAME)
        kernel.become_subreaper()
        kernel.forbid_new_privileges()
        if self._told_to_end():
            control.tell(self._link, {"exit": self._report()})
            return
        self._pid = os.fork()
        if self._pid == 0:
            start()
        drop_standard_streams()
        if output is not None:
            os.close(output)
        wake = self._watch_children()
        control.tell(self._link, {"reaper": os.getpid(), "pid": self._pid})
        self._wait(wake)
        tree.end_all(self._reaped)
        kernel.set_name(DONE_NAME)
        control.tell(self._link, {"exit": self._report()})

    def _told_to_end(self) -> bool:
        """Take what has been said already: what was given up before it was forked must not run at all."""
        while select.select([self._link], [], [], 0)[0] and not self._cause:
            self._hear()
        return bool(self._cause)

    def _watch_children(self) -> int:
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        return readable

    def _wait(self, wake: int) -> None:
        poll = select.poll()
        for descriptor in (wake, self._link.fileno(), self._timer.fd):
            poll.register(descriptor, select.POLLIN)
        # A child may have ended before its signal had a handler.
        while self._reap() and not self._cause:
            for descriptor, _events in poll.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                elif descriptor == self._timer.fd:
                    self._cause = self._cause or "lease"
                else:
                    self._hear()

    def _reap(self) -> bool:
        """Reap what has ended; return whether the job's process still runs."""
        while self._status is None and tree.reap_one(self._reaped):
            pass
        return self._status is None

    def _reaped(self, pid: int, status: int) -> None:
        if pid == self._pid:
            self._status = status

    def _hear(self) -> None:
        try:
            packet = self._link.recv(control.PACKET_BYTES)
            message = control.unpack(packet) if packet else {"orphaned": True}
        except (OSError, ValueError):
            message = {"orphaned": True}
        if "deadline" in message:
            self._timer.arm(float(message["deadline"]))
        elif "term" in message:
            self._terminate()
        elif "kill" in message:
            self._cause = "killed"
        elif "orphaned" in message:
            self._cause = "orphaned"

    def _terminate(self) -> None:
        # The job's process has not been reaped, so its id is still its own.
        try:
            os.killpg(self._pid, signal.SIGTERM)
        except ProcessLookupError:
            os.kill(self._pid, signal.SIGTERM)  # it has not made its group yet

    def _report(self) -> dict[str, Any]:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = self._status if self._status is not None else 0
        return {
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "cause": self._cause,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * 1024,
        }


def drop_standard_streams() -> None:
    """Point the standard streams nowhere: a job's pipe ends when its processes do, not when its reaper does."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
