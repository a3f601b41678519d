"""A job that a host runs: from its request to its result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cicd_sdk import _messages as m
from cicd_sdk import _outcome
from cicd_sdk._cancellation import Cancellation
from cicd_sdk._context import Context, Git
from cicd_sdk._grpc import Call, Code
from cicd_sdk._job import Job
from cicd_sdk._marks import Marks
from cicd_sdk._outbox import Outbox
from cicd_sdk._param import Params, resolve
from cicd_sdk._pipeline import Pipeline
from cicd_sdk._wire import Message
from cicd_sdk.errors import ParamError, PipelineError

_MAX_BUFFERED = 256 * 1024


class Refused(Exception):  # noqa: N818 - an answer, not an error here
    """The request cannot be a job of this pipeline: the call ends with this status."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class HostedJob:
    """One job of a host. `run` and `end` are for the main thread, `pump` for the server's.

    Args:
        request: what the host asked for.
        call: where the events go.
        call_soon: runs a function in the server's thread.
    """

    def __init__(self, request: m.RunJobRequest, call: Call, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self.request = request
        self.cancellation = Cancellation()
        self.outbox = Outbox(
            wake=lambda: call_soon(self.pump),
            hurry=lambda: self.cancellation.flag.peek() and not self.cancellation.delivered,
        )
        self.over = False
        self._call = call
        self._call_soon = call_soon
        self._status: tuple[Code, str] | None = None
        self._marks = Marks(request.fence)
        self._sink = HostSink(request, self.outbox, self._marks)

    # --- the server's thread

    def pump(self) -> None:
        """Hand events to the call, as many as it has room for, and its status after the last."""
        status = self._status
        while self._call.buffered < _MAX_BUFFERED:
            event = self.outbox.take()
            if event is None:
                if status is not None:
                    self._call.finish(*status)
                return
            self._call.send(event)

    # --- the main thread

    def run(self, pipeline: Pipeline) -> None:
        """Run the job.

        Raises:
            Refused: there is no such job, or the params do not fit.
        """
        job = pipeline.jobs.get(self.request.job)
        if job is None:
            raise Refused(
                Code.NOT_FOUND, f"there is no job {self.request.job!r}; there are: {', '.join(pipeline.jobs)}"
            )
        try:
            params = resolve(pipeline.params.values(), self.request.params)
        except ParamError as error:
            raise Refused(Code.INVALID_ARGUMENT, str(error)) from None
        self._sink.event(m.Started())
        self.cancellation.listen()
        try:
            ctx = self._context(job, params)
        except OSError as error:
            result = _outcome.refused(f"the workspace cannot be used: {error}", m.FailureKind.INFRASTRUCTURE)
        else:
            result = _outcome.run(job, ctx, self.cancellation)
        self._end_with(result)

    def fail_to_load(self, error: BaseException) -> None:
        """Tell that the pipeline's file could not be loaded."""
        self._sink.event(m.Started())
        self._end_with(_outcome.refused(str(error)) if isinstance(error, PipelineError) else _outcome.failure(error))

    def _end_with(self, result: m.Result) -> None:
        self._marks.fence()
        self._sink.event(result, force=True)
        self.end(Code.OK, "")

    def end(self, code: Code, text: str) -> None:
        """End the call, after the events that wait."""
        self._status = (code, text)
        self.over = True
        self._call_soon(self.pump)

    def _context(self, job: Job, params: Params) -> Context:
        request = self.request
        if request.workspace:
            os.chdir(request.workspace)
        if request.temp_dir:
            os.environ["TMPDIR"] = request.temp_dir
            if "tempfile" in sys.modules:
                sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]  # it remembers the folder before
        git = request.git or m.Git()
        return Context(
            job=job.name,
            sink=self._sink,
            cancellation=self.cancellation,
            run_id=request.run,
            run_number=request.run_number,
            attempt=request.attempt or 1,
            workspace=Path(request.workspace or Path.cwd()),
            temp_dir=Path(request.temp_dir or os.environ.get("TMPDIR") or "/tmp"),  # noqa: S108 - the system's
            params=params,
            # A host may leave out jobs that returned nothing.
            needs={need: {} for need, _ in job.needs}
            | {name: outputs.values for name, outputs in request.needs.items()},
            secrets=request.secrets,
            git=Git(git.url, git.ref, git.commit),
            deadline_s=request.deadline_s,
        )


class HostSink:
    """What a job says, on its way to the host: events by the call, the rest as marks in the output."""

    def __init__(self, request: m.RunJobRequest, outbox: Outbox, marks: Marks) -> None:
        self.features = frozenset(request.features)
        self._outbox = outbox
        self._marks = marks
        self._by_event = "log_events" in self.features
        self._seq = 0

    def event(self, event: Message, *, force: bool = False) -> None:
        """Send an event."""
        self._seq += 1
        now = time.time()  # noqa: TID251 - the contract asks for this process's clock
        self._outbox.put(m.JobEvent(seq=self._seq, time=now, event=event).encode(), force=force)  # type: ignore[arg-type]  # one of the oneof's

    def log(self, level: str, text: str) -> None:
        """Send lines of log."""
        if self._by_event:
            lines = text.splitlines() or [""]
            self.event(m.LogBatch(lines=[line.encode("utf-8", "backslashreplace") for line in lines]))
        else:
            self._marks.log(level, text)

    def mask(self, value: str) -> None:
        """Send a value to mask: in the output, so that it comes before what is printed next."""
        self._marks.mask(value)

    def group(self, title: str) -> None:
        """Send the begin of a group."""
        if self._by_event:
            self.event(m.Group(title=title))
        else:
            self._marks.group(title)

    def group_end(self) -> None:
        """Send the end of a group."""
        if self._by_event:
            self.event(m.Group(end=True))
        else:
            self._marks.group_end()
