"""How minions join: sessions, names, places, refusals; what they say of jobs."""

from __future__ import annotations

from msgspec.structs import replace

from cicd.core.events import (
    MinionFinishedJob,
    MinionSaidHello,
    MinionStartedJob,
    MinionSuspended,
    Origin,
)
from cicd.core.minions import MAX_SLOTS
from cicd.core.plan import Answer, Bind, Plan, Send
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Connection, Load
from cicd.messages.minion import Fenced, Hello, JobFinished, JobStarted, Refused, Welcome
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import Result, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")
HELLO = Hello(minion=A, name="a", hostname="a.test", version="1", platform="linux", slots=2, sent_boot_s=5.0)


def say_hello(world: World, **changes: object) -> Plan:
    hello = replace(HELLO, **changes)
    event = MinionSaidHello(hello=hello, origin=Origin(b"a/1"), user="u", received_boot_s=world.now_s)
    return world.handle(event)


def answer(plan: Plan) -> object:
    return next(effect.message for effect in plan.effects if isinstance(effect, Answer))


# ---- sessions ------------------------------------------------------------------------------------------


def test_a_new_minion_gets_session_one_and_the_next_place() -> None:
    world = World({})
    plan = say_hello(world, labels=("gpu",), tags=("cp311",), load=Load(load1=2.0))
    assert plan.effects == [
        Bind(A, Origin(b"a/1"), "a"),
        Answer(Origin(b"a/1"), Welcome(session=1, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=5.0)),
    ]
    record = world.store.minions[A]
    assert (record.session, record.ring, record.slots, record.joined_s) == (1, 0, 2, world.now.wall_s)
    assert (record.labels, record.tags, record.hostname, record.platform) == (("gpu",), ("cp311",), "a.test", "linux")
    entry = world.cluster.minion("a")
    assert entry is world.cluster.minion(A)
    assert entry is not None
    assert (entry.connection, entry.load.load1, entry.seen_wall_s) == (Connection.READY, 2.0, world.now.wall_s)
    say_hello(world, minion=B, name="b")
    assert world.store.minions[B].ring == 1
    assert world.cluster.minion("nobody") is None


def test_each_hello_without_a_session_gets_a_new_one_and_one_that_holds_keeps_it() -> None:
    world = World({})
    assert [answer(say_hello(world)).session for _ in range(3)] == [1, 2, 3]
    plan = say_hello(world, session=3)
    assert answer(plan).session == 3
    assert not plan.saves, "nothing has changed, so nothing is stored"


def test_an_older_session_is_told_the_floor_and_changes_nothing() -> None:
    world = World({})
    for _ in range(3):
        say_hello(world)
    plan = say_hello(world, session=2, hostname="other")
    assert plan.effects == [Answer(Origin(b"a/1"), Fenced(floor=3))]
    assert not plan.saves
    assert world.store.minions[A].hostname == "a.test"


def test_a_session_that_lost_its_lease_is_below_the_floor_and_a_new_one_is_above() -> None:
    world = World({})
    say_hello(world)
    world.advance(13.5)
    assert world.store.minions[A].fenced
    assert answer(say_hello(world, session=1)) == Fenced(floor=2)
    assert answer(say_hello(world)).session == 2
    assert not world.store.minions[A].fenced


def test_a_greater_session_than_the_floor_is_let_in_and_is_the_new_floor() -> None:
    """The store was set back to a copy: what it forgot is no reason to kill jobs."""
    world = World({})
    say_hello(world)
    assert answer(say_hello(world, session=7)).session == 7
    assert world.store.minions[A].session == 7
    assert answer(say_hello(world, session=6)) == Fenced(floor=7)
    world.advance(13.5)
    assert answer(say_hello(world, session=8)).session == 8, "also where the last one has lost its lease"
    assert answer(say_hello(World({}), session=4)).session == 4, "also where the minion was never heard of"


def test_a_minion_of_another_protocol_is_refused() -> None:
    world = World({})
    plan = say_hello(world, protocol=9)
    assert isinstance(answer(plan), Refused)
    assert (answer(plan).code, answer(plan).retryable, plan.saves) == ("protocol", False, False)
    assert not world.cluster.book.minions


def test_slots_are_at_least_one_and_bounded() -> None:
    world = World({})
    for said, kept in ((-3, 1), (0, 1), (10**9, MAX_SLOTS)):
        say_hello(world, slots=said)
        assert world.store.minions[A].slots == kept


