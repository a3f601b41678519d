"""Every invariant of groups and of runs that wait is seen to fail: the book is broken by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cicd.core import queue_invariants
from cicd.core.book import Book, RunEntry
from cicd.messages.base import JobId, PipelineId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, RunRecord, RunState
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World


class Broken:
    """web#1 holds the group, web#2 waits for it, web#3 for room, web#4 behind it; app#1 waits for web."""

    def __init__(self) -> None:
        self.world = World.of(ModelMinion("a"))
        ship = [JobSpec(name="ship", group="deploy")]
        self.runs = [self.world.submit("web", ship, limit=2) for _ in range(4)]
        self.app = self.world.submit("app", ship, depends_on=["web"])
        self.world.start("a")
        self.world.check()

    @property
    def book(self) -> Book:
        return self.world.cluster.book

    def run(self, number: int) -> RunEntry:
        return self.book.runs[self.runs[number - 1] if number else self.app]

    def set_run(self, number: int, **changes: object) -> None:
        entry = self.run(number)
        entry.record = replace(entry.record, **changes)

    def set_job(self, number: int, **changes: object) -> None:
        (job,) = self.run(number).jobs
        self.run(number).tally.clear()
        job.record = replace(job.record, **changes)
        self.run(number).tally[job.record.state] = 1


def let_in(broken: Broken, number: int) -> None:
    """Let a run in that should wait, as if it were right to."""
    book, record = broken.book, broken.run(number).record
    book.run_queue.let_in(record.pipeline, record.number)
    broken.set_run(number, waiting=False)
    broken.run(number).jobs[0].missing = 0
    broken.set_job(number, state=JobState.QUEUED)
    book.make_ready(broken.run(number).jobs[0])


def take_out(broken: Broken) -> RunRecord:
    broken.book.run_queue.take_head(PipelineId("web"))
    return broken.run(3).record


BREAKS: dict[str, Callable[[Broken], object]] = {
    "2 jobs hold group deploy": lambda b: b.set_job(2, state=JobState.UNKNOWN, minion="a", attempt=1),
    "groups are held by": lambda b: b.book.groups.update(deploy=JobId("other-0")),
    "passes other groups over": lambda b: b.book.ready.hold("prod"),
    "is not in its queue": lambda b: b.book.run_queue.open(PipelineId("web")).pop(4),
    "whether it was let in is off": lambda b: b.book.run_queue.active(PipelineId("web")).update({3: b.runs[2]}),
    "was let in before what it depends on": lambda b: let_in(b, 0),
    "waits and is running": lambda b: b.set_run(3, state=RunState.RUNNING),
    "was cancelled and waits": lambda b: b.set_run(3, cancel_by="ann"),
    "was not let in, and these go on: ['ship']": lambda b: b.set_job(3, state=JobState.QUEUED),
    "3 runs of web are active": lambda b: (take_out(b), let_in(b, 3)),
    "is let in next, it should be": take_out,
    "waits, and nothing holds it back": lambda b: [
        setattr(b.run(number), "spec", replace(b.run(number).spec, max_parallel_runs=9)) for number in (1, 2, 3, 4)
    ],
    "knows pipelines of which no run is active": lambda b: b.book.run_queue.enter(PipelineId("x"), 1, b.runs[0]),
}


@pytest.mark.parametrize("text", BREAKS)
def test_what_is_broken_is_named(text: str) -> None:
    broken = Broken()
    BREAKS[text](broken)
    with pytest.raises(AssertionError) as caught:
        queue_invariants.check(broken.book)
    assert text in str(caught.value)


def test_the_core_checks_them_with_all_others() -> None:
    broken = Broken()
    BREAKS["passes other groups over"](broken)
    with pytest.raises(AssertionError, match="passes other groups over"):
        broken.world.cluster.validate()
