"""The verdict on an attempt that was lost or failed: whose fault, and what shows it. As far as the master can see.

What happened on the minion the minion says itself (`cicd.plugins.evidence`). Here is what only the master knows, how
long it has heard nothing of a minion, and what a result of a minion that says less amounts to.
"""

from msgspec.structs import replace

from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.run import FailureKind, Result, Status

_BY_KIND = {
    FailureKind.USER: Evidence(blame=Blame.CODE, cause=Cause.REPORTED),
    FailureKind.TIMEOUT: Evidence(blame=Blame.CODE, cause=Cause.TIMEOUT),
    FailureKind.OUT_OF_MEMORY: Evidence(blame=Blame.CODE, cause=Cause.OUT_OF_MEMORY),
    FailureKind.CRASH: Evidence(blame=Blame.CODE, cause=Cause.NO_RESULT),
    FailureKind.INFRASTRUCTURE: Evidence(blame=Blame.MACHINE, cause=Cause.HOST),
}

GONE = Evidence(blame=Blame.MACHINE, cause=Cause.JOBHOST_ENDED)
"""The minion's journal proves that its processes ended with the jobhost."""
FORGOTTEN = Evidence(blame=Blame.MACHINE, cause=Cause.FORGOTTEN)
NOT_BEGUN = Evidence(blame=Blame.MACHINE, cause=Cause.NOT_BEGUN)
STOPPED = Evidence(blame=Blame.MACHINE, cause=Cause.STOPPED)


def lost(why: str, evidence: Evidence) -> Result:
    """Return the result of an attempt that ended without one."""
    return Result(status=Status.LOST, message=why, failure_kind=FailureKind.INFRASTRUCTURE, evidence=evidence)


def judged(result: Result) -> Result:
    """Return a result with a verdict: its own, or what follows from its failure's kind."""
    if result.status in (Status.SUCCEEDED, Status.CANCELLED) or result.evidence.cause:
        return result
    return replace(result, evidence=_BY_KIND.get(result.failure_kind, Evidence(blame=Blame.UNCLEAR)))


def silence(*, heard_s: float, silent_s: float, heartbeat_s: float, closed: bool) -> Evidence:
    """Return what it means that nothing is heard of a minion.

    A connection that was closed within its lease was closed by the minion's kernel, since its processes ended: the
    network carried that word. Without it the network may be cut as well as the machine off or standing still.

    Args:
        heard_s: wall time of the last sign of life.
        silent_s: how long ago that is.
        heartbeat_s: how often there should be one.
        closed: whether its connection was closed since.
    """
    return Evidence(
        blame=Blame.MACHINE if closed else Blame.UNCLEAR,
        cause=Cause.SILENCE,
        heard_s=heard_s,
        silent_s=silent_s,
        missed_beats=int(silent_s / heartbeat_s),
        closed=closed,
    )


def revised(before: Result, after: Result) -> Result:
    """Return the result of an attempt that was given up in silence, once its minion has told what had happened.

    Only the verdict changes, and only of a loss; what was heard of the minion by then stays.
    """
    told = after.evidence
    if before.status is not Status.LOST or before.evidence.cause != Cause.SILENCE or not told.cause:
        return before
    seen = before.evidence
    evidence = replace(
        told, heard_s=seen.heard_s, silent_s=seen.silent_s, missed_beats=seen.missed_beats, closed=seen.closed
    )
    return replace(before, evidence=evidence)
