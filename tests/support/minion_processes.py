"""The processes of a minion, seen from outside: to stop, resume or kill them all."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil

from cicd.testing.local_cluster import LocalCluster


def tree_of(pid: int) -> list[int]:
    """Return a process and everything below it, itself first."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def signal_all(pids: list[int], sig: signal.Signals) -> None:
    """Send a signal to processes; those that are gone are no error."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sig)


def stop_minion(cluster: LocalCluster, name: str) -> list[int]:
    """Stop every process of a minion, as a machine that is paused does, and return them."""
    stopped: list[int] = []
    while new := [pid for pid in tree_of(cluster.minion_pid(name)) if pid not in stopped]:
        signal_all(new, signal.SIGSTOP)  # again, until none was born meanwhile
        stopped += new
    return stopped


def resume(pids: list[int]) -> None:
    """Let stopped processes go on."""
    signal_all(pids, signal.SIGCONT)


def crash_minion(cluster: LocalCluster, name: str) -> None:
    """End every process of a minion at once, as a machine that loses its power does."""
    stopped = stop_minion(cluster, name)
    signal_all(stopped[1:], signal.SIGKILL)
    cluster.kill_minion(name)
