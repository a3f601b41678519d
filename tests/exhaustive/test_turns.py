"""Every history of four events in which runs wait for each other: limits, a circle of dependencies, a group, cancels.

Each promise and invariant is checked after each event, and from each end of a history everything comes to its end.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from cicd.core.events import RunCancelRequested
from cicd.messages.base import MinionId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A = MinionId("a")
SHIP = [JobSpec(name="ship", group="deploy"), JobSpec(name="after", needs=("ship",))]
FREE = [JobSpec(name="free")]
LENGTH = 4
ENOUGH = 50


def end(world: World, status: Status) -> None:
    """The oldest job that runs ends."""
    world.start("a")
    minion = world.minions[A]
    for key in sorted(minion.alive)[:1]:
        told = Status.CANCELLED if key in minion.cancelling else status
        world.say(A, minion.finish(key, told, []))
    world.settle()


def cancel(world: World, place: int) -> None:
    runs = list(world.cluster.book.runs)
    if runs:
        world.handle(RunCancelRequested(run=runs[place], by="ann"))
        world.settle()


def restart(world: World) -> None:
    world.restart_master()
    world.connect(A)
    world.settle()


ACTS: dict[str, Callable[[World], object]] = {
    "web": lambda world: world.submit("web", SHIP, limit=1, depends_on=["app"]),
    "app": lambda world: world.submit("app", SHIP, depends_on=["web"], priority=1),
    "newest": lambda world: world.submit("web", FREE, limit=2, supersede=True),
    "succeed": lambda world: end(world, Status.SUCCEEDED),
    "fail": lambda world: end(world, Status.FAILED),
    "cancel the oldest": lambda world: cancel(world, 0),
    "cancel the newest": lambda world: cancel(world, -1),
    "restart": restart,
}


@pytest.mark.timeout(600)
def test_whatever_waits_gets_its_turn() -> None:
    first = World.of(ModelMinion("a", slots=2))
    states = [((), pickle.dumps(first))]
    for _ in range(LENGTH):
        following = []
        for story, frozen in states:
            for name, act in ACTS.items():
                world = pickle.loads(frozen)  # noqa: S301  our own
                try:
                    act(world)
                except AssertionError as error:
                    raise AssertionError(f"{story} {name}: {error}") from error
                following.append(((*story, name), pickle.dumps(world)))
        states = following
    for story, frozen in states:
        world = pickle.loads(frozen)  # noqa: S301  our own
        world.check_always = False
        for _ in range(ENOUGH):
            if not world.cluster.book.runs:
                break
            end(world, Status.SUCCEEDED)
        assert not world.cluster.book.runs, f"{story}: these wait for ever: {world.cluster.run_waits(world.store.runs)}"
