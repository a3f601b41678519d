"""Conditions of needs, failures that are allowed, and what follows for a run."""

from __future__ import annotations

import pytest

from cicd.core import needs
from cicd.core.events import JobCancelRequested, RunCancelRequested
from cicd.core.jobs import NEEDS_LIMIT_BYTES
from cicd.core.lifecycle import FAILURES, TERMINAL
from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.pipeline import JobSpec, NeedOn
from cicd.messages.run import JobRecord, JobState, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

S, F, X = NeedOn.SUCCESS, NeedOn.FAILURE, NeedOn.ANY


def job(name: str, /, *, allow: bool = False, **on: NeedOn) -> JobSpec:
    conditions = {need: how for need, how in on.items() if how is not S}
    return JobSpec(name=name, needs=tuple(on), needs_on=conditions, allow_failure=allow)


def world_of(*specs: JobSpec, slots: int = 9) -> tuple[World, RunId]:
    world = World.of(ModelMinion("a", slots=slots))
    return world, world.submit("p", specs)


def end(world: World, status: Status = Status.SUCCEEDED) -> None:
    world.start("a")
    world.finish("a", status)


def states(world: World, run: RunId) -> str:
    return " ".join(str(job.state) for job in world.store.jobs.values() if job.run == run)


def outcome(world: World, run: RunId) -> RunState:
    return world.store.runs[run].state


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("allow", [False, True])
def test_which_end_meets_which_need(state: JobState, allow: bool) -> None:  # noqa: FBT001  a column
    record = JobRecord(id=JobId("r-0"), run=RunId("r"), index=0, name="a", state=state, allow_failure=allow)
    met = {on for on in NeedOn if needs.is_met(job("b", a=on), record)}
    expected = set()
    if state is JobState.SUCCEEDED or (state in FAILURES and allow):
        expected.add(S)
    if state in (JobState.FAILED, JobState.TIMED_OUT, JobState.POISONED):
        expected.add(F)
    if state in TERMINAL:
        expected.add(X)
    assert met == expected
    assert needs.is_allowed(record) == (allow and state in FAILURES)


def test_a_cleanup_job_runs_after_a_failure_and_the_run_has_failed() -> None:
    world, run = world_of(job("a"), job("next", a=S), job("clean", a=F), job("always", next=X))
    end(world, Status.TIMED_OUT)
    assert states(world, run) == "timed_out skipped assigned assigned"
    end(world)
    assert states(world, run) == "timed_out skipped succeeded succeeded"
    assert outcome(world, run) is RunState.FAILED


def test_what_was_there_for_a_failure_is_skipped_without_one_and_the_run_has_succeeded() -> None:
    world, run = world_of(job("a"), job("clean", a=F), job("told", clean=S), job("always", clean=X))
    end(world)
    assert states(world, run) == "succeeded skipped skipped assigned"
    assert world.job(run, "clean").message == "it needs the failure of a, which succeeded"
    assert world.job(run, "told").message == "it needs clean, which was skipped"
    end(world)
    assert outcome(world, run) is RunState.SUCCEEDED


def test_a_failure_that_is_allowed_is_fine_for_what_needs_success_and_for_the_run() -> None:
    world, run = world_of(job("a", allow=True), job("next", a=S), job("clean", a=F))
    end(world, Status.FAILED)
    assert states(world, run) == "failed assigned assigned"
    assert world.job(run, "a").allow_failure
    end(world)
    assert outcome(world, run) is RunState.SUCCEEDED
    world, run = world_of(job("a", allow=True), job("b"))
    end(world, Status.FAILED)
    assert outcome(world, run) is RunState.FAILED


def test_all_needs_have_to_be_met_and_the_first_that_is_not_skips() -> None:
    world, run = world_of(job("a"), job("b", a=S), job("both", a=X, b=F))
    assert needs.named(job("z", a=X), "a") == "the end of a"
    end(world)
    assert world.cluster.waits(run, world.now)[world.job(run, "both").id] == "needs the failure of b (assigned)"
    end(world)
    assert states(world, run) == "succeeded succeeded skipped"


def test_nothing_begins_in_a_run_that_is_cancelled_no_cleanup_either() -> None:
    world, run = world_of(job("a"), job("clean", a=F), job("always", a=X), job("last", always=X))
    world.start("a")
    world.handle(RunCancelRequested(run=run, by="ann"))
    assert states(world, run) == "running cancelled cancelled cancelled"
    assert world.job(run, "last").queued_s == 0.0, "it was never ready"
    world.finish("a", Status.FAILED)
    assert outcome(world, run) is RunState.CANCELLED


def test_a_job_that_is_cancelled_by_itself_meets_any_and_nothing_else() -> None:
    world, run = world_of(job("a"), job("next", a=S), job("clean", a=F), job("always", a=X))
    world.start("a")
    world.handle(JobCancelRequested(job=world.job(run, "a").id, by="ann"))
    world.settle()
    assert world.minions[MinionId("a")].cancelling
    world.finish("a", Status.CANCELLED)
    assert states(world, run) == "cancelled skipped skipped assigned"
    end(world)
    assert outcome(world, run) is RunState.CANCELLED
    assert world.store.runs[run].cancel_by == ""


def test_needs_whose_outputs_fit_no_message_fail_a_chain_of_any_length_in_one_step() -> None:
    many = [job(f"j{i}") for i in range(9)]
    chain = [job("end0", **{spec.name: X for spec in many})]
    for number in range(1, 2000):
        before = f"end{number - 1}"
        chain.append(job(f"end{number}", **{spec.name: S for spec in many}, **{before: F}))
    world = World.of(ModelMinion("a", slots=9))
    world.check_always = False
    run = world.submit("p", [*many, *chain])
    world.start("a")
    world.finish("a", outputs={"o": "x" * (NEEDS_LIMIT_BYTES // 8)})
    assert world.job(run, "end1999").state is JobState.FAILED
    assert outcome(world, run) is RunState.FAILED
