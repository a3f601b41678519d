"""The RunJob call: what the plugin is asked, and what its stream of events amounts to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from grpclib.const import Status as GrpcStatus
from grpclib.exceptions import GRPCError, StreamTerminatedError

from cicd.messages.minion import RunJob
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.channel import PluginChannel
from cicd.plugins.pb import pipeline_pb2 as pb
from cicd.plugins.pb.pipeline_grpc import PipelineStub

FEATURES = ("outputs", "cancel", "log", "group", "mask")
"""What this host honours of the contract's options."""

OUTPUTS_LIMIT_BYTES = 16 * 1024
"""Most that a job may return, names and values together: it travels with every job that needs it."""

_END_S = 1.0
MESSAGE_LIMIT = 2000
"""Most characters of a result's message."""
TRACEBACK_LIMIT = 16_000
"""Most characters of a traceback; its end is what counts."""

_REFUSED = {"artifact": "artifacts", "spawn": "spawned jobs", "ask": "questions to people"}
"""Events that change what a run is; progress, metrics and the like only tell, and may be ignored."""

_STATUS = {
    pb.STATUS_SUCCEEDED: Status.SUCCEEDED,
    pb.STATUS_FAILED: Status.FAILED,
    pb.STATUS_CANCELLED: Status.CANCELLED,
}
_KIND = {
    pb.FAILURE_KIND_INFRASTRUCTURE: FailureKind.INFRASTRUCTURE,
    pb.FAILURE_KIND_TIMEOUT: FailureKind.TIMEOUT,
    pb.FAILURE_KIND_OUT_OF_MEMORY: FailureKind.OUT_OF_MEMORY,
    pb.FAILURE_KIND_CRASH: FailureKind.CRASH,
}
_USERS_FAULT = (GrpcStatus.NOT_FOUND, GrpcStatus.INVALID_ARGUMENT, GrpcStatus.FAILED_PRECONDITION)


def request_of(run: RunJob, *, workspace: str, temp_dir: str, fence: str) -> pb.RunJobRequest:
    """Return what the plugin is asked to do."""
    return pb.RunJobRequest(
        run=run.run,
        job=run.name,
        attempt=run.attempt,
        workspace=workspace,
        temp_dir=temp_dir,
        params=run.params,
        secrets=run.secrets,
        needs={need.job: pb.Outputs(values=need.outputs) for need in run.needs},
        deadline_s=run.timeout_s,
        git=pb.Git(url=run.repository, ref=run.ref, commit=run.commit),
        fence=fence,
        features=FEATURES,
        pipeline=run.pipeline,
        run_number=run.run_number,
    )


def failed(message: str, kind: FailureKind = FailureKind.USER) -> Result:
    """Return the result of an attempt that failed for this reason."""
    return Result(status=Status.FAILED, message=message[:MESSAGE_LIMIT], failure_kind=kind)


async def call_run_job(channel: PluginChannel, request: pb.RunJobRequest, output: Callable[[bytes], None]) -> Result:
    """Run the job; return its result when that has arrived.

    Args:
        channel: to the plugin.
        request: what to run.
        output: takes what log and group events add to the log.

    Raises:
        GRPCError, StreamTerminatedError, OSError, CicdError: the plugin went away or broke the protocol.
    """
    call = _Call(output)
    try:
        async with asyncio.timeout(None) as limit, PipelineStub(channel).RunJob.open() as stream:
            await stream.send_message(request, end=True)
            async for event in stream:
                call.take(event)
                if call.result is not None:
                    # The call's own end follows the result; a plugin that forgets it holds nobody up.
                    limit.reschedule(asyncio.get_running_loop().time() + _END_S)
    except GRPCError as error:
        if call.result is None and error.status in _USERS_FAULT:
            return failed(error.message or error.status.name)
        if call.result is None:
            raise
    except (TimeoutError, StreamTerminatedError, OSError):
        if call.result is None:
            raise
    return call.result or failed("the plugin ended its call without a result", FailureKind.CRASH)


class _Call:
    """What the events of one call amount to."""

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self._output = output
        self._outputs: dict[str, str] = {}
        self.result: Result | None = None

    def take(self, event: pb.JobEvent) -> None:
        kind = event.WhichOneof("event")
        if self.result is not None or kind is None:
            return
        if kind in _REFUSED:
            self.result = failed(f"the job uses {_REFUSED[kind]}, which this version does not offer")
        elif kind == "result":
            self.result = _result(event.result, self._outputs)
        elif kind == "output":
            self._outputs[event.output.name] = event.output.value
        elif kind == "log":
            self._output(b"".join(line.rstrip(b"\n") + b"\n" for line in event.log.lines))
        elif kind == "group":
            self._output(b"::endgroup::\n" if event.group.end else f"::group::{event.group.title}\n".encode())


def _result(result: pb.Result, outputs: dict[str, str]) -> Result:
    """Return what the plugin said; its texts are cut later, once they are masked: half a secret is none to a mask."""
    outputs = {**outputs, **result.outputs}
    size_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in outputs.items())
    status = _STATUS.get(result.status)
    if status is None:
        return failed(f"the plugin sent a result of status {result.status}, which this version does not know")
    if size_bytes > OUTPUTS_LIMIT_BYTES:
        return failed(f"the job's outputs have {size_bytes} bytes; the limit is {OUTPUTS_LIMIT_BYTES}")
    kind = FailureKind.NONE if status is not Status.FAILED else _KIND.get(result.failure_kind, FailureKind.USER)
    return Result(
        status=status,
        message=result.message,
        failure_kind=kind,
        exit_code=result.exit_code if result.exit_code or status is Status.SUCCEEDED else None,
        outputs=outputs if status is Status.SUCCEEDED else {},
        traceback=result.traceback,
    )
