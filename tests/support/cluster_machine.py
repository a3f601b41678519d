"""Long random histories: minions with slots, labels and tags, graphs of jobs, a network that loses, repeats, reorders.

Every promise is checked after every batch (`cicd.testing.model.promises`). At the end of each history everybody is well
again and every message arrives: then every run must end.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cicd.core.events import MinionDrained, MinionResumed, MinionSuspended, RunCancelRequested
from cicd.messages.base import MinionId
from cicd.messages.cluster import HealthReason
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

LABELS = ("gpu", "arm")
TAGS = ("cp311", "cp312")
_ENOUGH_ROUNDS = 400


@st.composite
def minions(draw: st.DrawFn) -> list[ModelMinion]:
    """Three to five minions; the first can run anything. Their clocks are wrong by up to five per cent."""
    found = []
    for index in range(draw(st.integers(3, 5))):
        any_job = index == 0
        labels = LABELS if any_job else tuple(draw(st.sets(st.sampled_from(LABELS))))
        tags = TAGS if any_job else tuple(draw(st.sets(st.sampled_from(TAGS))))
        found.append(
            ModelMinion(
                f"m{index}",
                slots=draw(st.integers(1, 3)),
                labels=labels,
                tags=tags,
                rate=draw(st.sampled_from((0.95, 1.0, 1.05))),
                now_s=draw(st.sampled_from((0.0, 50_000.0))),
            )
        )
    return found


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[JobSpec, ...]:
    """One to five jobs, each of which may need any before it."""
    jobs: list[JobSpec] = []
    for index in range(draw(st.integers(1, 5))):
        needs = tuple(draw(st.sets(st.sampled_from([job.name for job in jobs])))) if jobs else ()
        jobs.append(
            JobSpec(
                name=f"j{index}",
                needs=needs,
                idempotent=draw(st.sampled_from((True, True, False))),
                labels=draw(st.sampled_from(((), (), ("gpu",), ("arm",), LABELS))),
                group=draw(st.sampled_from(("", "", "deploy", "db"))),
            )
        )
    return tuple(jobs)


class ClusterMachine(RuleBasedStateMachine):
    """Drives a world; whatever breaks a promise raises."""

    world: World

    @initialize(minions=minions(), jobs=pipelines())
    def begin(self, minions: list[ModelMinion], jobs: tuple[JobSpec, ...]) -> None:
        self.world = World.of(*minions)
        self.world.submit("p", jobs)

    def some_minion(self, data: st.DataObject) -> MinionId:
        return data.draw(st.sampled_from(list(self.world.minions)), label="minion")

    # ---- people

    @rule(jobs=pipelines(), requires=st.sampled_from(((), ("cp312",), TAGS)), priority=st.sampled_from((0, 0, 5, -5)))
    def submit(self, jobs: tuple[JobSpec, ...], requires: tuple[str, ...], priority: int) -> None:
        self.world.submit("p", jobs, requires=requires, priority=priority)

    @rule(
        name=st.sampled_from("pqr"),
        jobs=pipelines(),
        limit=st.integers(0, 2),
        depends_on=st.sets(st.sampled_from("pqr")),
        priority=st.sampled_from((0, 0, 5)),
        ref=st.sampled_from(("main", "next")),
        supersede=st.sampled_from((False, False, True)),
    )
    def submit_what_waits(self, name: str, jobs: tuple[JobSpec, ...], depends_on: set[str], **how: object) -> None:
        """A run that may have to wait for others of its pipeline, or of pipelines that depend on it in turn."""
        self.world.submit(name, jobs, depends_on=sorted(depends_on), **how)

    @precondition(lambda self: self.world.cluster.book.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(list(self.world.cluster.book.runs)), label="run")
        self.world.handle(RunCancelRequested(run=run, by="x"))

    @rule(data=st.data(), said=st.sampled_from((MinionSuspended, MinionDrained, MinionResumed)))
    def suspend_drain_or_resume(self, data: st.DataObject, said: type) -> None:
        why = {} if said is MinionResumed else {"why": "y"}
        self.world.handle(said(minion=self.some_minion(data), by="x", **why))

    # ---- the network

    @rule()
    def deliver_all(self) -> None:
        self.world.settle()

    @precondition(lambda self: self.world.to_master)
    @rule(data=st.data(), again=st.booleans())
    def deliver_one_to_master(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001  drawn by name
        letter = data.draw(st.sampled_from(self.world.to_master), label="letter")
        if not again:
            self.world.to_master.remove(letter)
        self.world.deliver_to_master(letter)

    @precondition(lambda self: self.world.to_minions)
    @rule(data=st.data(), again=st.booleans())
    def deliver_one_to_a_minion(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001  drawn by name
        letter = data.draw(st.sampled_from(self.world.to_minions), label="letter")
        if not again:
            self.world.to_minions.remove(letter)
        self.world.deliver_to_minion(letter)

    @precondition(lambda self: self.world.to_minions or self.world.to_master)
    @rule(data=st.data())
    def lose_one(self, data: st.DataObject) -> None:
        where = data.draw(st.sampled_from([way for way in (self.world.to_minions, self.world.to_master) if way]))
        where.remove(data.draw(st.sampled_from(where), label="letter"))

    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        self.world.connect(self.some_minion(data))

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        self.world.disconnect(self.some_minion(data))

    # ---- minions and the master

    @rule(data=st.data())
    def speak(self, data: st.DataObject) -> None:
        """A heartbeat; or a Hello again, where none was answered."""
        self.speak_for(self.some_minion(data))

    def speak_for(self, name: MinionId) -> None:
        minion = self.world.minions[name]
        self.world.say(name, [minion.beat() if minion.welcomed else minion.hello()])

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        name = self.some_minion(data)
        self.world.minions[name].restart()
        self.world.connect(name)

    @rule(data=st.data(), sources=st.sampled_from(((), ("disk",), ("disk", "check.a"))))
    def feel(self, data: st.DataObject, sources: tuple[str, ...]) -> None:
        """How well a minion is, it says with its next word."""
        reasons = tuple(HealthReason(source=source, text=source) for source in sources)
        self.world.minions[self.some_minion(data)].health = reasons

    @rule(data=st.data())
    def goodbye(self, data: st.DataObject) -> None:
        name = self.some_minion(data)
        minion = self.world.minions[name]
        if minion.welcomed:
            self.world.say(name, [minion.goodbye()])

    @rule()
    def restart_master(self) -> None:
        self.world.restart_master()

    @rule(data=st.data())
    def start_jobs(self, data: st.DataObject) -> None:
        name = self.some_minion(data)
        minion = self.world.minions[name]
        for key in sorted(minion.fetching):
            self.world.say(name, minion.start(key))

    @rule(data=st.data(), status=st.sampled_from((Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT)))
    def end_jobs(self, data: st.DataObject, status: Status) -> None:
        self.end_jobs_of(self.some_minion(data), status)

    def end_jobs_of(self, name: MinionId, status: Status) -> None:
        minion = self.world.minions[name]
        for key in sorted(minion.alive):
            ended = Status.CANCELLED if key in minion.cancelling else status
            self.world.say(name, minion.finish(key, ended, [("from", name)]))

    # ---- time

    @rule(seconds=st.sampled_from((0.5, 1.0, 2.0, 4.0, 9.0, 14.0)))
    def silence(self, seconds: float) -> None:
        """Nobody says anything."""
        self.world.advance(seconds)

    @rule(rounds=st.integers(1, 12))
    def quiet_time(self, rounds: int) -> None:
        """Everybody beats, everything arrives."""
        for _ in range(rounds):
            self.round()

    def round(self) -> None:
        self.world.advance(1.0)
        for name in self.world.minions:
            self.speak_for(name)
        self.world.settle()

    @rule(rounds=st.integers(1, 3), status=st.sampled_from((Status.SUCCEEDED, Status.FAILED)))
    def busy_time(self, rounds: int, status: Status) -> None:
        """Everything arrives, jobs start; those that ran already end."""
        for _ in range(rounds):
            self.world.settle()
            for name, minion in self.world.minions.items():
                self.end_jobs_of(name, status)
                for key in sorted(minion.fetching):
                    self.world.say(name, minion.start(key))

    @rule(stall_s=st.sampled_from((2.0, 20.0)))
    def stall(self, stall_s: float) -> None:
        """The master stands still; the others do not."""
        self.world.now_s += stall_s
        for minion in self.world.minions.values():
            minion.pass_time(stall_s)
        self.world.handle()

    # ---- in the end

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.settle()
        for name, minion in world.minions.items():
            minion.health = ()
            world.handle(MinionResumed(minion=name, by="x"))
            if not world.connections[name]:
                world.connect(name)
        for _ in range(_ENOUGH_ROUNDS):
            if not world.cluster.book.runs:
                break
            self.round()
            for name, minion in world.minions.items():
                for key in sorted(minion.fetching):
                    world.say(name, minion.start(key))
                self.end_jobs_of(name, Status.SUCCEEDED)
            world.settle()
            self.resolve_doubt()
        left = {
            job.record.id: (job.record, world.cluster.waits(job.run.record.id, world.now))
            for job in world.cluster.book.jobs.values()
        }
        assert not world.cluster.book.runs, f"all is well, and these do not end: {left}"
        for minion in world.minions.values():
            assert not minion.alive
            assert not minion.fetching

    def resolve_doubt(self) -> None:
        """A person gives up what is in doubt."""
        for run in list(self.world.cluster.book.runs.values()):
            if run.tally[JobState.UNKNOWN] and not run.record.cancel_by:
                self.world.handle(RunCancelRequested(run=run.record.id, by="x"))
