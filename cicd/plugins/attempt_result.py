"""What an attempt's result is, of what its plugin said, how its processes ended, and who ended them. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import msgspec

from cicd.messages.run import FailureKind, Result, Status, Usage
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
    """

    status: Status
    message: str
    kind: FailureKind = FailureKind.NONE
    yields_to_success: bool = False


def lost(message: str, *, yields_to_success: bool = False) -> Verdict:
    """Return the verdict of an attempt that is given up without its fault."""
    return Verdict(Status.LOST, message, FailureKind.INFRASTRUCTURE, yields_to_success)


def result_of(own: Result | None, exited: Exit, verdict: Verdict | None) -> Result:
    """Return an attempt's result, without its times and its log.

    Args:
        own: what the plugin said, or what the host found wrong with it; None: nothing.
        exited: how its processes ended.
        verdict: why it was ended early, if it was.
    """
    result = _decide(own, exited, verdict)
    usage = Usage(cpu_user_s=exited.user_s, cpu_system_s=exited.system_s, max_rss_bytes=exited.max_rss_bytes)
    exit_code = result.exit_code
    if own is None and exited.code is not None:
        exit_code = exited.code
    return msgspec.structs.replace(result, usage=usage, exit_code=exit_code, signal=0 if own else exited.signal)


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
    )


def _decide(own: Result | None, exited: Exit, verdict: Verdict | None) -> Result:
    if verdict is None and exited.cause == "lease":
        verdict = lost("the minion's lease ran out")
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
        return own
    if exited.cause == "reaper":
        return Result(
            status=Status.LOST,
            message="the process that supervises the job was killed",
            failure_kind=FailureKind.INFRASTRUCTURE,
        )
    return Result(status=Status.FAILED, message=_crash(exited), failure_kind=FailureKind.CRASH)


def _crash(exited: Exit) -> str:
    if exited.signal == signal.SIGKILL:
        return "the job's process was killed by SIGKILL (not by cicd): out of memory?"
    if exited.signal:
        return f"the job's process was killed by {signal.Signals(exited.signal).name}"
    return f"the job's process ended without a result, with exit code {exited.code}"
