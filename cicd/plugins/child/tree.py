"""The tree of processes below this one: walking it and ending it.

Only a subreaper's walk is complete: what a process leaves behind when it ends, in whatever session, becomes the
subreaper's own child. Killing goes in rounds: stop everything that can be seen until nothing new appears (a stopped
process forks no more), then kill, then reap; again until there are no children.
"""

# ruff: noqa: PTH110, PTH123, PTH208  pathlib is not worth its import here

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection

# Places in /proc/PID/stat, counted from after the command's closing bracket. Source: proc_pid_stat(5)
_STATE_FIELD = 0
_PARENT_FIELD = 1
_START_FIELD = 19

_HAS_CHILDREN_FILES = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
"""Kernels without CONFIG_PROC_CHILDREN are walked the slow way."""


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return []
    return data[data.rindex(b")") + 2 :].split()


def parent_of(pid: int) -> int:
    """Return a process's parent; 0: there is no such process."""
    fields = _stat(pid)
    return int(fields[_PARENT_FIELD]) if fields else 0


def start_ticks(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot; 0: there is none, or a zombie, which is dead.

    With the id it names one process for good.
    """
    fields = _stat(pid)
    return int(fields[_START_FIELD]) if fields and fields[_STATE_FIELD] not in (b"Z", b"X") else 0


def children(pid: int) -> list[int]:
    """Return the direct children of a process, zombies among them; empty when it does not exist."""
    if not _HAS_CHILDREN_FILES:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(int(name)) == pid]
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    return found


def descendants(root: int, keep: Collection[int] = ()) -> dict[int, int]:
    """Return every process below `root` with its parent, parents first; without those in `keep` and below them."""
    found: dict[int, int] = {}
    waiting = [root]
    while waiting:
        parent = waiting.pop()
        for child in children(parent):
            if child not in found and child not in keep:
                found[child] = parent
                waiting.append(child)
    return found


def send(pid: int, parent: int, number: int) -> bool:
    """Signal a process if it is still the one that was seen below `parent`; return whether it was.

    An id alone may have been given to another process since: a descriptor cannot.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if parent_of(pid) not in (parent, os.getpid()):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def kill_below(root: int, keep: Collection[int] = ()) -> int:
    """Stop, then kill everything below `root` except `keep` and what is below that; return how many were seen."""
    seen: dict[int, int] = {}
    while True:
        new = {pid: parent for pid, parent in descendants(root, keep).items() if pid not in seen}
        if not new:
            break
        for pid, parent in new.items():
            send(pid, parent, signal.SIGSTOP)
        seen.update(new)
    for pid, parent in seen.items():
        send(pid, parent, signal.SIGKILL)
    return len(seen)


def end_all(reaped: Callable[[int, int], None]) -> None:
    """Kill and reap everything below this process, which must be a subreaper; return when nothing is left.

    Args:
        reaped: called with the id and the wait status of each child.
    """
    while True:
        kill_below(os.getpid())
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        reaped(pid, status)
        while reap_one(reaped):
            pass


def reap_one(reaped: Callable[[int, int], None]) -> bool:
    """Reap one child that has ended, without waiting; return whether there was one."""
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            reaped(pid, status)
            return True
    return False
