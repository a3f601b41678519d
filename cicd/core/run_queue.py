"""Runs that have not ended, by pipeline: those that were let in, and the order in which the others follow.

A run that waits is parked with a pipeline that it depends on, until the runs of that which it waits for have ended;
then it queues with its own pipeline until the limit leaves room. What is decided by all this is in `admission`.

What has left is dropped when it comes first, so nothing here costs more than the logarithm of what waits.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from cicd.messages.base import PipelineId, RunId

Order = tuple[int, int]
"""Less goes first: the priority, negative, and the run's number."""


@dataclass(slots=True)
class _Line:
    """What there is of one pipeline.

    Attributes:
        open: the runs that have not ended, by number.
        numbers: their numbers, the oldest first.
        active: those that were let in, by number, in the order in which they were.
        queue: a heap of those that wait for room.
        parked: a heap of runs, of any pipeline, that wait for this one's runs up to a number.
    """

    open: dict[int, RunId] = field(default_factory=dict)
    numbers: deque[int] = field(default_factory=deque)
    active: dict[int, RunId] = field(default_factory=dict)
    queue: list[tuple[Order, RunId]] = field(default_factory=list)
    parked: list[tuple[int, RunId]] = field(default_factory=list)


class RunQueue:
    """Lines by pipeline. Runs enter in the order of their numbers."""

    def __init__(self) -> None:
        self._lines: dict[PipelineId, _Line] = {}
        self._moved: dict[PipelineId, None] = {}

    def __len__(self) -> int:
        return len(self._lines)

    # ---- what there is

    def open(self, pipeline: PipelineId) -> dict[int, RunId]:
        """Return a pipeline's runs that have not ended, by number."""
        line = self._lines.get(pipeline)
        return line.open if line is not None else {}

    def open_up_to(self, pipeline: PipelineId, number: int) -> Iterable[RunId]:
        """Return a pipeline's runs up to a number that have not ended, the oldest first."""
        for each, run in self.open(pipeline).items():
            if each > number:
                return
            yield run

    def active(self, pipeline: PipelineId) -> dict[int, RunId]:
        """Return a pipeline's runs that were let in and have not ended, by number, in the order in which they were."""
        line = self._lines.get(pipeline)
        return line.active if line is not None else {}

    def head(self, pipeline: PipelineId) -> RunId | None:
        """Return the run that is let in next; None: none waits for room."""
        line = self._lines.get(pipeline)
        while line is not None and line.queue:
            (_, number), run = line.queue[0]
            if number in line.open:
                return run
            heappop(line.queue)
        return None

    # ---- how that changes

    def enter(self, pipeline: PipelineId, number: int, run: RunId) -> None:
        """A run begins to exist."""
        line = self._lines.setdefault(pipeline, _Line())
        line.open[number] = run
        line.numbers.append(number)

    def park(self, run: RunId, behind: PipelineId, up_to: int) -> None:
        """Let a run wait until a pipeline, which has open runs up to that number, has none of them any more."""
        heappush(self._lines[behind].parked, (up_to, run))

    def queue(self, pipeline: PipelineId, order: Order, run: RunId) -> None:
        """Let a run wait for room."""
        heappush(self._lines[pipeline].queue, (order, run))
        self._moved[pipeline] = None

    def take_head(self, pipeline: PipelineId) -> None:
        """Take the `head` out of the queue: it waits no more."""
        heappop(self._lines[pipeline].queue)

    def let_in(self, pipeline: PipelineId, number: int) -> None:
        """A run begins to be active."""
        line = self._lines[pipeline]
        line.active[number] = line.open[number]

    def leave(self, pipeline: PipelineId, number: int) -> None:
        """A run has ended."""
        line = self._lines[pipeline]
        del line.open[number]
        line.active.pop(number, None)
        while line.numbers and line.numbers[0] not in line.open:
            line.numbers.popleft()
        self._moved[pipeline] = None

    # ---- what there is to look at

    def take_moved(self) -> tuple[PipelineId, list[RunId]] | None:
        """Return a pipeline of which a run has ended or queued, each once for what has happened; None: there is none.

        With it come the runs that were parked with it and need not be any longer.
        """
        if not self._moved:
            return None
        pipeline, _ = self._moved.popitem()
        line = self._lines[pipeline]
        free: list[RunId] = []
        while line.parked and not (line.numbers and line.numbers[0] <= line.parked[0][0]):
            free.append(heappop(line.parked)[1])
        if not line.open:
            del self._lines[pipeline]
        return pipeline, free
