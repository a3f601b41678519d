"""Calls a job's function and tells how it went, whatever it did."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cicd_sdk import _messages as m
from cicd_sdk._cancellation import Cancellation
from cicd_sdk._context import Context
from cicd_sdk._job import Job
from cicd_sdk._param import as_text
from cicd_sdk.errors import Cancelled, CommandError

if TYPE_CHECKING:
    import traceback

_HERE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - compared with the file names of frames, which are texts
_MAX_MESSAGE = 4096
_MAX_TRACEBACK = 65536


def run(job: Job, ctx: Context, cancellation: Cancellation) -> m.Result:
    """Run a job to its end.

    Whatever it raises becomes a result. A job that was told to stop ends CANCELLED, however it took that.
    """
    try:
        try:
            cancellation.arm()
            returned = job.function(ctx) if job.takes_context else job.function()
            result = m.Result(status=m.Status.SUCCEEDED, outputs={**ctx._outputs, **_outputs(job, returned)})  # noqa: SLF001 - ours
        finally:
            cancellation.disarm()
    except SystemExit as error:
        result = _of_exit(error, ctx)
    except BaseException as error:  # noqa: BLE001 - a job may raise anything, and all of it is its result
        result = failure(error)
    if cancellation.delivered:
        result.status = m.Status.CANCELLED
        result.failure_kind = m.FailureKind.UNSPECIFIED
        result.message = cancellation.reason or "cancelled"
    return result


def failure(error: BaseException) -> m.Result:
    """Return the result of a job that raised `error`."""
    return m.Result(
        status=m.Status.FAILED,
        message=_message(error),
        failure_kind=m.FailureKind.OUT_OF_MEMORY if isinstance(error, MemoryError) else m.FailureKind.USER,
        exit_code=error.exit_code if isinstance(error, CommandError) else 1,
        traceback="" if isinstance(error, Cancelled) else trimmed_traceback(error),
    )


def refused(message: str, kind: m.FailureKind = m.FailureKind.USER) -> m.Result:
    """Return the result of a job that could not begin."""
    return m.Result(status=m.Status.FAILED, message=message, failure_kind=kind, exit_code=1)


def trimmed_traceback(error: BaseException) -> str:
    """Return the traceback as Python prints it, without the frames of the SDK and of the import system."""
    import traceback

    told = traceback.TracebackException(type(error), error, _users(error.__traceback__))
    if any(not _is_ours(frame.filename) for frame in told.stack):  # else it is our bug, which nothing may hide
        _trim(told, set())
    text = "".join(told.format())
    return text if len(text) <= _MAX_TRACEBACK else f"...\n{text[-_MAX_TRACEBACK:]}"


def _users(frames: TracebackType | None) -> TracebackType | None:
    # Most are skipped here, before the source of each line is read from disk.
    while frames is not None and frames.tb_next is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _trim(told: traceback.TracebackException | None, seen: set[int]) -> None:
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if not _is_ours(frame.filename)]
    _trim(told.__cause__, seen)
    _trim(told.__context__, seen)
    for inner in getattr(told, "exceptions", None) or ():
        _trim(inner, seen)


def _is_ours(filename: str) -> bool:
    return filename.startswith((_HERE, "<frozen importlib"))


def _message(error: BaseException) -> str:
    if isinstance(error, CommandError):
        text = str(error)
    else:
        import traceback

        text = "".join(traceback.format_exception_only(error)).strip()
        if isinstance(error, SyntaxError):  # its lines show the source first
            text = f"{type(error).__name__}: {error}"
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}..."


def _outputs(job: Job, returned: Any) -> dict[str, str]:
    if returned is None:
        return {}
    if not isinstance(returned, dict):
        raise TypeError(f"job {job.name!r} has to return None or a dict of outputs, not {type(returned).__name__}")
    outputs = {}
    for name, value in returned.items():
        if not isinstance(name, str):
            raise TypeError(f"job {job.name!r}: the name of an output is a text, not {name!r}")
        try:
            outputs[name] = as_text(value)
        except TypeError as error:
            raise TypeError(f"job {job.name!r}, output {name!r}: {error}") from None
    return outputs


def _of_exit(error: SystemExit, ctx: Context) -> m.Result:
    code = error.code
    if code is None or code == 0:
        return m.Result(status=m.Status.SUCCEEDED, outputs=dict(ctx._outputs))  # noqa: SLF001 - ours
    if isinstance(code, int):
        code_shown = code & 0xFF if code > 0 else code
        return m.Result(
            status=m.Status.FAILED,
            message=f"exited with code {code}",
            failure_kind=m.FailureKind.USER,
            exit_code=max(min(code_shown, 255), -(1 << 31)),
        )
    return m.Result(
        status=m.Status.FAILED, message=str(code)[:_MAX_MESSAGE], failure_kind=m.FailureKind.USER, exit_code=1
    )
