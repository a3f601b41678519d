"""One attempt of a job: from its first process to the last, and the result that it comes to.

    fork (reaper, job's process) -> workspace prepared -> handshake -> RunJob -> result
      -> Shutdown (1 s) -> SIGTERM (1 s) -> the tree is ended -> the pipe is read to its end -> the log is closed

The order of the end makes the log whole: the pipe is read until its last writer is gone, so the fence in it, which
tells a host of foreign plugins the same, is only removed. What ends an attempt early is a verdict: the first one
stays.

    cancelled, timed out: the job is asked, has its grace, and is killed; its own result counts where the verdict allows
    lost:                 killed at once (lease, fence), or asked first (the minion stops)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
from google.protobuf.empty_pb2 import Empty

from cicd.clock import Clock
from cicd.errors import CicdError
from cicd.messages.evidence import Cause
from cicd.messages.jobhost import LogState, Start
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_log import AttemptLog
from cicd.plugins.attempt_result import Verdict, result_of
from cicd.plugins.channel import PluginChannel
from cicd.plugins.evidence import Seen, died_for_memory
from cicd.plugins.handshake import HandshakeReader, PluginError, socket_in
from cicd.plugins.host import CALL_ERRORS, explain, wait_done
from cicd.plugins.leftovers import insist
from cicd.plugins.mask_files import MaskFiles
from cicd.plugins.oom_watch import OomWatch, disk_free_bytes
from cicd.plugins.output_pipe import OutputPipe
from cicd.plugins.pb import pipeline_pb2 as pb
from cicd.plugins.pb.goplugin import GRPCControllerStub
from cicd.plugins.pb.pipeline_grpc import PipelineStub
from cicd.plugins.place import Place
from cicd.plugins.run_call import MESSAGE_LIMIT, TRACEBACK_LIMIT, call_run_job, failed, request_of
from cicd.plugins.spool import SpoolFile
from cicd.plugins.supervised import Exit, Supervised
from cicd.plugins.zygote_pool import ZygotePool

T = TypeVar("T")

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_START_S = 60.0
_PREPARED_S = 600.0
_SHUTDOWN_S = 1.0
_TERM_S = 1.0
_RESULT_AFTER_EXIT_S = 1.0
_INSIST_S = 2.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Means:
    """What the attempts of one jobhost share.

    Attributes:
        zygotes: give the processes.
        clock: for the times in results.
        grace_s: between asking and killing a job that ran too long.
        ooms: counts what is killed for memory.
        name: the minion's, for messages.
        mask_files: what is masked in all logs.
        log_limit_bytes: most that one may write to its log; 0: no limit.
    """

    zygotes: ZygotePool
    clock: Clock
    grace_s: float
    ooms: OomWatch
    mask_files: MaskFiles
    log_limit_bytes: int
    name: str = "this minion"


class _OverError(Exception):
    """The processes have ended, or are being ended: there is nothing to wait for."""


class _UnableError(Exception):
    """The job cannot be run, or its result cannot be had."""

    def __init__(self, message: str, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


class Attempt:
    """Runs one attempt. Needs a running loop.

    Args:
        start: what to run.
        place: where.
        env: the job's environment, see `Place.settings`.
        spool: takes the log.
        means: what attempts share.
        started: called with the job's process id when there is one.
        grew: called when the log has grown.

    Attributes:
        pid: of the job's process; 0: none yet.
        reaper: of its reaper.
        started_s: wall time.
    """

    def __init__(
        self,
        start: Start,
        place: Place,
        env: dict[str, str],
        spool: SpoolFile,
        means: Means,
        *,
        started: Callable[[int], None],
        grew: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = start
        self._place = place
        self._env = env
        self._means = means
        self._tell_started = started
        self._fence = secrets.token_hex(8)
        self._log = AttemptLog(spool, self._fence, grew, self._log_failed, means.log_limit_bytes)
        for secret in (*means.mask_files.values(), *(value.encode() for value in start.run_job.secrets.values())):
            self._log.mask(secret)
        self._deadline_boot_s = 0.0
        self._verdict: Verdict | None = None
        self._killed = asyncio.Event()
        self._tree: Supervised | None = None
        self._channel: PluginChannel | None = None
        self._calls: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._started_boot_s = means.clock.boot_s()
        self._ooms = means.ooms.open_kills()
        self._free_bytes: int | None = None
        self.pid = 0
        self.reaper = 0
        self.started_s = means.clock.wall_s()

    @property
    def gone(self) -> asyncio.Future[None]:
        """Done when its reaper, which may have folders to remove at the end, has ended too."""
        assert self._tree is not None  # noqa: S101  it has started
        return self._tree.gone

    # ---- what others ask for

    def set_deadline(self, deadline_boot_s: float) -> None:
        """Extend the lease: the reaper ends everything when it passes."""
        self._deadline_boot_s = deadline_boot_s
        if self._tree is not None:
            self._tree.set_deadline(deadline_boot_s)

    def end(self, verdict: Verdict, grace_s: float) -> None:
        """End the attempt: ask it, and kill it after the grace. A later call can only shorten the grace."""
        if self._verdict is None:
            self._verdict = verdict
            log.info("attempt.ending", **self._names(), status=verdict.status, why=verdict.message, grace_s=grace_s)
        if grace_s > 0 and self._channel is not None:
            self._spawn(self._ask(self._channel, grace_s))
            self._timers.append(self._loop.call_later(grace_s, self._kill))
        else:
            # Also before the job could hear of it.
            self._kill()

    def _kill(self) -> None:
        self._killed.set()
        if self._tree is not None:
            self._tree.kill()

    async def _ask(self, channel: PluginChannel, grace_s: float) -> None:
        request = pb.CancelRequest(grace_s=grace_s, reason=self._verdict.message if self._verdict else "")
        with contextlib.suppress(*CALL_ERRORS):
            await PipelineStub(channel).Cancel(request, timeout=max(1.0, grace_s))

    # ---- its life

    async def run(self) -> tuple[Result, LogState]:
        """Run the attempt to its end; return its result and its closed log. Nothing of it is left then."""
        try:
            pipe = OutputPipe()
        except OSError as error:  # no descriptor left, most likely: nothing was begun
            return failed(f"not started: {error}", FailureKind.INFRASTRUCTURE), self._log.close()
        handshake = HandshakeReader(self._log.output)
        address: asyncio.Future[bytes] = self._loop.create_future()

        def feed(data: bytes) -> None:
            try:
                if handshake.feed(data) and not address.done() and handshake.address is not None:
                    address.set_result(handshake.address)
            except PluginError as error:
                if not address.done():
                    address.set_exception(error)

        pipe.set_feed(feed)
        try:
            own = await self._until_result(pipe, address)
        except (CicdError, OSError) as error:
            own = failed(str(error), FailureKind.INFRASTRUCTURE)
        except Exception as error:
            log.exception("attempt.bug", **self._names())
            own = failed(f"a bug of cicd: {error!r}", FailureKind.INFRASTRUCTURE)
        self._free_bytes = disk_free_bytes(self._place.folder)  # now: its folder goes soon after its processes
        exited = await self._finish_tree(graceful=own is not None)
        pipe.finish()
        address.cancel()
        if address.done() and not address.cancelled():
            address.exception()  # it has been told, or something else was
        handshake.flush()
        return self._result(own, exited)

    async def _until_result(self, pipe: OutputPipe, address: asyncio.Future[bytes]) -> Result | None:
        """Return what the plugin said, or why it could not be asked; None: it ended, or was ended, before that."""
        try:
            tree = await self._fork(pipe)
            if self._start.run_job.timeout_s > 0:
                self._timers.append(self._loop.call_later(self._start.run_job.timeout_s, self._time_out))
            await self._prepare(tree)
            return await self._call(await self._connect(address))
        except _OverError:
            return None
        except _UnableError as error:
            return failed(str(error), error.kind)

    async def _fork(self, pipe: OutputPipe) -> Supervised:
        """Start the processes; once more if a zygote ended before it took the request."""
        artifact = Path(self._start.plugin_dir)
        settings = self._place.settings(self._start, self._env)
        self._place.socket_dir.mkdir(mode=0o700)
        for again in (False, True):
            if self._killed.is_set():
                raise _OverError
            tree = self._tree = self._means.zygotes.fork(
                artifact, settings | {"deadline": self._deadline_boot_s}, pipe.write_fd, fresh=again
            )
            await self._first(tree.pids, None)
            if self._killed.is_set():
                tree.kill()
            self.reaper, self.pid = await tree.pids
            if self.pid:
                pipe.release_write_end()
                tree.set_deadline(self._deadline_boot_s)  # it may have been extended meanwhile
                self._tell_started(self.pid)
                return tree
        why = self._means.zygotes.failure(artifact)
        raise PluginError("the pipeline's interpreter could not be started", diagnosis=why)

    async def _prepare(self, tree: Supervised) -> None:
        """Wait until the workspace is there."""
        if not await self._first(tree.prepared, _PREPARED_S):
            self._raise_if_over()
            raise _UnableError("the workspace was not ready in time", FailureKind.INFRASTRUCTURE)
        if why := tree.prepared.result():
            raise _UnableError(f"the workspace could not be prepared: {why}", FailureKind.INFRASTRUCTURE)

    async def _connect(self, address: asyncio.Future[bytes]) -> PluginChannel:
        """Wait for the handshake; return the channel."""
        if not await self._first(address, _START_S):
            self._raise_if_over()
            raise _UnableError(f"the pipeline did not start within {_START_S:g} s", FailureKind.CRASH)
        self._channel = PluginChannel(socket_in(address.result(), self._place.socket_dir), self.pid)
        return self._channel

    async def _call(self, channel: PluginChannel) -> Result:
        """Run the job."""
        request = request_of(
            self._start.run_job,
            workspace=self._place.workspace,
            temp_dir=self._place.temp_dir,
            fence=self._fence,
        )
        call = self._spawn(call_run_job(channel, request, self._log.write))
        await self._first(call, None)
        # What the result says counts, also when the process was quick to end after it.
        await asyncio.wait((call,), timeout=0 if self._killed.is_set() else _RESULT_AFTER_EXIT_S)
        if not call.done():
            raise _OverError
        error = call.exception()
        if error is None:
            return call.result()
        if not isinstance(error, CALL_ERRORS):
            raise error
        if self._tree is not None:
            await self._first(self._tree.exited, _RESULT_AFTER_EXIT_S)
        self._raise_if_over()
        raise _UnableError(f"the call to the pipeline broke ({explain(error)})", FailureKind.CRASH)

    def _raise_if_over(self) -> None:
        """Leave if the processes have ended or are being killed."""
        if self._killed.is_set() or (self._tree is not None and self._tree.exited.done()):
            raise _OverError

    async def _first(self, future: asyncio.Future[Any], timeout_s: float | None) -> bool:
        """Wait for a future, the tree's end, an early end or a time limit; return whether the future is done."""
        waiting = {future, asyncio.ensure_future(self._killed.wait())}
        early = next(one for one in waiting if one is not future)
        if self._tree is not None:
            waiting.add(self._tree.exited)
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            early.cancel()
        return future.done()

    async def _finish_tree(self, *, graceful: bool) -> Exit:
        """End all processes; return how the main one ended."""
        for timer in self._timers:
            timer.cancel()
        tree = self._tree
        if tree is None:
            return Exit()
        if graceful and self._channel is not None and not tree.exited.done():
            self._spawn(self._shut_down(self._channel))
            await self._first(tree.exited, _SHUTDOWN_S)
            if not tree.exited.done():
                tree.terminate()
                await self._first(tree.exited, _TERM_S)
        if not tree.exited.done():
            tree.kill()
        while not await wait_done(tree.exited, _INSIST_S):
            log.warning("attempt.insisting", **self._names(), reaper=self.reaper)
            insist(self.reaper)
        exited = tree.exited.result()
        if self._channel is not None:
            self._channel.close()
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        return exited

    @staticmethod
    async def _shut_down(channel: PluginChannel) -> None:
        with contextlib.suppress(*CALL_ERRORS):
            await GRPCControllerStub(channel).Shutdown(Empty(), timeout=_SHUTDOWN_S)
        # A plugin lingers for the rest of its answer to be read. All was: without this each attempt ends 50 ms later.
        channel.close()

    def _time_out(self) -> None:
        timeout_s = self._start.run_job.timeout_s
        verdict = Verdict(
            Status.TIMED_OUT, f"ran longer than its limit of {timeout_s:g} s", FailureKind.TIMEOUT, cause=Cause.TIMEOUT
        )
        self.end(verdict, self._means.grace_s)

    def _log_failed(self, error: OSError) -> None:
        cause, why = Cause.HOST, f"the log cannot be written: {error}"
        if error.errno in _FULL:
            cause, why = Cause.DISK, f"disk full on {self._means.name}: the log cannot be written"
        self.end(Verdict(Status.FAILED, why, FailureKind.INFRASTRUCTURE, cause=cause), 0)

    def _result(self, own: Result | None, exited: Exit) -> tuple[Result, LogState]:
        masked = self._log.masker
        self._log.warn_of(own.outputs if own is not None else {})
        state = self._log.close()
        seen = self._seen()
        if died_for_memory(own, exited, seen):
            self._means.ooms.claim(seen.oom_kills or 0)
        # What a reaper noticed alone it noticed while this process stood still.
        stalled_s = max(0.0, self._means.clock.boot_s() - self._deadline_boot_s)
        result = result_of(own, exited, self._verdict, seen, stalled_s=stalled_s)
        result = msgspec.structs.replace(
            result,
            message=masked.text(result.message)[:MESSAGE_LIMIT],
            traceback=masked.text(result.traceback)[-TRACEBACK_LIMIT:],
            log_bytes=state.size_bytes,
            log_sha256=state.sha256,
            log_lines=state.lines,
            started_s=self.started_s,
            finished_s=self._means.clock.wall_s(),
            run_s=self._means.clock.boot_s() - self._started_boot_s,
        )
        return result, state

    def _seen(self) -> Seen:
        ooms = self._means.ooms
        free = self._free_bytes if self._free_bytes is not None else disk_free_bytes(self._place.folder)
        return Seen(ooms.since(self._ooms), ooms.scope, ooms.memory_bytes, free, self._means.name)

    def _spawn(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(call)
        self._calls.add(task)
        return task

    def _names(self) -> dict[str, object]:
        return {"job": self._start.run_job.job, "attempt": self._start.run_job.attempt}
