"""The verdict on an attempt that failed or was lost on this minion: whose fault, and what shows it. Pure.

A SIGKILL says nothing by itself. It was for memory if the kernel counted a kill for memory while the attempt ran that
is not another attempt's (`cicd.plugins.oom_watch`), else somebody sent it: the job, or somebody on the machine.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

import msgspec

from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.supervised import Exit

STALL_S = 1.0
"""A deadline that was noticed this much too late passed while the minion itself stood still."""

_LARGE_SHARE = 0.25
"""A process that was killed for memory and held less than this part of it suffered for others."""

_OWN_SIGNALS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGPIPE,
        signal.SIGALRM,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)
"""What a process brings upon itself; the others somebody sends."""

_KILLED_CODES = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""How a command that was killed is told: by Python, and by a shell."""

_BY_KIND = {
    FailureKind.USER: (Blame.CODE, Cause.REPORTED),
    FailureKind.TIMEOUT: (Blame.CODE, Cause.TIMEOUT),
    FailureKind.OUT_OF_MEMORY: (Blame.CODE, Cause.OUT_OF_MEMORY),
    FailureKind.CRASH: (Blame.CODE, Cause.PROTOCOL),
    FailureKind.INFRASTRUCTURE: (Blame.MACHINE, Cause.HOST),
}

_BY_CAUSE = {
    Cause.TIMEOUT: Blame.CODE,
    Cause.LEASE: Blame.NETWORK,
    Cause.FENCED: Blame.UNCLEAR,
    Cause.STOPPED: Blame.MACHINE,
    Cause.HOST: Blame.MACHINE,
    Cause.DISK: Blame.MACHINE,
    Cause.QUOTA: Blame.CODE,
}


@dataclass(frozen=True)
class Seen:
    """What the machine shows when an attempt has ended.

    Attributes:
        oom_kills: kills for memory while it ran, none of another attempt; None: not countable.
        oom_scope: "cgroup" or "machine".
        memory_bytes: what all processes there may use together; 0: not known.
        disk_free_bytes: free on the disk of the workspaces; None: not known.
        minion: its name.
    """

    oom_kills: int | None = None
    oom_scope: str = ""
    memory_bytes: int = 0
    disk_free_bytes: int | None = None
    minion: str = ""


FULL_BYTES = 4 * 1024 * 1024
"""A disk with less than this free is full: hardly anything can be written in one piece."""


def failed_for_disk(own: Result | None, exited: Exit, seen: Seen) -> bool:
    """Return whether the disk was full when the attempt failed, by its own word or by ending without one."""
    if seen.disk_free_bytes is None or seen.disk_free_bytes >= FULL_BYTES:
        return False
    if own is None:
        return not exited.cause and exited.signal in (0, signal.SIGBUS)
    return own.status is Status.FAILED


def died_for_memory(own: Result | None, exited: Exit, seen: Seen) -> bool:
    """Return whether the attempt's process, or a command that it reports as killed, was killed for memory."""
    if not seen.oom_kills or exited.cause:
        return False
    if own is None:
        return exited.signal == signal.SIGKILL
    return own.failure_kind is FailureKind.USER and own.exit_code in _KILLED_CODES


def with_evidence(
    result: Result, exited: Exit, seen: Seen, *, early: Cause = Cause.NONE, stalled_s: float = 0.0, said: bool = False
) -> Result:
    """Return a result with its verdict.

    Args:
        result: with its usage; what succeeded or was cancelled is returned as it is.
        exited: how its processes ended.
        seen: what the machine shows.
        early: why it was ended early.
        stalled_s: how much too late a deadline was noticed.
        said: whether the result is somebody's word, the job's or the host's, and tells itself what it is.
    """
    if result.status in (Status.SUCCEEDED, Status.CANCELLED):
        return result
    blame, cause = _judge(result, exited, seen, early, stalled_s, said=said)
    evidence = Evidence(
        blame=blame,
        cause=cause,
        oom_kills=seen.oom_kills,
        oom_scope=seen.oom_scope,
        memory_bytes=seen.memory_bytes,
        disk_free_bytes=seen.disk_free_bytes,
        stalled_s=stalled_s if stalled_s >= STALL_S else 0.0,
    )
    return msgspec.structs.replace(result, evidence=evidence)


def _judge(
    result: Result, exited: Exit, seen: Seen, early: Cause, stalled_s: float, *, said: bool
) -> tuple[Blame, Cause]:
    if early:
        stood_still = early is Cause.LEASE and stalled_s >= STALL_S
        return (Blame.MACHINE if stood_still else _BY_CAUSE[early]), early
    if result.failure_kind is FailureKind.OUT_OF_MEMORY and seen.oom_kills:
        small = result.usage.max_rss_bytes < _LARGE_SHARE * seen.memory_bytes
        return (Blame.MACHINE if small else Blame.CODE), Cause.OUT_OF_MEMORY
    if said or result.failure_kind not in (FailureKind.CRASH, FailureKind.INFRASTRUCTURE):
        return _BY_KIND.get(result.failure_kind, (Blame.UNCLEAR, Cause.NONE))
    return _silent_end(exited)


def _silent_end(exited: Exit) -> tuple[Blame, Cause]:
    """Return what it means that the processes ended without a word."""
    if exited.cause == "reaper":
        return Blame.UNCLEAR, Cause.SUPERVISOR_KILLED
    if exited.signal:
        return (Blame.CODE, Cause.SIGNAL) if exited.signal in _OWN_SIGNALS else (Blame.UNCLEAR, Cause.KILLED)
    return Blame.CODE, Cause.NO_RESULT
