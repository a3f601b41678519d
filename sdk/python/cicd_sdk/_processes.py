"""Looks at the processes of this machine, and ends groups of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_POLL_S = 0.02


def _stats() -> Iterator[tuple[int, str, int, int, int]]:
    """Yield pid, state, parent, process group and session of every process."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError), open(f"{entry.path}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs more than the read
            # The name in parentheses may hold anything, parentheses too.
            state, parent, group, session = file.read().rpartition(b")")[2].split()[:4]
            yield int(entry.name), state.decode(), int(parent), int(group), int(session)


def of_group(group: int) -> list[int]:
    """Return the living processes of a process group."""
    return [pid for pid, state, _, its_group, _ in _stats() if its_group == group and state not in "ZX"]


def of_session(session: int) -> list[int]:
    """Return the living processes of a session."""
    return [pid for pid, state, _, _, its_session in _stats() if its_session == session and state not in "ZX"]


def children() -> list[int]:
    """Return the children of this process, dead ones too."""
    me = os.getpid()
    return [pid for pid, _, parent, _, _ in _stats() if parent == me]


def kill(pids: list[int], signum: int = signal.SIGKILL) -> None:
    """Send a signal to each that still lives."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def kill_session(session: int) -> None:
    """Kill a session, again until none is left: a process may fork while it is looked for."""
    deadline = time.monotonic() + 5
    while (pids := of_session(session)) and time.monotonic() < deadline:
        kill(pids)
        time.sleep(_POLL_S / 4)


def end_group(process: subprocess.Popen[bytes], grace_s: float, *, ask: bool = True) -> None:
    """End the process group that `process` leads: SIGTERM (with `ask`), `grace_s` seconds, SIGKILL; then reap it.

    The leader is reaped last: until then its number, which is the group's, cannot go to somebody else.
    """
    group = process.pid
    if process.returncode is not None:
        return
    if ask:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while of_group(group) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    process.wait()
