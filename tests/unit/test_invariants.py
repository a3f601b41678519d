"""Every invariant is seen to fail: the book is broken by hand, and `validate` says which it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cicd.core.book import Book, JobEntry, MinionEntry, RunEntry
from cicd.core.ready import Requirements
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Connection
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, Result, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")


class Broken:
    """A book in full work: x runs on a, y is in doubt, z waits for x, q is queued; b is lost."""

    def __init__(self) -> None:
        self.world = World.of(ModelMinion("b"), ModelMinion("a"))
        specs = [
            JobSpec(name="y", idempotent=False),
            JobSpec(name="x"),
            JobSpec(name="z", needs=("x",)),
            JobSpec(name="q"),
        ]
        self.id = self.world.submit("p", specs)
        self.world.start("a")
        self.world.start("b")
        for _ in range(7):
            self.world.advance(2.0)
            self.world.beat("a")
        self.world.check()

    @property
    def book(self) -> Book:
        return self.world.cluster.book

    @property
    def run(self) -> RunEntry:
        return self.book.runs[self.id]

    def job(self, name: str) -> JobEntry:
        return self.run.by_name[name]

    def minion(self, name: str = "a") -> MinionEntry:
        return self.book.minions[MinionId(name)]

    def set_job(self, name: str, **changes: object) -> None:
        """Change a job's record, and keep the tally right."""
        job = self.job(name)
        job.record = replace(job.record, **changes)
        self.run.tally = Counter(job.record.state for job in self.run.jobs)

    def set_minion(self, name: str = "a", **changes: object) -> None:
        self.minion(name).record = replace(self.minion(name).record, **changes)


def test_the_book_is_whole_before_it_is_broken() -> None:
    broken = Broken()
    states = {name: str(entry.record.state) for name, entry in broken.run.by_name.items()}
    assert states == {"y": "unknown", "x": "running", "z": "waiting", "q": "queued"}
    assert broken.minion("b").connection is Connection.LOST
    broken.world.cluster.validate()


def end_all(broken: Broken) -> None:
    for name in "xyzq":
        broken.set_job(name, state=JobState.SUCCEEDED)


BREAKS: dict[str, Callable[[Broken], object]] = {
    "has ended and is still held": end_all,
    "tally is off": lambda b: b.run.tally.update([JobState.FAILED]),
    "its state is off": lambda b: setattr(b.run, "record", replace(b.run.record, state=RunState.QUEUED)),
    "its jobs are not in the book": lambda b: b.book.jobs.pop(b.job("z").record.id),
    "rests in a passing state": lambda b: b.set_job("x", state=JobState.LOST),
    "(waiting): ready queue is off": lambda b: b.book.ready.add(b.job("z").record.id, Requirements()),
    "(queued): ready queue is off": lambda b: b.book.ready.remove(b.job("q").record.id),
    "(running) has no minion": lambda b: b.set_job("x", minion=None),
    "(unknown) has no minion": lambda b: b.set_job("y", minion=None),
    "(running): attempt is off": lambda b: b.set_job("x", attempt=7),
    "(unknown): attempt is off": lambda b: setattr(b.job("y"), "attempt", None),
    "its attempt has ended": lambda b: setattr(
        b.job("x"), "attempt", replace(b.job("x").attempt, result=Result(status=Status.LOST))
    ),
    "needs are off": lambda b: setattr(b.job("z"), "missing", 2),
    "waits for nothing": lambda b: (b.set_job("x", state=JobState.SUCCEEDED), setattr(b.job("z"), "missing", 0)),
    "waits in vain": lambda b: b.set_job("x", state=JobState.FAILED),
    "runs before what it needs": lambda b: (
        b.set_job("z", state=JobState.QUEUED),
        b.book.ready.add(b.job("z").record.id, ((), ())),
    ),
    "was tried again too often": lambda b: b.set_job("x", retries=1),
    "was lost too often": lambda b: b.set_job("x", lost=4),
    "(queued): its timer is off": lambda b: b.book.timers.set(b.job("q").record.id, 1.0),
    "its time limit is off": lambda b: b.book.timers.set(b.id, 1.0),
    "goes on though it is cancelled": lambda b: setattr(b.run, "record", replace(b.run.record, cancel_by="ann")),
    "held by nobody we know": lambda b: b.book.minions.pop(A),
    "slots are off": lambda b: b.minion().running.clear(),
    "a: slots are off": lambda b: b.minion().running.update({JobId("other-0"): None}),
    "ring is off": lambda b: b.book.ring.open(b.minion().record.ring),
    "its name is not its own": lambda b: b.book.minion_by_name.update({"a": B}),
    "its place is not its own": lambda b: b.book.minion_by_place.pop(b.minion().record.ring),
    "drains and is not suspended": lambda b: b.set_minion(draining=True),
    "has left, and its session is valid": lambda b: b.set_minion(left=True),
    "has left and still drains": lambda b: b.set_minion("b", left=True, draining=True, suspended=True),
    "its session says otherwise": lambda b: b.set_minion(fenced=True),
    "b is suspect, its session": lambda b: setattr(b.minion("b"), "connection", Connection.SUSPECT),
    "is lost and holds jobs": lambda b: (
        setattr(b.minion(), "connection", Connection.LOST),
        b.set_minion(fenced=True),
    ),
    "wait, and ['b'] are open": lambda b: (
        setattr(b.minion("b"), "connection", Connection.READY),
        b.set_minion("b", fenced=False),
        b.book.ring.open(b.minion("b").record.ring),
    ),
}


@pytest.mark.parametrize("text", BREAKS)
def test_what_is_broken_is_named(text: str) -> None:
    broken = Broken()
    BREAKS[text](broken)
    with pytest.raises(AssertionError) as caught:
        broken.world.cluster.validate()
    assert text in str(caught.value)
