"""Concurrency groups and priorities: which ready job may go."""

from __future__ import annotations

from cicd.core.events import MinionSuspended, RunCancelRequested
from cicd.messages.base import MinionId, RunId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

SHIP = JobSpec(name="ship", group="deploy")


def why(world: World, run: RunId, name: str) -> str:
    return world.cluster.waits(run, world.now).get(world.job(run, name).id, "")


def state(world: World, run: RunId, name: str = "ship") -> str:
    return str(world.job(run, name).state)


def test_one_job_of_a_group_runs_at_a_time_over_all_pipelines_in_order_and_none_is_dropped() -> None:
    world = World.of(ModelMinion("a", slots=9), ModelMinion("b", slots=9))
    runs = [world.submit("pq"[i % 2], [SHIP, JobSpec(name="free")]) for i in range(4)]
    assert [state(world, run) for run in runs] == ["assigned", "queued", "queued", "queued"]
    assert {state(world, run, "free") for run in runs} == {"assigned"}, "the others are not held up"
    assert {why(world, run, "ship") for run in runs[1:]} == {"group deploy is held by p#1 job ship"}
    began = []
    for _ in runs:
        world.start("a")
        world.start("b")
        began.append([state(world, run) for run in runs].index("running"))
        world.finish("a")
        world.finish("b")
    assert began == [0, 1, 2, 3]
    assert not world.cluster.book.groups


def test_other_groups_go_on_and_a_group_is_free_after_any_end() -> None:
    world = World.of(ModelMinion("a", slots=9))
    first, second, third = (world.submit("p", [SHIP, JobSpec(name="other", group=f"g{i}")]) for i in range(3))
    assert {state(world, run, "other") for run in (first, second, third)} == {"assigned"}
    world.start("a")
    world.finish("a", Status.FAILED)
    assert [state(world, run) for run in (first, second, third)] == ["failed", "assigned", "queued"]
    world.handle(RunCancelRequested(run=third, by="ann"))
    world.handle(RunCancelRequested(run=second, by="ann"))
    assert state(world, second) == "assigned", "it holds on while it can act"
    assert world.cluster.book.groups == {"deploy": f"{second}-0"}
    world.start("a")
    world.finish("a", Status.CANCELLED)
    assert not world.cluster.book.groups


def test_a_job_that_nobody_can_run_now_does_not_hold_up_its_group() -> None:
    world = World.of(ModelMinion("a"))
    gpu = world.submit("p", [JobSpec(name="ship", group="deploy", labels=("gpu",))])
    assert why(world, gpu, "ship") == "no minion with label gpu"
    run = world.submit("p", [SHIP])
    assert state(world, run) == "assigned"
    assert why(world, gpu, "ship") == "group deploy is held by p#2 job ship"


def test_a_lost_job_gives_its_group_back_and_queues_again_behind_the_others() -> None:
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    first, second = (world.submit("p", [SHIP]) for _ in range(2))
    world.start("a")
    world.restart("a")
    assert [state(world, run) for run in (first, second)] == ["queued", "assigned"]
    assert why(world, first, "ship") == "group deploy is held by p#2 job ship"


def test_a_job_in_doubt_holds_its_group_until_somebody_resolves_that_also_over_a_restart() -> None:
    world = World.of(ModelMinion("a"), ModelMinion("b"))
    first = world.submit("p", [JobSpec(name="ship", group="deploy", idempotent=False)])
    second = world.submit("p", [SHIP])
    world.start("a")
    world.restart("a")
    assert state(world, first) == "unknown"
    world.restart_master()
    for name in world.minions:
        world.connect(name)
    world.settle()
    assert state(world, second) == "queued"
    assert why(world, second, "ship") == "group deploy is held by p#1 job ship (in doubt)"
    world.handle(RunCancelRequested(run=first, by="ann"))
    assert state(world, second) == "assigned"


def test_the_higher_priority_goes_first_then_first_come_first_served() -> None:
    world = World.of(ModelMinion("a"))
    world.handle(MinionSuspended(minion=MinionId("a"), by="x", why="y"))
    runs = {
        name: world.submit("p", [SHIP if name == "ship" else JobSpec(name="only")], priority=priority)
        for name, priority in {"low": -5, "old": 0, "new": 0, "ship": 50, "top": 100, "top2": 100}.items()
    }
    order = [job.split("-")[0] for job in world.cluster.book.ready.in_order()]
    assert order == [runs[name] for name in ("top", "top2", "ship", "old", "new", "low")]
    world.restart_master()
    assert [job.split("-")[0] for job in world.cluster.book.ready.in_order()] == order
    assert world.store.runs[runs["top"]].priority == 100


def test_priority_counts_within_a_group() -> None:
    world = World.of(ModelMinion("a", slots=9))
    _, low, high = (world.submit("p", [SHIP], priority=priority) for priority in (0, 0, 1))
    world.start("a")
    world.finish("a")
    assert (state(world, low), state(world, high)) == ("queued", "assigned")
    assert world.job(high, "ship").state is JobState.ASSIGNED
