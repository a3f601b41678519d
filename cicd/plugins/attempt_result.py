"""What an attempt's result is, of what its plugin said, how its processes ended, and who ended them. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import msgspec

from cicd.messages.evidence import Blame, Cause
from cicd.messages.run import FailureKind, Result, Status, Usage
from cicd.plugins.evidence import Seen, died_for_memory, failed_for_disk, with_evidence
from cicd.plugins.supervised import Exit

_TEXT_LIMIT = 2000


@dataclass(frozen=True)
class Verdict:
    """Why an attempt is ended early.

    Attributes:
        status: of its result.
        message: of its result.
        kind: of its result.
        yields_to_success: whether a job that succeeds meanwhile has succeeded.
        cause: what happened to it; none: what follows from the kind.
        stalled_s: how much too late the minion noticed it.
    """

    status: Status
    message: str
    kind: FailureKind = FailureKind.NONE
    yields_to_success: bool = False
    cause: Cause = Cause.NONE
    stalled_s: float = 0.0


def lost(message: str, cause: Cause, *, yields_to_success: bool = False, stalled_s: float = 0.0) -> Verdict:
    """Return the verdict of an attempt that is given up without its fault."""
    return Verdict(Status.LOST, message, FailureKind.INFRASTRUCTURE, yields_to_success, cause, stalled_s)


_NOTHING_SEEN = Seen()


def result_of(
    own: Result | None, exited: Exit, verdict: Verdict | None, seen: Seen = _NOTHING_SEEN, *, stalled_s: float = 0.0
) -> Result:
    """Return an attempt's result, without its times and its log.

    Args:
        own: what the plugin said, or what the host found wrong with it; None: nothing.
        exited: how its processes ended.
        verdict: why it was ended early, if it was.
        seen: what the machine shows.
        stalled_s: how much too late its deadline was noticed here.
    """
    if verdict is None and exited.cause == "lease":
        verdict = lost("the minion's lease ran out", Cause.LEASE, stalled_s=stalled_s)
    for_memory = died_for_memory(own, exited, seen)
    for_disk = verdict is None and not for_memory and failed_for_disk(own, exited, seen)
    result = _decide(own, exited, verdict, for_memory=for_memory)
    said = result is own
    if for_disk:
        result = _crowded(result, seen)
    usage = Usage(cpu_user_s=exited.user_s, cpu_system_s=exited.system_s, max_rss_bytes=exited.max_rss_bytes)
    exit_code = result.exit_code
    if own is None and exited.code is not None:
        exit_code = exited.code
    result = msgspec.structs.replace(result, usage=usage, exit_code=exit_code, signal=0 if own else exited.signal)
    if for_disk:
        return with_evidence(result, exited, seen, early=Cause.DISK)
    if verdict is None or said:
        return with_evidence(result, exited, seen, said=said)
    early, stalled_s = verdict.cause, verdict.stalled_s
    return with_evidence(result, exited, seen, early=early, stalled_s=stalled_s, said=not early)


def expired(result: Result) -> Result:
    """Return what a result is worth when the lease was over before it could be noted (rule R5)."""
    if result.status is Status.LOST:
        return result
    said = f"{result.status}: {result.message}" if result.message else str(result.status)
    return msgspec.structs.replace(
        result,
        status=Status.LOST,
        message=f"the lease ran out before the result was noted ({said})"[:_TEXT_LIMIT],
        failure_kind=FailureKind.INFRASTRUCTURE,
        outputs={},
        evidence=msgspec.structs.replace(result.evidence, blame=Blame.MACHINE, cause=Cause.LEASE),
    )


def _decide(own: Result | None, exited: Exit, verdict: Verdict | None, *, for_memory: bool) -> Result:
    if verdict is not None:
        if own is not None and own.status is Status.SUCCEEDED and verdict.yields_to_success:
            return own
        return Result(
            status=verdict.status,
            message=verdict.message,
            failure_kind=verdict.kind,
            traceback=own.traceback if own is not None else "",
            exit_code=own.exit_code if own is not None else None,
        )
    if own is not None:
        return _starved(own) if for_memory else own
    return _without_result(exited, for_memory=for_memory)


def _starved(own: Result) -> Result:
    message = f"out of memory: what the job had started was killed ({own.message})"
    return msgspec.structs.replace(own, failure_kind=FailureKind.OUT_OF_MEMORY, message=message[:_TEXT_LIMIT])


def _crowded(result: Result, seen: Seen) -> Result:
    message = f"disk full on {seen.minion}: {result.message}"
    return msgspec.structs.replace(result, failure_kind=FailureKind.INFRASTRUCTURE, message=message[:_TEXT_LIMIT])


def _without_result(exited: Exit, *, for_memory: bool) -> Result:
    if for_memory:
        message = "the job's process was killed: out of memory"
        return Result(status=Status.FAILED, message=message, failure_kind=FailureKind.OUT_OF_MEMORY)
    if exited.cause == "reaper":
        return Result(
            status=Status.LOST,
            message="the process that supervises the job was killed",
            failure_kind=FailureKind.INFRASTRUCTURE,
        )
    return Result(status=Status.FAILED, message=_crash(exited), failure_kind=FailureKind.CRASH)


def _crash(exited: Exit) -> str:
    if exited.signal == signal.SIGKILL:
        return "the job's process was killed by SIGKILL, not by cicd"
    if exited.signal:
        return f"the job's process was killed by {signal.Signals(exited.signal).name}"
    return f"the job's process ended without a result, with exit code {exited.code}"
