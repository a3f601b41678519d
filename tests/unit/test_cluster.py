"""The core's face: batches, dispatch, and taking up what the store holds."""

from __future__ import annotations

from cicd.core.cluster import Cluster
from cicd.core.events import MinionResumed, MinionSuspended, Ticked
from cicd.core.plan import Plan
from cicd.core.settings import CoreSettings
from cicd.messages.base import MinionId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.promises import survives
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")


def test_a_batch_with_nothing_to_store_says_so() -> None:
    world = World.of(ModelMinion("a"))
    assert not world.handle(Ticked()).saves
    assert not Plan().saves
    assert world.handle(MinionSuspended(minion=A, by="x", why="")).saves


def test_dispatch_follows_all_events_of_a_batch() -> None:
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    for name in (A, B):
        world.handle(MinionSuspended(minion=name, by="x", why=""))
    run = world.submit("p", [JobSpec(name="x")])
    world.handle(
        MinionResumed(minion=A, by="x"), MinionSuspended(minion=A, by="x", why=""), MinionResumed(minion=B, by="x")
    )
    assert world.job(run, "x").minion == B


def test_a_result_frees_a_slot_and_the_next_job_leaves_in_the_same_step() -> None:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x"), JobSpec(name="y")])
    world.start("a")
    world.finish("a")
    assert world.job(run, "y").state is JobState.ASSIGNED
    assert world.job(run, "y").queued_s == world.now.wall_s


def test_jobs_go_where_their_labels_and_tags_are_and_hold_up_nobody_else() -> None:
    world = World.of(
        ModelMinion("plain", slots=5),
        ModelMinion("gpu", slots=5, labels=("gpu",)),
        ModelMinion("new", slots=5, tags=("cp313",)),
    )
    run = world.submit(
        "p",
        [JobSpec(name="none", labels=("tpu",)), *(JobSpec(name=f"g{i}", labels=("gpu",)) for i in range(3))],
    )
    tagged = world.submit("p", [JobSpec(name=f"t{i}") for i in range(2)], requires=("cp312", "cp313"))
    assert [world.job(run, f"g{i}").minion for i in range(3)] == ["gpu"] * 3
    assert [world.job(tagged, f"t{i}").minion for i in range(2)] == ["new"] * 2
    assert world.job(run, "none").state is JobState.QUEUED
    world.minions[MinionId("late")] = ModelMinion("late", labels=("tpu",))
    world.connect(MinionId("late"))
    world.settle()
    assert world.job(run, "none").minion == "late"


def test_a_minion_that_comes_back_with_another_label_gets_what_waits_for_it() -> None:
    world = World.of(ModelMinion("a", slots=2))
    run = world.submit("p", [JobSpec(name="x", labels=("gpu",))])
    world.handle(Ticked())
    assert world.job(run, "x").state is JobState.QUEUED
    world.minions[A].labels = ("gpu",)
    world.connect(A)
    world.settle()
    assert world.job(run, "x").state is JobState.ASSIGNED


def test_jobs_wait_their_turn_over_a_restart_of_the_master() -> None:
    world = World({})
    late = world.submit("p", [JobSpec(name="first"), JobSpec(name="second", needs=("first",))])
    world.minions[A] = ModelMinion("a")
    world.connect(A)
    world.settle()
    world.advance(1.0)
    early = world.submit("q", [JobSpec(name="other")])
    world.advance(1.0)
    world.start("a")
    world.handle(MinionSuspended(minion=A, by="x", why=""))
    world.finish("a")
    assert world.job(late, "second").queued_s > world.job(early, "other").queued_s
    world.restart_master()
    world.connect(A)
    world.settle()
    world.handle(MinionResumed(minion=A, by="x"))
    assert world.job(early, "other").state is JobState.ASSIGNED, "it waits longer, though its run is newer"
    assert world.job(late, "second").state is JobState.QUEUED


def test_a_new_core_is_empty_and_a_restored_one_goes_on_counting() -> None:
    settings = CoreSettings()
    Cluster(settings).validate()
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    world.submit("p", [JobSpec(name="x")])
    world.restart_master()
    survives(world.cluster, world.store)
    world.minions[MinionId("c")] = ModelMinion("c")
    world.connect(MinionId("c"))
    world.settle()
    assert world.store.minions[MinionId("c")].ring == 2
    run = world.submit("p", [JobSpec(name="x")])
    assert world.store.runs[run].number == 2


def test_the_settings_follow_from_each_other() -> None:
    settings = CoreSettings(heartbeat_s=0.5, lease_s=4.0, lease_margin_s=1.0)
    assert settings.expiry_s == 5.0
    assert settings.resend_s == 1.0
