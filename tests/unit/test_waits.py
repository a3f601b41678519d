"""Why a job waits, in words."""

from __future__ import annotations

from cicd.core.events import MinionSuspended
from cicd.messages.base import MinionId, RunId
from cicd.messages.pipeline import JobSpec
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World


def why(world: World, run: RunId, name: str) -> str:
    return world.cluster.waits(run, world.now).get(world.job(run, name).id, "")


def test_jobs_say_which_needs_are_open_and_how_those_stand() -> None:
    world = World.of(ModelMinion("a", slots=9))
    names = [f"j{i}" for i in range(5)]
    run = world.submit("p", [*(JobSpec(name=name) for name in names), JobSpec(name="end", needs=(*names, "j0"))])
    assert why(world, run, "end") == "needs j0 (assigned), j1 (assigned), j2 (assigned) and 2 more"
    world.start("a")
    world.finish("a")
    run = world.submit("p", [JobSpec(name="a"), JobSpec(name="b", needs=("a",))])
    world.start("a")
    assert why(world, run, "b") == "needs a (running)"


def test_a_ready_job_says_what_every_minion_that_could_is_doing() -> None:
    world = World({})
    run = world.submit(
        "p", [JobSpec(name="any"), JobSpec(name="gpu", labels=("gpu", "big"))], requires=("cp39", "cp310")
    )
    assert why(world, run, "any") == "no minion has joined"
    world = World.of(
        ModelMinion("busy", slots=1),
        ModelMinion("off"),
        ModelMinion("told"),
        ModelMinion("away"),
        ModelMinion("last"),
    )
    for name, reason in (("off", ""), ("told", "disk full")):
        world.handle(MinionSuspended(minion=MinionId(name), by="ann", why=reason))
    for name in ("away", "last"):
        world.disconnect(MinionId(name))
    run = world.submit(
        "p", [JobSpec(name="x"), JobSpec(name="y"), JobSpec(name="z"), JobSpec(name="gpu", labels=("gpu", "big"))]
    )
    assert why(world, run, "y") == (
        "busy: 1 of 1 slots busy, off: suspended by ann, told: suspended by ann (disk full) and 2 more"
    )
    assert why(world, run, "z") == why(world, run, "y")
    assert len(set(world.cluster.waits(run, world.now).values())) == 3
    world.handle(MinionSuspended(minion=MinionId("busy"), by="ann", why="x"))
    assert why(world, run, "gpu") == "no minion with label gpu and big"
    tagged = world.submit("p", [JobSpec(name="x")], requires=("cp39", "cp310"))
    assert why(world, tagged, "x") == "no minion can run this plugin: it needs cp39 or cp310"


def test_a_minion_that_is_away_or_that_serves_earlier_jobs_is_called_so() -> None:
    world = World.of(ModelMinion("a"))
    world.disconnect(MinionId("a"))
    run = world.submit("p", [JobSpec(name="x")])
    assert why(world, run, "x") == "a: suspect"
    world.advance(13.0)
    assert why(world, run, "x") == "a: lost"
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x"), JobSpec(name="y")])
    world.cluster.book.minions[MinionId("a")].running.clear()  # as between two steps
    assert why(world, run, "y") == "a: free; earlier jobs go first"


def test_a_job_that_is_out_says_what_is_known_of_its_minion() -> None:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x", idempotent=False)])
    assert why(world, run, "x") == "sent to a, which has not started it yet"
    world.start("a")
    assert why(world, run, "x") == ""
    world.advance(4.0)
    assert why(world, run, "x") == "a is suspect, not heard of for 4 s"
    world.advance(9.0)
    assert (
        why(world, run, "x") == "in doubt: waits for a late result, or for a person to resolve it (cicd runs resolve)"
    )


def test_ended_jobs_and_runs_do_not_wait() -> None:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x"), JobSpec(name="y")])
    world.start("a")
    world.finish("a")
    assert why(world, run, "x") == ""
    assert world.cluster.waits(RunId("nobody"), world.now) == {}
