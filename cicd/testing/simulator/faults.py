"""What each fault does, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cicd.core.events import MinionDrained, MinionResumed, MinionSuspended
from cicd.messages.base import MinionId
from cicd.testing.simulator.clockwork import Action
from cicd.testing.simulator.history import Blow, Fault
from cicd.testing.simulator.machine import Machine

if TYPE_CHECKING:
    from cicd.testing.simulator.world import World

_FLAP_S = 0.7
_BLOAT_S = 5.0
_BOTH = ("up", "down")

Strike = Callable[["World", Blow, Machine], Action | None]
"""Does it; returns what undoes it when its time is over, if anything has to."""


# ---- the master


def _master_kill(world: World, blow: Blow, _machine: Machine) -> None:
    world.master.fuse = blow.steps


def _master_crash(world: World, blow: Blow, _machine: Machine) -> None:
    world.master.kill(blow.for_s / 2, crash=True)


def _disk_full(world: World, _blow: Blow, _machine: Machine) -> Action:
    master = world.master
    master.disk_full += 1

    def undo() -> None:
        master.disk_full -= 1

    return undo


def _wall(world: World, _blow: Blow, _machine: Machine) -> None:
    world.master.wall_jump_s += world.chance.one_of((-3600.0, 3600.0, 1e8))


# ---- minions


def _reaper_kill(_world: World, _blow: Blow, machine: Machine) -> None:
    for attempt in [attempt for attempt in machine.attempts if attempt.alive][:1]:
        attempt.kill("reaper")


def _journal_full(_world: World, _blow: Blow, machine: Machine) -> Action:
    machine.journal_full += 1

    def undo() -> None:
        machine.journal_full -= 1

    return undo


# ---- the network


def _cut(*directions: str) -> Strike:
    def strike(world: World, blow: Blow, machine: Machine) -> Action:
        if machine.agent is not None and machine.agent.connection is not None and not blow.holds:
            late_s = world.chance.between(0, 2 * blow.for_s)
            world.network.drop(machine.agent.connection, late_s, world.chance.between(0, 2 * blow.for_s))
        return world.network.cut(machine.name, directions, holds=blow.holds)

    return strike


def _flap(world: World, blow: Blow, machine: Machine) -> Action:
    over: list[bool] = []
    cuts: list[Action] = []

    def flap() -> None:
        if over:
            return
        if cuts:
            cuts.pop()()
        else:
            cuts.append(world.network.cut(machine.name, _BOTH, holds=blow.holds))
        world.clockwork.after(_FLAP_S, flap)

    def undo() -> None:
        over.append(True)
        while cuts:
            cuts.pop()()

    flap()
    return undo


def _bloat(world: World, blow: Blow, machine: Machine) -> Action:
    """Messages take seconds; a while later nothing gets through any more."""
    over: list[bool] = []
    cuts: list[Action] = []
    direction = world.chance.one_of(("down", "down", "up"))
    world.network.bloat(machine.name, direction, world.chance.between(1.0, 9.0))

    def break_down() -> None:
        if not over:
            world.network.bloat(machine.name, direction, 0.0)
            cuts.append(world.network.cut(machine.name, ("up",), holds=False))

    def undo() -> None:
        over.append(True)
        world.network.bloat(machine.name, direction, 0.0)
        while cuts:
            cuts.pop()()

    world.clockwork.after(min(blow.for_s / 3, _BLOAT_S), break_down)
    return undo


def _break(world: World, _blow: Blow, machine: Machine) -> None:
    if machine.agent is not None and machine.agent.connection is not None:
        late_s = world.chance.one_of((0.0, 0.5, 5.0))
        world.network.drop(machine.agent.connection, world.chance.between(0, 0.5), late_s)


# ---- people


def hold(world: World, minion: MinionId, *, suspended: bool) -> None:
    """A person suspends or resumes a minion."""
    held = MinionSuspended(minion=minion, by="someone", why="a look")
    event = held if suspended else MinionResumed(minion=minion, by="someone")
    world.master.process.do(lambda: world.master.put(event))


def _drain(world: World, _blow: Blow, machine: Machine) -> Action:
    event = MinionDrained(minion=machine.id, by="someone", why="a look")
    world.master.process.do(lambda: world.master.put(event))

    def undo() -> None:
        hold(world, machine.id, suspended=False)
        machine.come_back()

    return undo


FAULTS: Mapping[Fault, Strike] = {
    Fault.MASTER_KILL: _master_kill,
    Fault.MASTER_CRASH: _master_crash,
    Fault.MASTER_PAUSE: lambda world, _blow, _machine: world.master.pause(),
    Fault.DISK_FULL: _disk_full,
    Fault.WALL: _wall,
    Fault.CANCEL: lambda world, _blow, _machine: world.people.cancel_one(),
    Fault.CANCEL_JOB: lambda world, _blow, _machine: world.people.cancel_one_job(),
    Fault.RESOLVE: lambda world, _blow, _machine: world.people.resolve_doubts(),
    Fault.CRASH: lambda _world, blow, machine: machine.crash(blow.for_s),
    Fault.FOLDER_LOST: lambda _world, blow, machine: machine.crash(blow.for_s, folder_lost=True),
    Fault.HOST_KILL: lambda _world, blow, machine: machine.kill_host(blow.for_s / 4),
    Fault.AGENT_KILL: lambda _world, _blow, machine: machine.kill_agent(),
    Fault.REAPER_KILL: _reaper_kill,
    Fault.JOURNAL_FULL: _journal_full,
    Fault.AGENT_PAUSE: lambda _world, _blow, machine: machine.pause(machine.agent),
    Fault.HOST_PAUSE: lambda _world, _blow, machine: machine.pause(machine.host),
    Fault.MINION_PAUSE: lambda _world, _blow, machine: machine.pause(machine.agent, machine.host),
    Fault.SLEEP: lambda _world, _blow, machine: machine.sleep(),
    Fault.CUT: _cut(*_BOTH),
    Fault.CUT_UP: _cut("up"),
    Fault.CUT_DOWN: _cut("down"),
    Fault.FLAP: _flap,
    Fault.BLOAT: _bloat,
    Fault.BREAK: _break,
    Fault.LEAVE: lambda _world, _blow, machine: machine.leave(),
    Fault.HOLD: lambda world, _blow, machine: hold(world, machine.id, suspended=True),
    Fault.DRAIN: _drain,
    Fault.RELEASE: lambda world, _blow, machine: hold(world, machine.id, suspended=False),
}
