"""What a seed stands for: the cluster's shape, how bad the network is, what people want, what breaks and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from cicd.messages.pipeline import JobSpec, NeedOn, PipelineSpec, Retry
from cicd.testing.simulator.chance import Chance

BUSY_S = 40.0
"""How long things break; after that all is well."""
_FAULTS = 20


class Fault(StrEnum):
    """What can break, or be done to the cluster."""

    MASTER_KILL = "the master is killed"
    MASTER_CRASH = "the master's machine crashes"
    MASTER_PAUSE = "the master is paused"
    DISK_FULL = "the master's disk is full"
    CRASH = "the machine crashes"
    FOLDER_LOST = "the machine crashes, its data folder is lost"
    HOST_KILL = "the jobhost is killed"
    AGENT_KILL = "the agent is killed"
    REAPER_KILL = "a reaper is killed"
    JOURNAL_FULL = "the journal cannot be written"
    AGENT_PAUSE = "the agent is paused"
    HOST_PAUSE = "the jobhost is paused"
    MINION_PAUSE = "agent and jobhost are paused"
    SLEEP = "the machine is suspended"
    CUT = "partition, both ways"
    CUT_UP = "partition, to the master"
    CUT_DOWN = "partition, from the master"
    FLAP = "the network flaps"
    BLOAT = "the network gets slow, then breaks down"
    BREAK = "the connection breaks"
    WALL = "the wall clock jumps"
    LEAVE = "the minion is stopped on purpose"
    HOLD = "a person suspends the minion"
    DRAIN = "a person drains the minion"
    RELEASE = "a person resumes the minion"
    CANCEL = "a person cancels a run"
    CANCEL_JOB = "a person cancels a job"
    RESOLVE = "a person resolves what is in doubt"


_MASTER = (Fault.MASTER_KILL,) * 5 + (Fault.MASTER_CRASH, Fault.MASTER_PAUSE, Fault.MASTER_PAUSE, Fault.DISK_FULL)
_MINION = (
    (Fault.CRASH,) * 2
    + (Fault.HOST_KILL,) * 3
    + (Fault.AGENT_KILL,) * 4
    + (Fault.CUT,) * 3
    + (Fault.BLOAT,) * 3
    + (Fault.FLAP, Fault.BREAK, Fault.BREAK, Fault.CUT_UP, Fault.CUT_DOWN, Fault.SLEEP, Fault.SLEEP)
    + (Fault.FOLDER_LOST, Fault.REAPER_KILL, Fault.JOURNAL_FULL, Fault.LEAVE)
    + (Fault.AGENT_PAUSE, Fault.HOST_PAUSE, Fault.HOST_PAUSE, Fault.HOST_PAUSE, Fault.MINION_PAUSE, Fault.MINION_PAUSE)
)
_PEOPLE = (Fault.HOLD, Fault.RELEASE, Fault.CANCEL, Fault.CANCEL_JOB, Fault.WALL, Fault.DRAIN, Fault.RESOLVE)


_LONG = frozenset({Fault.CUT, Fault.CUT_UP, Fault.BLOAT, Fault.HOST_PAUSE, Fault.MINION_PAUSE, Fault.SLEEP})
_SIEGES = 0.15
"""Share of histories in which little happens but long silence."""
_SIEGE = (
    (Fault.BLOAT,),
    (Fault.BLOAT, Fault.BREAK),
    (Fault.BLOAT, Fault.CUT_UP),
    (Fault.HOST_PAUSE, Fault.CUT),
    (Fault.CUT, Fault.MINION_PAUSE, Fault.SLEEP),
)
_LONG_S = (1.0, 4.0, 8.0, 9.5, 12.0, 14.0, 16.0, 20.0, 25.0, 30.0)
_PACES_S = ((0.05, 0.5, 2.0), (0.05, 0.5, 2.0, 6.0, 12.0), (2.0, 12.0, 25.0), (12.0, 25.0, 40.0))


@dataclass(frozen=True)
class Blow:
    """One fault.

    Attributes:
        at_s: when.
        minion: the place of the minion that it strikes.
        for_s: how long it lasts.
        steps: of the master's: how many commits and effects it still gets done.
        holds: of the network's: whether messages wait for the end instead of being lost.
    """

    at_s: float
    fault: Fault
    minion: int
    for_s: float
    steps: int
    holds: bool


@dataclass(frozen=True)
class Machine:
    """A minion's machine: its clock's rate, its slots, when it first joins."""

    rate: float
    slots: int
    joins_s: float
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """Somebody wants a run.

    Attributes:
        spec: its pipeline: the same name, the same pipeline.
        priority: see `RunRecord`.
        supersede: whether older runs of the pipeline are to be cancelled.
    """

    at_s: float
    spec: PipelineSpec
    priority: int = 0
    supersede: bool = False


@dataclass(frozen=True)
class Weather:
    """How bad the network is: shares of messages, and seconds."""

    loss: float
    repeats: float
    slow: float
    slow_s: float


@dataclass(frozen=True)
class History:
    """Everything that a seed decides beforehand. `paces_s`: how long jobs take."""

    seed: int
    machines: tuple[Machine, ...]
    paces_s: tuple[float, ...]
    weather: Weather
    wishes: tuple[Wish, ...]
    blows: tuple[Blow, ...]


def history_of(seed: int) -> History:
    """Return what a seed stands for."""
    chance = Chance(seed, "shape")
    if chance.happens(_SIEGES):
        return _siege(chance, seed)
    machines = tuple(
        Machine(
            rate=chance.one_of((0.99, 1.0, 1.01)),
            slots=chance.whole(1, 3),
            joins_s=0.0 if index == 0 or chance.happens(0.8) else chance.between(1, 30),
            labels=("gpu",) if index == 0 or chance.happens(0.4) else (),
        )
        for index in range(chance.whole(2, 4))
    )
    weather = Weather(
        loss=chance.one_of((0.0, 0.01, 0.1)),
        repeats=chance.one_of((0.0, 0.02, 0.1)),
        slow=chance.one_of((0.0, 0.02, 0.2)),
        slow_s=chance.one_of((0.5, 4.0, 15.0)),
    )
    rich = chance.happens(0.5)
    wishes = tuple(_wish(chance, number, rich=rich) for number in range(chance.whole(2, 6)))
    paces_s = chance.one_of(_PACES_S)
    return History(seed, machines, paces_s, weather, wishes, _blows(seed, len(machines)))


def _siege(chance: Chance, seed: int) -> History:
    """Return a history of long jobs on minions that are cut off or stand still for longer than their lease."""
    machines = tuple(
        Machine(rate=chance.one_of((0.99, 1.0, 1.01)), slots=chance.whole(1, 2), joins_s=0.0, labels=())
        for _ in range(3)
    )
    jobs = tuple(JobSpec(name=f"j{index}", idempotent=not chance.happens(0.1)) for index in range(2))
    wishes = tuple(Wish(chance.between(0.5, 4.0), PipelineSpec(name=f"p{number}", jobs=jobs)) for number in range(2))
    kinds = chance.one_of(_SIEGE)
    blows = tuple(
        Blow(
            at_s=chance.between(4.0, 12.0),
            fault=chance.one_of(kinds),
            minion=chance.whole(0, 2),
            for_s=chance.between(16.0, 30.0),
            steps=0,
            holds=chance.happens(0.3),
        )
        for _ in range(chance.whole(1, 4))
    )
    weather = Weather(loss=0.0, repeats=0.0, slow=0.0, slow_s=0.0)
    return History(
        seed, machines, (12.0, 25.0, 40.0), weather, wishes, tuple(sorted(blows, key=lambda blow: blow.at_s))
    )


def _wish(chance: Chance, number: int, *, rich: bool) -> Wish:
    """Return a wish; a rich one uses what pipelines can say of runs: limits, dependencies, retries, groups."""
    at_s = chance.between(0, BUSY_S * chance.one_of((0.05, 0.3, 0.6)))
    jobs = _jobs(chance, rich=rich)
    if not rich:
        return Wish(at_s, PipelineSpec(name=f"p{number}", jobs=jobs))
    name = chance.one_of(("p0", "p1", "p2"))
    spec = PipelineSpec(
        name=name,
        jobs=jobs,
        max_parallel_runs=1 if name == "p1" else 0,
        depends_on=("p0",) if name == "p2" else (),
        run_timeout_s=chance.one_of((0.0, 0.0, 0.0, 30.0)),
    )
    return Wish(at_s, spec, priority=chance.one_of((0, 0, 5)), supersede=chance.happens(0.1))


def _jobs(chance: Chance, *, rich: bool) -> tuple[JobSpec, ...]:
    jobs: list[JobSpec] = []
    for index in range(chance.whole(1, 4)):
        spec = JobSpec(
            name=f"j{index}",
            needs=tuple(job.name for job in jobs if chance.happens(0.3)),
            idempotent=not chance.happens(0.35),
            labels=("gpu",) if chance.happens(0.15) else (),
            timeout_s=chance.one_of((0.0, 0.0, 4.0)),
        )
        jobs.append(_enriched(chance, spec) if rich else spec)
    return tuple(jobs)


def _enriched(chance: Chance, spec: JobSpec) -> JobSpec:
    on = {need: chance.one_of((NeedOn.FAILURE, NeedOn.ANY)) for need in spec.needs if chance.happens(0.3)}
    retry = Retry(attempts=chance.one_of((0, 1, 2)), backoff_s=chance.one_of((0.0, 1.0, 3.0)))
    return replace(
        spec,
        needs_on=on,
        retry=retry if spec.idempotent else Retry(),
        allow_failure=chance.happens(0.1),
        group=chance.one_of(("", "", "g", "h")),
    )


def _blows(seed: int, minions: int) -> tuple[Blow, ...]:
    chance = Chance(seed, "blows")
    # Few kinds of faults in each history: what else never strikes lets it get far enough for what does.
    every = (*_MASTER, *_MASTER, *_MINION, *_MINION, *_PEOPLE)
    kinds = [chance.one_of(every) for _ in range(chance.one_of((2, 3, 5, 8, 20)))]
    blows: list[Blow] = []
    for _ in range(chance.whole(_FAULTS // 4, _FAULTS)):
        fault = chance.one_of(kinds)
        times = (0.3, 1.0, 2.0, 4.0, 8.0, 9.5, 12.0, 14.0, 20.0)
        blows.append(
            Blow(
                at_s=chance.between(0.5, BUSY_S * chance.one_of((0.3, 0.6, 1.0))),
                fault=fault,
                minion=chance.whole(0, minions - 1),
                for_s=chance.one_of(_LONG_S if fault in _LONG else times) * chance.between(0.9, 1.1),
                steps=chance.whole(0, 8),
                holds=chance.happens(0.4),
            )
        )
    return tuple(sorted(blows, key=lambda blow: blow.at_s))
