"""How far a stream has been read: what lets it go on where it stopped after the connection or the master was away.

A position sees every answer before the caller does. It drops or cuts what the caller has had, knows the call that asks
for the rest, and whether the last answer was the last one: a stream that ends before that has to be asked for again.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from cicd.messages.client import (
    Answer,
    Call,
    ExplainRun,
    FollowBuild,
    FollowRun,
    JobView,
    LogEndInfo,
    LogText,
    PipelineAnswer,
    ReadLog,
    RunAnswer,
    StoryLines,
)
from cicd.messages.run import RunRecord, RunState

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
"""States that a run does not leave."""


class Position(Protocol):
    """One stream's progress."""

    whole: bool
    """Whether nothing can follow."""

    def accept(self, answer: Answer) -> Answer | None:
        """Return what of an answer is new to the caller."""
        ...

    def rest(self) -> Call:
        """Return the call that brings what is still missing."""
        ...


class LogPosition:
    """Of a job's log: the master is asked from the offset that was reached."""

    def __init__(self, call: ReadLog) -> None:
        self._call = call
        self._text = _Text(call.offset)
        self.whole = False

    def accept(self, answer: Answer) -> Answer | None:
        """Cut what was there; the end information is the last."""
        self.whole = isinstance(answer, LogEndInfo)
        return self._text.new(answer) if isinstance(answer, LogText) else answer

    def rest(self) -> Call:
        """Ask from where the text stands."""
        return msgspec.structs.replace(self._call, offset=self._text.offset)


class BuildPosition:
    """Of a build's log: it comes from its beginning again, and is cut here."""

    def __init__(self, call: FollowBuild) -> None:
        self._call = call
        self._text = _Text(0)
        self.whole = False

    def accept(self, answer: Answer) -> Answer | None:
        """Cut what was there; the pipeline is the last."""
        self.whole = isinstance(answer, PipelineAnswer)
        return self._text.new(answer) if isinstance(answer, LogText) else answer

    def rest(self) -> Call:
        """Ask for all of it."""
        return self._call


class RunPosition:
    """Of a run: it comes as a whole again, and only what differs is let through."""

    def __init__(self, call: FollowRun) -> None:
        self._call = call
        self._run: RunRecord | None = None
        self._waits = ""
        self._jobs: dict[int, JobView] = {}
        self.whole = False

    def accept(self, answer: Answer) -> Answer | None:
        """Keep the jobs that changed; an ended run is the last."""
        if not isinstance(answer, RunAnswer):
            return answer
        self.whole = answer.run.state in ENDED and not answer.more
        changed = tuple(view for view in answer.jobs if self._jobs.get(view.job.index) != view)
        if not changed and (answer.run, answer.waits) == (self._run, self._waits):
            return None
        self._run, self._waits = answer.run, answer.waits
        self._jobs.update((view.job.index, view) for view in changed)
        return msgspec.structs.replace(answer, jobs=changed)

    def rest(self) -> Call:
        """Ask for all of it."""
        return self._call


class StoryPosition:
    """Of a run's story: it comes from its beginning again, and what was there is left out."""

    def __init__(self, call: ExplainRun) -> None:
        self._call = call
        self._had = 0
        self._at = 0
        self.whole = False

    def accept(self, answer: Answer) -> Answer | None:
        """Leave out as many lines as the caller has."""
        if not isinstance(answer, StoryLines):
            return answer
        self.whole = answer.last
        known = max(0, self._had - self._at)
        self._at += len(answer.lines)
        self._had = max(self._had, self._at)
        return msgspec.structs.replace(answer, lines=answer.lines[known:])

    def rest(self) -> Call:
        """Ask for all of it."""
        self._at = 0
        return self._call


class _Text:
    def __init__(self, offset: int) -> None:
        self.offset = offset

    def new(self, text: LogText) -> LogText | None:
        """Return the bytes at or after the offset, and move it behind them."""
        known = max(0, self.offset - text.offset)
        if known >= len(text.data):
            return None
        self.offset = text.offset + len(text.data)
        return LogText(offset=text.offset + known, data=text.data[known:]) if known else text


def position_of(call: Call) -> Position:
    """Return where a stream begins.

    Raises:
        TypeError: the call is not answered by a stream.
    """
    if isinstance(call, ReadLog):
        return LogPosition(call)
    if isinstance(call, FollowBuild):
        return BuildPosition(call)
    if isinstance(call, FollowRun):
        return RunPosition(call)
    if isinstance(call, ExplainRun):
        return StoryPosition(call)
    raise TypeError(f"{type(call).__name__} is answered once: call() it")
