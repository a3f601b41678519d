"""Runs a pipeline by hand, without any server, as a cluster would: one process per job attempt.

Theory of operation. This process has one thread. It forks a process per attempt, with the job's output on a pipe
(shown line by line behind the job's name) and its result on another. A job starts when all that it needs has ended;
it is skipped when one of them did not end as needed. When an attempt is over, whatever it left behind is killed: it
leads a session, and this process adopts what escaped from there. Ctrl-C asks every job to stop; a second one kills.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from cicd_sdk import _local_job
from cicd_sdk import _messages as m
from cicd_sdk._job import OWN_KINDS, Job
from cicd_sdk._local_job import Attempt
from cicd_sdk._param import Params
from cicd_sdk._pipeline import Pipeline

GRACE_S = 5.0
_ENDS = {m.Status.SUCCEEDED: "ok", m.Status.FAILED: "failed", m.Status.CANCELLED: "cancelled"}


class LocalRun:
    """One run of a pipeline on this machine.

    Args:
        pipeline: checked.
        names: the jobs to run, with all that they need.
        params: for all jobs.
        workspace: where jobs work.
        parallel: how many attempts at a time.
    """

    def __init__(
        self, pipeline: Pipeline, names: Sequence[str], params: Params, *, workspace: Path, parallel: int
    ) -> None:
        self._jobs: dict[str, Job] = {name: pipeline.jobs[name] for name in names}
        self._params = params
        self._workspace = workspace
        self._parallel = parallel
        self._git = _local_job.git_of(workspace)
        self._results: dict[str, m.Result | None] = {}  # None: skipped
        self._attempts: dict[str, Attempt] = {}
        self._tries: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._signals = 0
        self._signum = 0
        self._limit_s = pipeline.run_timeout_s
        self._ends_at: float | None = None
        self._is_over = False
        self._width = max((len(name) for name in names), default=0)
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Run all jobs; return the program's exit code."""
        _local_job.adopt_orphans()
        if self._limit_s:
            self._ends_at = time.monotonic() + self._limit_s
        try:
            with self._signals_handled():
                while len(self._results) < len(self._jobs):
                    self._start_ready()
                    self._wait()
                    self._enforce()
        except BrokenPipeError:  # nobody reads what is shown
            self._signum = self._signum or signal.SIGPIPE
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        finally:
            for attempt in tuple(self._attempts.values()):
                attempt.kill()
            _local_job.kill_orphans()
            self._selector.close()
        return self._conclusion()

    def _conclusion(self) -> int:
        with suppress(BrokenPipeError):
            for name, result in self._results.items():
                end = "skipped" if result is None else _ENDS[m.Status(result.status)]
                self._say(name, f"{end} (allowed)" if self._is_allowed(name) else end)
            sys.stdout.flush()
        if self._signum:
            return 128 + self._signum
        if self._is_over:
            with suppress(BrokenPipeError):
                sys.stdout.write(f"the run took longer than its limit of {self._limit_s:g} s\n")
                sys.stdout.flush()
            return 1
        failed = [
            name
            for name, result in self._results.items()
            if result is not None and result.status != m.Status.SUCCEEDED and not self._is_allowed(name)
        ]
        return 1 if failed else 0

    def _is_allowed(self, name: str) -> bool:
        """Whether a job has failed and was allowed to."""
        result = self._results[name]
        return result is not None and result.status == m.Status.FAILED and self._jobs[name].allow_failure

    # --- starting

    def _start_ready(self) -> None:
        changed = True
        while changed:  # a job that is skipped decides others
            changed = False
            for name, job in self._jobs.items():
                if name in self._results or name in self._attempts:
                    continue
                if self._signals or self._is_over or self._is_skipped(job):
                    self._results[name] = None
                    changed = True
                elif self._is_ready(job) and len(self._attempts) < self._parallel:
                    self._start(job)

    def _is_ready(self, job: Job) -> bool:
        decided = all(need in self._results for need, _ in job.needs)
        free = not job.group or all(self._jobs[name].group != job.group for name in self._attempts)
        return decided and free and time.monotonic() >= self._not_before.get(job.name, 0.0)

    def _is_skipped(self, job: Job) -> bool:
        if not all(need in self._results for need, _ in job.needs):
            return False
        return not all(self._is_met(need, on) for need, on in job.needs)

    def _is_met(self, need: str, on: m.NeedOn) -> bool:
        if on == m.NeedOn.ANY:
            return True
        result = self._results[need]
        if result is None:
            return False
        succeeded = result.status == m.Status.SUCCEEDED
        if on == m.NeedOn.FAILURE:
            return result.status == m.Status.FAILED
        return succeeded or self._is_allowed(need)

    def _start(self, job: Job) -> None:
        self._tries[job.name] = self._tries.get(job.name, 0) + 1
        attempt = Attempt(
            job,
            number=self._tries[job.name],
            workspace=self._workspace,
            params=self._params,
            needs=self._outputs(job),
            git=self._git,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        attempt.start()
        self._attempts[job.name] = attempt
        for fd in attempt.descriptors:
            self._selector.register(fd, selectors.EVENT_READ, attempt)

    def _outputs(self, job: Job) -> Mapping[str, Mapping[str, str]]:
        results = {need: self._results[need] for need, _ in job.needs}
        return {need: {} if result is None else result.outputs for need, result in results.items()}

    # --- watching

    def _wait(self) -> None:
        timeout = self._timeout_s()
        if not self._attempts and timeout is None:
            return
        for key, _ in self._selector.select(timeout):
            attempt: Attempt | None = key.data
            if attempt is None:
                os.read(key.fd, 64)  # a signal: all that it had to do is to end the wait
            else:
                self._read(attempt, key.fd)
        for attempt in tuple(self._attempts.values()):
            if attempt.has_ended():
                self._end(attempt)

    def _read(self, attempt: Attempt, fd: int) -> None:
        ended = attempt.read(fd)
        for line in attempt.lines():
            self._say(attempt.job.name, line)
        if ended:
            self._selector.unregister(fd)

    def _timeout_s(self) -> float | None:
        now = time.monotonic()
        times = [attempt.deadline for attempt in self._attempts.values() if attempt.deadline is not None]
        if self._ends_at is not None and not self._is_over:
            times.append(self._ends_at)
        times += [when for name, when in self._not_before.items() if name not in self._results and when > now]
        return max(0.0, min(times) - now) if times else None

    def _enforce(self) -> None:
        self._is_over = self._is_over or (self._ends_at is not None and time.monotonic() >= self._ends_at)
        for attempt in tuple(self._attempts.values()):
            if self._signals > 1:
                attempt.kill()
            elif self._signals or self._is_over:
                attempt.ask("interrupted" if self._signals else "the run took too long", GRACE_S)
            attempt.enforce(GRACE_S)

    def _end(self, attempt: Attempt) -> None:
        for fd in attempt.descriptors:
            with suppress(KeyError):
                self._selector.unregister(fd)
        name = attempt.job.name
        result = attempt.finish()
        for line in attempt.lines(last=True):
            self._say(name, line)
        del self._attempts[name]
        for line in (result.traceback or result.message).rstrip().splitlines():
            self._say(name, line)
        if self._is_tried_again(attempt.job, result):
            self._say(name, f"attempt {attempt.number} failed; trying again")
            self._not_before[name] = time.monotonic() + attempt.job.retry.wait_s(attempt.number)
        else:
            self._results[name] = result

    def _is_tried_again(self, job: Job, result: m.Result) -> bool:
        if (
            result.status != m.Status.FAILED
            or self._signals
            or self._is_over
            or self._tries[job.name] > job.retry.attempts
        ):
            return False
        return m.FailureKind(result.failure_kind).name.lower() in (job.retry.on or OWN_KINDS)

    def _say(self, name: str, line: str) -> None:
        sys.stdout.write(f"{name:<{self._width}} | {line}\n")
        sys.stdout.flush()

    @contextmanager
    def _signals_handled(self) -> Iterator[None]:
        def note(signum: int, _frame: FrameType | None) -> None:
            self._signals += 1
            self._signum = self._signum or signum

        # The wakeup makes select return; without it a signal would wait for the next line of a job.
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        old = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self._selector.register(reading, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            for signum, handler in old.items():
                signal.signal(signum, handler)
            signal.set_wakeup_fd(before)
            self._selector.unregister(reading)
            os.close(reading)
            os.close(writing)
