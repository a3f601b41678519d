"""How the verdict on a failed or lost attempt, and what shows it, are said to people."""

from __future__ import annotations

import signal

from cicd.cli import words
from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.run import Result

_BLAME = {
    Blame.CODE: "your code",
    Blame.MACHINE: "our machine",
    Blame.NETWORK: "the network, or the master was away",
    Blame.UNCLEAR: "it cannot be told whose",
}

_CAUSE = {
    Cause.REPORTED: "the job reported the failure itself",
    Cause.NO_RESULT: "its process ended without a result",
    Cause.SIGNAL: "its process was ended by a fault of its own",
    Cause.KILLED: "somebody sent its process a signal: the job itself, or somebody on the machine",
    Cause.OUT_OF_MEMORY: "it ran out of memory",
    Cause.DISK: "the disk is full",
    Cause.QUOTA: "it took more of the disk than it may",
    Cause.TIMEOUT: "it ran longer than its limit",
    Cause.CANCELLED: "it was cancelled",
    Cause.PROTOCOL: "it broke the conversation with its host",
    Cause.HOST: "the minion could not do its part",
    Cause.SUPERVISOR_KILLED: "its supervising process was killed, by the job itself or by somebody on the machine",
    Cause.JOBHOST_ENDED: "the minion's jobhost was killed, or the machine went down",
    Cause.LEASE: "its minion got no answer for so long that it had to stop",
    Cause.FENCED: "the master had given its minion up",
    Cause.STOPPED: "the minion was stopped on purpose",
    Cause.SILENCE: "the master heard nothing of its minion any more",
    Cause.FORGOTTEN: "its minion does not know of it any more",
    Cause.NOT_BEGUN: "it had not begun",
}


def verdict(result: Result) -> str:
    """Return whose fault an attempt's end is, in words; empty: nobody's."""
    evidence = result.evidence
    if not evidence.blame:
        return ""
    if evidence.cause == Cause.SILENCE and evidence.blame == Blame.UNCLEAR:
        whose = "the network or our machine"
    elif evidence.cause == Cause.LEASE and evidence.stalled_s:
        whose = "our machine stood still"
    else:
        whose = _BLAME.get(Blame(evidence.blame), "") if evidence.blame in list(Blame) else evidence.blame
    what = _CAUSE.get(Cause(evidence.cause), "") if evidence.cause in list(Cause) else evidence.cause
    return f"{whose}: {what}" if what else whose


def shown_by(result: Result) -> list[str]:
    """Return what shows it, in words, one item each."""
    evidence = result.evidence
    if not evidence.blame:
        return []
    items = [
        f"exit code {result.exit_code}" if result.exit_code is not None else "",
        _signal(result.signal),
        _memory(result, evidence),
        f"{words.size(evidence.disk_free_bytes)} of disk free" if evidence.disk_free_bytes is not None else "",
        f"noticed {evidence.stalled_s:.1f} s too late" if evidence.stalled_s else "",
        _silence(evidence),
    ]
    return [item for item in items if item]


def _signal(number: int) -> str:
    if not number:
        return ""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _memory(result: Result, evidence: Evidence) -> str:
    parts = []
    if result.usage.max_rss_bytes:
        of = f" of {words.size(evidence.memory_bytes)}" if evidence.memory_bytes else ""
        parts.append(f"largest process {words.size(result.usage.max_rss_bytes)}{of}")
    if evidence.oom_kills is not None:
        where = "by the minion's cgroup" if evidence.oom_scope == "cgroup" else "on the machine"
        parts.append(f"{words.count(evidence.oom_kills, 'kill')} for memory counted {where}")
    return ", ".join(parts)


def _silence(evidence: Evidence) -> str:
    if not evidence.silent_s:
        return ""
    closed = "its connection was closed" if evidence.closed else "its connection was not closed"
    missed = words.count(evidence.missed_beats, "heartbeat")
    heard = f"last heard of at {words.moment(evidence.heard_s)}, {evidence.silent_s:.0f} s before"
    return f"{heard}: {missed} missed, {closed}"
