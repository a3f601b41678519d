"""People: they ask for runs until they are answered, cancel some, and give up what is in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd.core.events import Asker, Event, JobCancelRequested, JobResolved, RunCancelRequested, RunSubmitted
from cicd.core.lifecycle import TERMINAL, TERMINAL_RUNS
from cicd.core.plan import Reply
from cicd.messages.base import Digest, JobId, PipelineId, RunId
from cicd.messages.pipeline import PluginRecord
from cicd.messages.run import Dependency, JobState, ResolvedAs, RunRecord, Trigger
from cicd.testing.simulator.history import Wish

if TYPE_CHECKING:
    from cicd.testing.simulator.world import World

_ASK_AGAIN_S = 2.0


class People:
    """Everybody who uses the cluster.

    Attributes:
        told: the run that each wish was acknowledged as.
    """

    def __init__(self, world: World, wishes: tuple[Wish, ...]) -> None:
        self._world = world
        self._asked: dict[Asker, int] = {}
        self._count = 0
        self.told: dict[int, RunId] = {}
        self.wishes = wishes
        for number, wish in enumerate(wishes):
            self._add_plugin(number, wish)
            world.clockwork.after(wish.at_s, lambda number=number: self._ask(number))  # type: ignore[misc]  # bound now

    def _add_plugin(self, number: int, wish: Wish) -> None:
        digest = Digest(f"{number:064x}")
        self._world.master.store.plugins[digest] = PluginRecord(
            digest=digest,
            size_bytes=1,
            source_digest=digest,
            source_size_bytes=1,
            commit="c",
            language="python",
            spec=wish.spec,
        )

    def _ask(self, number: int) -> None:
        if number in self.told:
            return
        world = self._world
        world.master.process.do(lambda: self._at_desk(number))
        world.clockwork.after(_ASK_AGAIN_S, lambda: self._ask(number))

    def _at_desk(self, number: int) -> None:
        """The master's desk: a request that is known is answered from the store, anything else is the core's."""
        master = self._world.master
        known = master.store.requests.get(f"wish-{number}")
        if known is not None:
            self._hear(number, known)
            return
        self._count += 1
        wish = self.wishes[number]
        plugin = master.store.plugins[Digest(f"{number:064x}")]
        asker = Asker(self._count)
        self._asked[asker] = number
        run = RunRecord(
            id=RunId(f"r{self._count:03}"),
            pipeline=PipelineId(plugin.spec.name),
            pipeline_name=plugin.spec.name,
            number=0,
            plugin=plugin.digest,
            source_digest=plugin.digest,
            commit="c",
            trigger=Trigger(by="someone"),
            job_count=0,
            priority=wish.priority,
            depends_on=tuple(Dependency(pipeline=PipelineId(name), name=name) for name in wish.spec.depends_on),
        )
        self._world.tell("people", f"wish {number} is asked for as {run.id}")
        master.put(
            RunSubmitted(run=run, spec=plugin.spec, supersede=wish.supersede, request=f"wish-{number}", asker=asker)
        )

    def _hear(self, number: int, run: RunId) -> None:
        self._world.tell("people", f"wish {number} is acknowledged as {run}")
        self.told[number] = run

    def answered(self, reply: Reply) -> None:
        """An answer of the master."""
        number = self._asked.pop(reply.asker, None)
        if number is not None and isinstance(reply.result, RunRecord):
            self._hear(number, reply.result.id)

    def master_gone(self) -> None:
        """Nobody will be answered by that process any more."""
        self._asked.clear()

    def cancel_one(self) -> None:
        """Cancel some run."""
        store = self._world.master.store
        active = [run.id for run in store.runs.values() if run.state not in TERMINAL_RUNS]
        if active:
            self.cancel(self._world.chance.one_of(active))

    def cancel_one_job(self) -> None:
        """Cancel some job."""
        store = self._world.master.store
        active = [job.id for job in store.jobs.values() if job.state not in TERMINAL]
        if active:
            job = self._world.chance.one_of(active)
            self._world.tell("people", f"cancel job {job}")
            self._call(JobCancelRequested(job=job, by="someone", grace_s=self._world.chance.one_of((None, 0.0, 1.0))))

    def cancel(self, run: RunId) -> None:
        """Cancel a run."""
        self._world.tell("people", f"cancel {run}")
        self._call(RunCancelRequested(run=run, by="someone"))

    def _call(self, event: Event) -> None:
        master = self._world.master
        master.process.do(lambda: master.put(event))

    def resolve_doubts(self) -> None:
        """Say what became of jobs in doubt: whatever, or that it is safe to run them again."""
        store = self._world.master.store
        for job in store.jobs.values():
            if job.state is JobState.UNKNOWN:
                how = self._world.chance.one_of(tuple(ResolvedAs))
                self._world.tell("people", f"resolve {job.id} as {how}")
                self._call(JobResolved(job=JobId(job.id), how=how, by="someone"))

    def give_up_doubts(self) -> None:
        """Cancel runs that wait for a person."""
        store = self._world.master.store
        for run in list(store.runs.values()):
            if run.state in TERMINAL_RUNS or run.cancel_by:
                continue
            if any(job.state is JobState.UNKNOWN for job in store.jobs.values() if job.run == run.id):
                self.cancel(run.id)
