"""Follows a run: its changes and the logs of its jobs, in the order in which they arrive, until all has been said.

A job's log is followed from the moment it has an attempt; an attempt that was lost and the next one are two logs. After
the run has ended, logs that still arrive are waited for, as long as something moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cicd.cli.log_lines import LogLines
from cicd.cli.run_display import RunDisplay
from cicd.client import Client, Stream
from cicd.clock import Clock
from cicd.errors import NotFoundError
from cicd.messages.client import Answer, FollowRun, JobView, LogEndInfo, LogText, ReadLog, RunAnswer
from cicd.messages.run import RunRecord

LOGS_S = 10.0
"""How long logs are waited for after the run's end while nothing arrives."""
_TICK_S = 0.25


@dataclass(slots=True)
class _Log:
    job: str
    attempt: int
    lines: LogLines = field(default_factory=LogLines)


class RunFollower:
    """Follows one run.

    Args:
        client: with no other stream open.
        run: an id, `pipeline#number`, or a pipeline.
        display: is told everything.
        clock: gives boot time.
        tick: called several times a second while nothing happens.
    """

    def __init__(
        self,
        client: Client,
        run: str,
        display: RunDisplay,
        clock: Clock,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._run = run
        self._display = display
        self._clock = clock
        self._tick = tick
        self._logs: dict[Stream, _Log] = {}
        self._seen: set[tuple[int, int]] = set()
        self.answer: RunAnswer | None = None
        self._jobs: dict[int, JobView] = {}

    @property
    def jobs(self) -> list[JobView]:
        """The jobs as they were last told."""
        return [self._jobs[index] for index in sorted(self._jobs)]

    def follow(self) -> RunRecord:
        """Follow to the end and return the run as it ended.

        Raises:
            CicdError: the run cannot be followed (any longer).
        """
        stream = self._client.stream(FollowRun(run=self._run))
        try:
            return self._follow(stream)
        finally:
            self._display.close()
            for opened in (stream, *self._logs):
                opened.close()

    def _follow(self, stream: Stream) -> RunRecord:
        over = False
        moved_s = self._clock.boot_s()
        while not over or (self._logs and self._clock.boot_s() - moved_s < LOGS_S):
            for event in self._client.events(_TICK_S):
                moved_s = self._clock.boot_s()
                if event.stream is not stream:
                    self._on_log(event.stream, event.answer)
                elif event.answer is None:
                    over = True
                    if stream.error is not None:
                        raise stream.error
                elif isinstance(event.answer, RunAnswer):
                    self._on_run(event.answer)
            self._tick()
        for log in self._logs.values():
            gap = f"nothing more of it has come for {LOGS_S:g} s; 'cicd logs' shows it later"
            self._display.log_end(log.job, LogEndInfo(attempt=log.attempt, size_bytes=0, gap=gap))
        if self.answer is None:
            raise NotFoundError(f"run {self._run} has no state")
        return self.answer.run

    def _on_run(self, answer: RunAnswer) -> None:
        if self.answer is None or (self.answer.run, self.answer.waits) != (answer.run, answer.waits):
            self._display.run(answer.run, answer.waits)
        self.answer = answer
        self._display.names([view.job.name for view in answer.jobs])
        for view in answer.jobs:
            self._jobs[view.job.index] = view
            self._display.job(view)
            job = view.job
            key = (job.index, job.attempt)
            if job.attempt and key not in self._seen:
                self._seen.add(key)
                call = ReadLog(run=answer.run.id, job=job.name, attempt=job.attempt, follow=True)
                self._logs[self._client.stream(call)] = _Log(job.name, job.attempt)

    def _on_log(self, stream: Stream, answer: Answer | None) -> None:
        log = self._logs.get(stream)
        if log is None:
            return
        for number, line in log.lines.feed(answer.data) if isinstance(answer, LogText) else log.lines.rest():
            self._display.line(log.job, log.attempt, number, line)
        if isinstance(answer, LogEndInfo):
            self._display.log_end(log.job, answer)
        elif stream.error is not None:
            gap = stream.error.message
            self._display.log_end(log.job, LogEndInfo(attempt=log.attempt, size_bytes=0, gap=gap))
        if answer is None:
            del self._logs[stream]
