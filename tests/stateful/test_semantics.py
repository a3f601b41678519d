"""Long random histories of what jobs ask for and people do: retries, conditions, limits, cancel, words, repeated runs.

Everything of `cluster_machine` happens too; the same promises are checked after every batch.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from cicd.core.events import JobCancelRequested, JobResolved
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.messages.base import JobId
from cicd.messages.pipeline import JobSpec, NeedOn, Retry
from cicd.messages.run import FailureKind, JobState, ResolvedAs, Status
from cluster_machine import ClusterMachine

KINDS = (FailureKind.USER, FailureKind.OUT_OF_MEMORY, FailureKind.INFRASTRUCTURE)


@st.composite
def demanding(draw: st.DrawFn) -> tuple[JobSpec, ...]:
    """One to five jobs that ask for retries, for conditions, for leave to fail."""
    jobs: list[JobSpec] = []
    for index in range(draw(st.integers(1, 5))):
        needs = sorted(draw(st.sets(st.sampled_from([job.name for job in jobs])))) if jobs else []
        conditions = {need: draw(st.sampled_from(NeedOn)) for need in needs}
        idempotent = draw(st.sampled_from((True, True, False)))
        retry = Retry(
            attempts=draw(st.integers(0, 2)) if idempotent else 0,
            backoff_s=draw(st.sampled_from((0.0, 1.0, 5.0))),
            on=draw(st.sampled_from(((), (), (FailureKind.TIMEOUT,)))),
        )
        jobs.append(
            JobSpec(
                name=f"j{index}",
                needs=tuple(needs),
                needs_on={need: on for need, on in conditions.items() if on is not NeedOn.SUCCESS},
                idempotent=idempotent,
                retry=retry,
                allow_failure=draw(st.booleans()),
            )
        )
    return tuple(jobs)


class SemanticsMachine(ClusterMachine):
    """Asks for more than the other."""

    @rule(jobs=demanding(), timeout_s=st.sampled_from((0.0, 0.0, 15.0, 60.0)))
    def submit_what_is_demanding(self, jobs: tuple[JobSpec, ...], timeout_s: float) -> None:
        self.world.submit("d", jobs, timeout_s=timeout_s)

    @precondition(lambda self: any(run.state in TERMINAL_RUNS for run in self.world.store.runs.values()))
    @rule(data=st.data())
    def repeat_a_run(self, data: st.DataObject) -> None:
        store = self.world.store
        ended = [run.id for run in store.runs.values() if run.state in TERMINAL_RUNS]
        old = store.runs[data.draw(st.sampled_from(ended), label="run")]
        jobs = store.plugins[old.plugin].spec.jobs
        self.world.submit(old.pipeline_name, jobs, retry_of=old.id)

    @precondition(lambda self: self.world.cluster.book.jobs)
    @rule(data=st.data(), grace_s=st.sampled_from((None, None, 5.0, 0.0)))
    def cancel_a_job(self, data: st.DataObject, grace_s: float | None) -> None:
        job = data.draw(st.sampled_from(list(self.world.cluster.book.jobs)), label="job")
        self.world.handle(JobCancelRequested(job=job, by="y", grace_s=grace_s))

    @precondition(lambda self: self.in_doubt())
    @rule(data=st.data(), how=st.sampled_from(ResolvedAs))
    def say_what_became(self, data: st.DataObject, how: ResolvedAs) -> None:
        self.world.handle(JobResolved(job=data.draw(st.sampled_from(self.in_doubt())), how=how, by="y"))

    def in_doubt(self) -> list[JobId]:
        return [job.record.id for job in self.world.cluster.book.jobs.values() if job.record.state is JobState.UNKNOWN]

    @rule(data=st.data())
    def cannot_start(self, data: st.DataObject) -> None:
        name = self.some_minion(data)
        minion = self.world.minions[name]
        for key in sorted(minion.fetching):
            self.world.say(name, minion.cannot_start(key))

    @rule(data=st.data(), kind=st.sampled_from(KINDS))
    def fail_jobs(self, data: st.DataObject, kind: FailureKind) -> None:
        name = self.some_minion(data)
        minion = self.world.minions[name]
        for key in sorted(minion.alive):
            self.world.say(name, minion.finish(key, Status.FAILED, kind=kind))

    def resolve_doubt(self) -> None:
        """People settle what is in doubt, one way or the other."""
        for number, job in enumerate(self.in_doubt()):
            self.world.handle(JobResolved(job=job, how=list(ResolvedAs)[number % 3], by="y", why="to end it"))


SemanticsMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSemantics = SemanticsMachine.TestCase
