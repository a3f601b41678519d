"""The services of a plugin: ours, and those that every go-plugin host expects.

Theory of operation. Handlers run in the server's thread and never block. What runs the author's code (loading the
file, the job) is a task for the main thread, which takes them one by one (`run_tasks`). A process runs one job in its
life:

    no job --RunJob--> running --result, or client gone--> over        (RunJob again: FAILED_PRECONDITION)

A client that goes away cancels its job. A process with a job that is over, and without a connection, has no reason to
stay.

Source: go-plugin's services (health, controller, stdio): https://github.com/hashicorp/go-plugin
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from queue import SimpleQueue

from cicd_sdk import _messages as m
from cicd_sdk._describe import describe
from cicd_sdk._grpc import Call, Code
from cicd_sdk._hosted import HostedJob, Refused
from cicd_sdk._outcome import trimmed_traceback
from cicd_sdk._pipeline import Pipeline
from cicd_sdk._server import Server
from cicd_sdk._wire import Field, Message, WireError
from cicd_sdk.errors import PipelineError

_GONE_GRACE_S = 10.0
_KICK_AGAIN_S = 0.1
_END_S = 2.0
_SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
_SERVICE_UNKNOWN = b"\x08\x03"
_HEALTHY = ("", "plugin")


class _HealthCheckRequest(Message):
    __slots__ = ("service",)
    FIELDS = (Field(1, "service", "string"),)

    def __init__(self) -> None:
        self.service = ""


class Service:
    """Answers the calls of a host.

    Args:
        path: where to listen.
        load: returns the pipeline; called once, in the main thread.
    """

    def __init__(self, path: str, load: Callable[[], Pipeline]) -> None:
        self._load = load
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._pipeline: Pipeline | None = None
        self._load_error: BaseException | None = None
        self._loading = False
        self._description: Callable[[Call], None] | None = None  # how Describe is answered
        self._asking: list[Call] = []
        self._held: list[Call] = []  # streams that stay open as long as the process
        self._job: HostedJob | None = None
        ours = "/cicd.plugin.v1.Pipeline/"
        self._methods: dict[str, Callable[[Call], None]] = {
            ours + "Describe": self._describe,
            ours + "RunJob": self._run_job,
            ours + "Cancel": self._cancel,
            ours + "Reply": self._reply,
            "/grpc.health.v1.Health/Check": self._check,
            "/grpc.health.v1.Health/Watch": self._watch,
            "/plugin.GRPCController/Shutdown": self._shutdown,
            "/plugin.GRPCStdio/StreamStdio": self._hold,
        }
        self._server = Server(
            path,
            on_call=self._on_call,
            methods=self._methods,
            on_empty=self._leave_if_over,
            on_end=self._end,
        )

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._server.start()

    def run_tasks(self) -> None:
        """Run what needs the main thread, until the service ends."""
        while (task := self._tasks.get()) is not None:
            task()

    def _on_call(self, call: Call) -> None:
        try:
            self._methods[call.path](call)
        except WireError as error:
            call.finish(Code.INTERNAL, f"the request cannot be read: {error}")
        except Exception as error:  # noqa: BLE001 - a bug here must not end the job that runs
            call.finish(Code.INTERNAL, f"{type(error).__name__}: {error}")

    # --- go-plugin's own

    def _check(self, call: Call) -> None:
        if _HealthCheckRequest.decode(call.request).service in _HEALTHY:
            call.reply(_SERVING)
        else:
            call.finish(Code.NOT_FOUND, "there is no such service")

    def _watch(self, call: Call) -> None:
        known = _HealthCheckRequest.decode(call.request).service in _HEALTHY
        call.send(_SERVING if known else _SERVICE_UNKNOWN)
        self._held.append(call)

    def _hold(self, call: Call) -> None:
        call.start()  # the output goes by the descriptors: this stream only has to be there
        self._held.append(call)

    def _shutdown(self, call: Call) -> None:
        call.reply(b"")
        self._leave()

    def _leave(self) -> None:
        for held in self._held:
            held.finish()
        if self._job is not None and not self._job.over:
            self._job.cancellation.request("the host shuts this process down", 0)
            self._job.cancellation.signal_groups(signal.SIGKILL)
            self._kick_again()
        self._server.stop()

    def _end(self) -> None:
        self._tasks.put(None)
        # This thread is a daemon: it gets to the last line only when the job or what it left behind holds the process.
        time.sleep(_END_S)
        os._exit(0)

    # --- Describe

    def _describe(self, call: Call) -> None:
        m.DescribeRequest.decode(call.request)
        if self._description is not None:
            self._description(call)
            return
        self._asking.append(call)
        if not self._loading:
            self._loading = True
            self._tasks.put(self._load_once)

    def _load_once(self) -> None:
        """Load the pipeline and prepare how Describe is answered. Main thread."""
        if self._description is not None:
            return
        try:
            self._pipeline = self._load()
            answer = describe(self._pipeline).encode()
        except PipelineError as error:
            self._load_error = error
            self._refuse_by(Code.INVALID_ARGUMENT, str(error))
        except BaseException as error:  # noqa: BLE001 - the author's file may raise anything, SystemExit too
            self._load_error = error
            self._refuse_by(Code.INTERNAL, trimmed_traceback(error))
        else:
            self._describe_by(lambda call: call.reply(answer))

    def _refuse_by(self, code: Code, text: str) -> None:
        self._describe_by(lambda call: call.finish(code, text))

    def _describe_by(self, answer: Callable[[Call], None]) -> None:
        def answer_all() -> None:
            self._description = answer
            for call in self._asking:
                answer(call)
            self._asking.clear()

        self._server.call_soon(answer_all)

    # --- RunJob and what belongs to it

    def _run_job(self, call: Call) -> None:
        request = m.RunJobRequest.decode(call.request)
        if self._job is not None:
            call.finish(Code.FAILED_PRECONDITION, "this process has its job already: one job, one process")
            return
        self._loading = True  # a Describe that comes now is answered when the job has loaded the file
        job = self._job = HostedJob(request, call, self._server.call_soon)
        call.bulk = True
        call.start()
        call.on_gone = self._client_gone
        call.on_room = job.pump
        self._tasks.put(self._run)

    def _run(self) -> None:
        """Run the job. Main thread."""
        job = self._job
        assert job is not None  # noqa: S101 - this is queued after it was set
        self._load_once()
        try:
            if self._pipeline is None:
                assert self._load_error is not None  # noqa: S101 - one of the two is set by _load_once
                job.fail_to_load(self._load_error)
            elif self._load_error is not None:
                job.fail_to_load(self._load_error)
            else:
                job.run(self._pipeline)
        except Refused as refused:
            job.end(refused.code, str(refused))
        self._server.call_soon(self._leave_if_over)

    def _client_gone(self) -> None:
        job = self._job
        assert job is not None  # noqa: S101 - its call is gone
        job.outbox.close()
        if not job.over:
            self._ask_to_stop(job, "nobody waits for the job any more", _GONE_GRACE_S)
            self._server.call_later(_GONE_GRACE_S, self._give_up)

    def _give_up(self) -> None:
        # No host is left that would end a job which does not stop by itself.
        if self._job is not None and not self._job.over and not self._server.connections:
            self._job.cancellation.signal_groups(signal.SIGKILL)
            os._exit(1)

    def _leave_if_over(self) -> None:
        if self._job is not None and self._job.over and not self._server.connections:
            self._leave()

    def _cancel(self, call: Call) -> None:
        request = m.CancelRequest.decode(call.request)
        if self._job is None:
            call.finish(Code.FAILED_PRECONDITION, "no job has been started in this process")
            return
        if not self._job.over:
            grace = min(max(request.grace_s, 0.0), 86400.0)
            self._ask_to_stop(self._job, request.reason, grace)
        call.reply(m.CancelResponse().encode())

    def _ask_to_stop(self, job: HostedJob, reason: str, grace_s: float) -> None:
        job.cancellation.request(reason, grace_s)
        job.outbox.nudge()
        self._server.call_later(grace_s, lambda: None if job.over else job.cancellation.signal_groups(signal.SIGKILL))
        self._server.call_later(_KICK_AGAIN_S, self._kick_again)

    def _kick_again(self) -> None:
        if self._job is not None and not self._job.cancellation.settled:
            self._job.cancellation.kick()
            self._server.call_later(_KICK_AGAIN_S, self._kick_again)

    def _reply(self, call: Call) -> None:
        m.ReplyRequest.decode(call.request)
        call.finish(Code.FAILED_PRECONDITION, "the job has asked nothing")
