"""Explainer: reads the journal of inputs for people who ask why, beside a Scheduler that must not notice.

It decides again whatever was decided while a run was active, which is much work in one interpreter with everybody else:
so it works in short slices and rests as long in between, one question at a time, for a limited time each.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykka
import structlog

from cicd.actors.base import Actor
from cicd.actors.crash import Die
from cicd.actors.desk.paging import fitting
from cicd.clock import Clock
from cicd.errors import CicdError, UnavailableError
from cicd.messages.client import Answer, StoryKind, StoryLine, StoryLines
from cicd.messages.run import RunRecord
from cicd.replay import reader
from cicd.replay.story import Story
from cicd.replay.writer import InputJournal

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SLICE_S = 0.003
LIMIT_S = 60.0
"""For one question, rests included."""
MAX_QUESTIONS = 8


class StoryStream:
    """A story that is being read: all lines come at once, in pages."""

    polls = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[StoryLine] = []
        self._error: CicdError | None = None
        self.is_read = False
        self.ended = False

    def tell(self, lines: Sequence[StoryLine], error: CicdError | None = None) -> None:
        """Hand in everything; from any thread."""
        with self._lock:
            self._lines = sorted(lines, key=lambda line: line.at_s)
            self._error = error
            self.is_read = True

    def notice(self, news: object) -> bool:  # noqa: ARG002  the protocol's
        """Nothing that is news concerns it."""
        return False

    def next(self) -> Answer | None:
        """Return the next page."""
        with self._lock:
            if not self.is_read or self.ended:
                return None
            if self._error is not None:
                raise self._error
            page = fitting(self._lines)
            self._lines = self._lines[len(page) :]
            self.ended = not self._lines
            return StoryLines(lines=page, last=self.ended)


@dataclass(frozen=True, slots=True)
class Question:
    """Tell this run's story to this stream, as long as there is somebody who has it.

    Attributes:
        now: what its jobs wait for at present.
    """

    stream: weakref.ref[StoryStream]
    run: RunRecord
    names: Sequence[str]
    job: str
    now: Sequence[StoryLine]


class Explainer(Actor):
    """Answers one question after the other.

    Args:
        folder: the journal's.
        journal: who writes it; None: nobody does.
        rest: waits between slices, for so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        journal: InputJournal | None,
        clock: Clock,
        die: Die,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(die)
        self._rest = rest
        self._folder = folder
        self._journal = journal
        self._clock = clock

    def on_receive(self, message: Any) -> Any:
        """Read what is asked for."""
        if not isinstance(message, Question):
            raise TypeError(f"Explainer: {type(message).__name__}")
        stream = message.stream()
        if stream is not None:
            stream.tell(*self._answer(message))

    def _answer(self, question: Question) -> tuple[list[StoryLine], CicdError | None]:
        story = Story(question.run, question.names, question.job)
        if self._journal is not None:
            self._journal.sync()
        try:
            whole = self._read(story, question)
        except CicdError as error:
            return [], error
        except OSError as error:
            return [], UnavailableError(f"the journal cannot be read: {error.strerror}")
        lines = [*story.lines, *question.now]
        if not whole or story.cut_off:
            text = "the journal is longer than is read for one question: what follows is from the records only"
            at_s = story.lines[-1].at_s if story.lines else question.run.created_s
            lines.append(StoryLine(at_s=at_s, text=text, kind=StoryKind.NOTE.value))
        return lines, None

    def _read(self, story: Story, question: Question) -> bool:
        """Read until the story is at its end; return whether it got there. Given up when nobody listens."""
        began_s = slice_s = self._clock.boot_s()
        for _ in story.read(reader.read(self._folder, question.run.created_s)):
            now_s = self._clock.boot_s()
            if now_s - slice_s < SLICE_S:
                continue
            if question.stream() is None or now_s - began_s > LIMIT_S:
                return False
            self._rest(SLICE_S)
            slice_s = self._clock.boot_s()
        return True


class ExplainerClient:
    """How the desk asks; of its thread."""

    def __init__(self, actor: pykka.ActorRef[Explainer]) -> None:
        self._actor = actor
        self._open: list[weakref.ref[StoryStream]] = []

    def tell(self, run: RunRecord, names: Sequence[str], job: str, now: Sequence[StoryLine]) -> StoryStream:
        """Return a stream of a run's story.

        Raises:
            UnavailableError: many are asking already.
        """
        self._open = [ref for ref in self._open if (open_ := ref()) is not None and not open_.is_read]
        if len(self._open) >= MAX_QUESTIONS:
            raise UnavailableError("many are asking for explanations: try again soon")
        stream = StoryStream()
        self._open.append(weakref.ref(stream))
        self._actor.tell(Question(weakref.ref(stream), run, names, job, now))
        return stream
