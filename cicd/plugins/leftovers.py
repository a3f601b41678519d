"""Processes that should not be there: of an earlier jobhost at the start, of a dead reaper later.

Every zygote, and so every reaper and job, carries its minion's id in its environment. A jobhost that starts looks
for that mark: as long as a marked process lives, an attempt of the earlier jobhost may still act and must not be
called dead. While it runs, the jobhost is a subreaper: what a killed reaper leaves behind becomes its child, and is
ended as soon as it is seen.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection
from pathlib import Path

from cicd.errors import UnavailableError
from cicd.plugins.child import tree
from cicd.plugins.child.reaper import DONE_NAME, REAPER_NAME

MARK = "CICD_MINION_ID"
"""Environment variable of everything that runs below a jobhost's zygotes."""

_ROUND_S = 0.05


def name_of(pid: int) -> str:
    """Return what a process calls itself; "": there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def marked(minion: str) -> list[int]:
    """Return the processes of a minion's attempts; without zombies, and reapers whose tree is gone."""
    wanted = f"{MARK}={minion}".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    pid = int(folder.name)
                    if name_of(pid) != DONE_NAME and tree.start_ticks(pid):
                        found.append(pid)
    return found


def end_marked(minion: str, timeout_s: float) -> int:
    """End everything that an earlier jobhost of this minion left; return how many processes were seen. Blocks.

    Raises:
        UnavailableError: something is still there when the time is over.
    """
    seen: set[int] = set()
    deadline = time.monotonic() + timeout_s
    while pids := marked(minion):
        seen.update(pids)
        if time.monotonic() > deadline:
            raise UnavailableError(f"processes of an earlier start do not end: {', '.join(map(str, pids))}")
        descriptors = [descriptor for pid in pids if (descriptor := _kill(pid)) >= 0]
        _wait(descriptors)
    return len(seen)


def insist(reaper: int) -> None:
    """Help a reaper that does not end its tree: it may have been stopped, by its own job even."""
    if reaper:
        with contextlib.suppress(OSError):
            os.kill(reaper, signal.SIGCONT)
        tree.kill_below(reaper)


def _kill(pid: int) -> int:
    """Kill a process unless it is a reaper, which has to end its tree itself; return a pidfd of it or -1."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return -1
    with contextlib.suppress(OSError):
        is_reaper = name_of(pid) == REAPER_NAME
        # A stopped reaper hears nothing; it is not killed, since only it inherits what its tree leaves behind.
        if is_reaper:
            insist(pid)
        else:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return descriptor


def _wait(descriptors: list[int]) -> None:
    """Wait until one of the processes has ended, or for one short round: a reaper says by its name that it is done."""
    if descriptors:
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(_ROUND_S * 1000)
    for descriptor in descriptors:
        os.close(descriptor)


def end_strays(known: Collection[int]) -> int:
    """Kill and reap children of this process, a subreaper, that nobody started on purpose, with all below them.

    Args:
        known: the children that are meant to be there: the agent, zygotes, reapers.

    Returns:
        How many are still there; look again soon.
    """
    left = 0
    for pid in tree.children(os.getpid()):
        if pid in known:
            continue
        tree.kill_below(pid, known)
        tree.send(pid, os.getpid(), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                left += 1
    return left
