"""What is decided follows from the journal of the core's inputs, and from nothing else."""

from __future__ import annotations

import random  # noqa: TID251  seeded: the seed is the test's name
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from cicd.core.events import Event, MinionBeat, MinionResumed, MinionSuspended, Now, RunCancelRequested, Ticked
from cicd.core.plan import Plan
from cicd.messages.base import MinionId
from cicd.messages.cluster import Load
from cicd.messages.minion import Beat
from cicd.messages.pipeline import JobSpec, Retry
from cicd.messages.run import Status
from cicd.replay.batches import BatchDecoder, BatchEncoder, event_classes
from cicd.replay.checkpoint import CheckpointError, freeze, thaw
from cicd.replay.verdict import Recording
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World
from sample_values import sample

NOW = Now(boot_s=12.25, wall_s=1_767_600_000.125)
SEEDS = 40


@pytest.mark.parametrize("kind", event_classes(), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind):
    event = sample(kind)
    ((_, events),) = through_bytes([[event]])
    if isinstance(event, MinionBeat):  # how loaded a machine is decides nothing and is not kept
        event = replace(event, beat=replace(event.beat, load=Load()))
    assert events == [event]


def through_bytes(batches: list[list[Event]]) -> Iterator:
    encoder, decoder = BatchEncoder(), BatchDecoder()
    for events in batches:
        batch, found = decoder.decode(encoder.encode(events, NOW, Plan()))
        yield batch.now, found


def test_heartbeats_that_say_the_same_are_kept_in_few_bytes_and_come_back_whole():
    def beat(name: str, seq: int, **fields) -> MinionBeat:
        said = Beat(session=3, seq=seq, sent_boot_s=seq + 0.001, **fields)
        return MinionBeat(minion=MinionId(name), beat=said, received_boot_s=seq + 0.002)

    entries = sample(Beat).inventory
    batches: list[list[Event]] = [
        [beat("a", 1), beat("b", 1, inventory=entries)],
        [beat("b", 2, inventory=entries), Ticked(), beat("a", 2)],
        [beat("a", 3, inventory=entries), beat("c", 1)],
        [beat("a", 4, inventory=entries), beat("b", 3, inventory=entries), beat("c", 2), beat("a", 5)],
    ]
    assert list(through_bytes(batches)) == [(NOW, events) for events in batches]

    encoder = BatchEncoder()
    encoder.encode([beat("a", 1)], NOW, Plan())
    loaded = beat("a", 2, load=Load(load1=3.5))
    with_beat = len(encoder.encode([loaded], NOW, Plan()))
    assert with_beat - len(encoder.encode([], NOW, Plan())) <= 25


class Unrest:
    """A seeded history in a world where much goes wrong; every core in it is recorded."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  no secret
        minions = [
            ModelMinion(f"m{index}", slots=1 + index % 2, labels=("gpu",) if index else (), rate=1.0, now_s=0.0)
            for index in range(3)
        ]
        self.world = World({minion.id: minion for minion in minions})
        self.watch()
        for name in self.world.minions:
            self.world.connect(name)
        self.world.settle()

    def watch(self) -> None:
        self.recording = Recording(self.world.cluster)
        self.world.cluster.handle = self.recording.handle

    def some_minion(self) -> MinionId:
        return self.random.choice(list(self.world.minions))

    def step(self) -> None:
        steps = (self.submit, self.cancel, self.say, self.break_off, self.restart, self.silence)
        self.random.choice((*steps, *(self.work,) * 3, *(self.beat,) * 3))()
        self.world.settle()

    def submit(self) -> None:
        jobs = (
            JobSpec(name="a", retry=Retry(attempts=2, backoff_s=3.0)),
            JobSpec(name="b", needs=("a",), labels=("gpu",)),
            JobSpec(name="c", group="one", timeout_s=9.0),
        )
        self.world.submit("p", jobs)

    def cancel(self) -> None:
        for run in list(self.world.cluster.book.runs)[:1]:
            self.world.handle(RunCancelRequested(run=run, by="x"))

    def say(self) -> None:
        name = self.some_minion()
        said = MinionSuspended(minion=name, by="x", why="y"), MinionResumed(minion=name, by="x")
        self.world.handle(self.random.choice(said))

    def break_off(self) -> None:
        self.world.disconnect(self.some_minion())

    def restart(self) -> None:
        name = self.some_minion()
        self.world.minions[name].restart()
        self.world.connect(name)

    def silence(self) -> None:
        self.world.advance(self.random.choice((0.5, 4.0, 14.0)))

    def work(self) -> None:
        name = self.some_minion()
        minion = self.world.minions[name]
        for key in sorted(minion.fetching):
            self.world.say(name, minion.start(key))
        for key in sorted(minion.alive):
            status = self.random.choice((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED))
            self.world.say(name, minion.finish(key, status, [("from", name)]))

    def beat(self) -> None:
        self.world.advance(1.0)
        for name, minion in self.world.minions.items():
            if not self.world.connections[name]:
                self.world.connect(name)
            self.world.say(name, [minion.beat() if minion.welcomed else minion.hello()])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_is_decided_the_same_again(seed):
    unrest = Unrest(seed)
    for _ in range(60):
        unrest.step()
    assert unrest.recording.check() is None
    unrest.world.restart_master()
    unrest.watch()  # from here: a core that began with what a store held
    for _ in range(30):
        unrest.step()
    assert unrest.recording.check() is None


def test_what_is_not_in_the_journal_must_not_decide():
    """A core that looks at something else is found out, and the story names the batch and both decisions."""
    unrest = Unrest(1)
    unrest.world.submit("p", (JobSpec(name="a"),))
    unrest.world.settle()
    unrest.world.cluster.book.ring._hand = 1  # what an input that is not in the journal would do
    unrest.world.submit("p", (JobSpec(name="a"),))
    difference = unrest.recording.check()
    assert difference is not None
    assert "RunSubmitted" in difference.events[0]
    assert [text for text in difference.expected if text.endswith("assigned 1 m2")]
    assert [text for text in difference.got if text.endswith("assigned 1 m1")]


def test_a_checkpoint_holds_the_whole_state_and_runs_nobodys_code():
    unrest = Unrest(3)
    for _ in range(40):
        unrest.step()
    cluster = unrest.world.cluster
    del cluster.handle  # the recording's
    copy = thaw(freeze(cluster))
    copy.validate()
    assert [entry.record for entry in copy.book.minions.values()] == [e.record for e in cluster.book.minions.values()]
    assert [job.record for job in copy.book.jobs.values()] == [job.record for job in cluster.book.jobs.values()]

    things = "os system", "subprocess Popen", "cicd.codec dump", "cicd.core.book cast"
    for thing in things:
        evil = f"c{thing.replace(' ', chr(10))}\n(S'exit 1'\ntR.".encode()
        with pytest.raises(CheckpointError, match="must not hold"):
            thaw(evil)
    for damaged in (b"junk", b"", freeze(cluster)[:-9]):
        with pytest.raises(CheckpointError, match="cannot be read"):
            thaw(damaged)
    with pytest.raises(CheckpointError, match="no state of a core"):
        thaw(b"N.")