def test_fewer_slots_than_run_take_nothing_away_and_more_are_used_at_once() -> None:
    minion = ModelMinion("a", slots=2)
    world = World.of(minion)
    run = world.submit("p", [JobSpec(name=name) for name in "xyz"])
    world.start("a")
    for slots, running in ((1, 2), (3, 3)):
        minion.slots = 3  # what really runs is the promise's measure; what is said is the test's
        say_hello(world, session=1, slots=slots, inventory=tuple(minion.journal.values()))
        assert len(world.cluster.book.minions[A].running) == running
    assert world.job(run, "z").attempt == 1


# ---- names and places ----------------------------------------------------------------------------------


def test_a_name_that_is_taken_is_refused_while_its_holder_may_be_there() -> None:
    world = World({})
    say_hello(world)
    for seconds, refused in ((0.0, True), (4.0, True), (13.5, False)):
        world.advance(seconds)
        said = answer(say_hello(world, minion=B))
        assert isinstance(said, Refused) == refused
        if refused:
            assert (said.code, said.retryable) == ("name_taken", True)
            assert "a.test" in said.text


def test_who_comes_back_under_a_lost_name_takes_over_its_place_and_what_people_said() -> None:
    world = World({})
    say_hello(world)
    say_hello(world, minion=MinionId("c"), name="c")
    world.handle(MinionSuspended(minion=A, by="ann", why="disk"))
    world.advance(13.5)
    plan = say_hello(world, minion=B)
    record = world.store.minions[B]
    assert (record.ring, record.session, record.suspended, record.suspended_by, record.suspended_why) == (
        0,
        1,
        True,
        "ann",
        "disk",
    )
    assert set(plan.forgotten_minions) == {A}
    assert set(world.store.minions) == {B, "c"}
    old = say_hello(world)
    assert answer(old).code == "name_taken", "the old id has lost the name for good"


def test_a_minion_that_was_known_does_not_take_over_another_place() -> None:
    world = World({})
    say_hello(world)
    say_hello(world, minion=B, name="b")
    world.advance(13.5)
    assert answer(say_hello(world, minion=B, name="a")).code == "name_taken"


def test_a_takeover_in_the_batch_in_which_the_old_one_was_lost_is_stored_right() -> None:
    world = World({})
    say_hello(world)
    world.advance(13.0)
    hello = MinionSaidHello(
        hello=replace(HELLO, minion=B), origin=Origin(b"b/1"), user="u", received_boot_s=world.now_s
    )
    say_hello(world)
    world.advance(13.0)
    assert world.cluster.book.minions[A].connection is Connection.LOST
    plan = world.handle(MinionSuspended(minion=A, by="ann", why=""), hello)
    assert (set(plan.minions), set(plan.forgotten_minions)) == ({B}, {A})
    assert world.store.minions[B].suspended


def test_a_minion_may_change_its_name_and_the_old_one_is_free() -> None:
    world = World({})
    say_hello(world)
    plan = say_hello(world, session=1, name="z")
    assert [record.name for record in plan.forgotten_minions.values()] == ["a"]
    assert world.store.minions[A].name == "z"
    assert world.cluster.minion("a") is world.cluster.minion("z"), "its id is not its name"
    assert answer(say_hello(world, minion=B, name="a")).session == 1
    again = say_hello(world, session=1, name="y").forgotten_minions
    assert [record.name for record in again.values()] == ["z"]


# ---- what they say of jobs -----------------------------------------------------------------------------


def test_who_is_not_known_has_nothing_to_say() -> None:
    world = World({})
    job = JobId("r-0")
    finished = JobFinished(session=1, job=job, attempt=1, result=Result(status=Status.SUCCEEDED))
    started = JobStarted(session=1, job=job, attempt=1, pid=1, started_s=1.0)
    plan = world.handle(MinionFinishedJob(minion=A, finished=finished), MinionStartedJob(minion=A, started=started))
    assert plan.effects == []
    assert world.cluster.book.refused == 2


def test_a_start_of_a_session_that_is_over_is_told_so() -> None:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x")])
    started = JobStarted(session=0, job=world.job(run, "x").id, attempt=1, pid=1, started_s=1.0)
    plan = world.handle(MinionStartedJob(minion=A, started=started))
    assert plan.effects == [Send(A, Fenced(floor=1))]
    assert world.job(run, "x").started_s == 0
