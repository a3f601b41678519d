"""What people say of minions: suspend, resume, drain; kept, with who and why."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cicd.core.events import (
    Asker,
    MinionDrained,
    MinionResumed,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionSuspended,
    Origin,
)
from cicd.core.plan import Notice, Send
from cicd.errors import NotFoundError
from cicd.messages.base import MinionId
from cicd.messages.cluster import Availability, Connection, MinionRecord
from cicd.messages.minion import BeatAck, Goodbye
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")
DRAIN = MinionDrained(minion=A, by="ann", why="new disk")


def record(world: World, minion: MinionId = A) -> MinionRecord:
    return world.store.minions[minion]


def said(world: World, minion: MinionId = A) -> tuple[Availability, str, str]:
    one = record(world, minion)
    return one.availability, one.suspended_by, one.suspended_why


def test_a_suspended_minion_gets_nothing_until_it_is_resumed_also_after_a_restart() -> None:
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    plan = world.handle(MinionSuspended(minion=A, by="ann", why="disk", asker=Asker(7)))
    assert Notice(A, "a", "suspended", "ann: disk") in plan.effects
    assert world.replies[Asker(7)] == record(world)
    assert record(world).suspended_s == world.now.wall_s
    world.restart_master()
    for name in (A, B):
        world.connect(name)
    world.settle()
    run = world.submit("p", [JobSpec(name="x"), JobSpec(name="y")])
    assert [world.job(run, name).minion for name in "xy"] == ["b", None]
    world.handle(MinionResumed(minion=A, by="ann", asker=Asker(8)))
    assert world.job(run, "y").minion == "a"
    assert said(world) == (Availability.ACTIVE, "", "")
    assert record(world).suspended_s == 0.0
    assert world.replies[Asker(8)] == record(world)


@pytest.mark.parametrize("kind", [MinionSuspended, MinionDrained])
def test_saying_something_of_nobody_is_not_found(kind: type[MinionSuspended | MinionDrained]) -> None:
    world = World({})
    plan = world.handle(kind(minion=A, by="x", why="", asker=Asker(1)), MinionResumed(minion=A, by="x", asker=Asker(2)))
    assert not plan.saves
    assert all(isinstance(world.replies[Asker(asker)], NotFoundError) for asker in (1, 2))


# ---- drain ---------------------------------------------------------------------------------------------


def test_a_draining_minion_finishes_what_it_has_gets_nothing_and_leaves() -> None:
    world = World.of(ModelMinion("a", slots=2), ModelMinion("b", slots=1))
    minion = world.minions[A]
    run = world.submit("p", [JobSpec(name="x")])
    world.start("a")
    world.handle(DRAIN)
    other = world.submit("q", [JobSpec(name="x"), JobSpec(name="y")])
    assert [world.job(other, name).minion for name in "xy"] == ["b", None]
    world.beat("a")
    assert (minion.left, len(minion.alive)) == (0, 1)
    assert said(world) == (Availability.DRAINING, "ann", "new disk")
    world.finish("a")
    world.beat("a")
    assert minion.left == 1
    assert world.job(run, "x").state is JobState.SUCCEEDED
    entry = world.cluster.book.minions[A]
    assert (entry.connection, entry.record.left) == (Connection.LOST, True)
    assert said(world) == (Availability.SUSPENDED, "ann", "new disk")


def test_a_drained_minion_that_comes_back_is_suspended_until_it_is_resumed_and_stays() -> None:
    world = World.of(ModelMinion("a"))
    world.handle(DRAIN)
    world.beat("a")
    assert world.minions[A].left == 1
    world.restart_master()
    world.restart("a")
    world.beat("a")
    assert (world.minions[A].left, record(world).left) == (1, False)
    run = world.submit("p", [JobSpec(name="x")])
    assert world.job(run, "x").minion is None
    world.handle(MinionResumed(minion=A, by="ann"))
    assert world.job(run, "x").minion == A


def test_a_drain_goes_on_over_restarts_of_both_sides() -> None:
    world = World.of(ModelMinion("a"))
    world.submit("p", [JobSpec(name="x")])
    world.start("a")
    world.handle(DRAIN)
    world.restart_master()
    world.connect(A)
    world.settle()
    world.beat("a")
    assert world.minions[A].left == 0
    world.restart("a")  # its job dies with it; it is drained all the same
    world.beat("a")
    assert world.minions[A].left == 1


@pytest.mark.parametrize(
    ("word", "availability"),
    [
        (MinionResumed(minion=A, by="bob"), Availability.ACTIVE),
        (MinionSuspended(minion=A, by="bob", why=""), Availability.SUSPENDED),
    ],
)
def test_the_last_word_undoes_a_drain_that_is_not_over(
    word: MinionResumed | MinionSuspended, availability: Availability
) -> None:
    world = World.of(ModelMinion("a"))
    world.submit("p", [JobSpec(name="x")])
    world.start("a")
    world.handle(DRAIN)
    world.handle(word)
    world.finish("a")
    world.beat("a")
    assert (world.minions[A].left, record(world).availability) == (0, availability)


def test_only_the_answer_to_the_newest_beat_lets_a_minion_leave() -> None:
    """A resume is not undone by an answer that was on its way before it."""
    world = World.of(ModelMinion("a"))
    minion = world.minions[A]
    world.handle(DRAIN)
    beat = minion.beat()
    world.say(A, [beat])
    world.deliver_to_master(world.to_master.pop())
    (late,) = [letter for letter in world.to_minions if isinstance(letter.message, BeatAck) and letter.message.leave]
    world.to_minions.clear()
    world.handle(MinionResumed(minion=A, by="ann"))
    world.beat("a")
    world.deliver_to_minion(late)
    assert minion.left == 0


def test_a_job_that_crosses_the_goodbye_of_an_idle_minion_is_not_lost_even_if_it_may_run_only_once() -> None:
    world = World.of(ModelMinion("a"))
    world.handle(DRAIN)
    world.say(A, [world.minions[A].beat()])
    world.deliver_to_master(world.to_master.pop())
    world.handle(MinionResumed(minion=A, by="ann"))
    run = world.submit("p", [JobSpec(name="x", idempotent=False)])
    assert world.job(run, "x").state is JobState.ASSIGNED
    world.settle()
    assert world.minions[A].left == 1
    job = world.job(run, "x")
    assert (job.state, job.lost) == (JobState.QUEUED, 0)
    assert job.message == "a was stopped"


def test_a_goodbye_that_says_idle_but_ran_something_loses_it() -> None:
    """What has started is given up like any other; one that contradicts itself breaks nothing."""
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x", idempotent=False)])
    world.start("a")
    world.minions[A].restart()
    world.handle(MinionSaidGoodbye(minion=A, goodbye=Goodbye(session=1, idle=True)))
    assert world.job(run, "x").state is JobState.UNKNOWN


def test_draining_who_has_left_is_over_at_once_and_who_is_lost_leaves_when_it_is_back() -> None:
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    world.say(A, [world.minions[A].goodbye()])
    world.settle()
    world.advance(14.0)
    for minion in (A, B):
        world.handle(MinionDrained(minion=minion, by="ann", why=""))
    assert record(world).availability is Availability.SUSPENDED
    assert record(world, B).availability is Availability.DRAINING
    for name in "ab":
        world.restart(name)
    assert [world.minions[minion].left for minion in (A, B)] == [0, 1]


def test_who_takes_over_the_name_of_a_lost_one_is_suspended_and_does_not_drain() -> None:
    world = World.of(ModelMinion("a"))
    world.handle(DRAIN)
    world.advance(14.0)
    heir = replace(ModelMinion("a").hello(), minion=B)
    world.handle(MinionSaidHello(hello=heir, origin=Origin(b"b/1"), user="u", received_boot_s=world.now_s))
    assert (record(world, B).name, *(said(world, B))) == ("a", Availability.SUSPENDED, "ann", "new disk")


def test_a_beat_is_told_to_leave_only_when_it_drains_and_holds_nothing() -> None:
    world = World.of(ModelMinion("a"))

    def told() -> bool:
        world.say(A, [world.minions[A].beat()])
        world.deliver_to_master(world.to_master.pop())
        letters, world.to_minions[:] = list(world.to_minions), []
        return any(isinstance(letter.message, BeatAck) and letter.message.leave for letter in letters)

    assert not told()
    world.submit("p", [JobSpec(name="x")])
    world.start("a")
    world.handle(DRAIN)
    assert not told()
    world.finish("a")
    assert told()
    assert all(not isinstance(effect, Send) for effect in world.handle().effects)
