"""Cancelling: of one job, with a grace, again with a shorter one; and a run's time limit."""

from __future__ import annotations

import pytest

from cicd.core.events import Asker, JobCancelRequested, Now, RunCancelRequested, Ticked
from cicd.core.plan import Send
from cicd.core.settings import CoreSettings
from cicd.errors import ConflictError, NotFoundError
from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.minion import CancelJob
from cicd.messages.pipeline import JobSpec, Retry
from cicd.messages.run import JobState, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

TWO = (JobSpec(name="x"), JobSpec(name="y", needs=("x",)))


def running(*specs: JobSpec, timeout_s: float = 0.0, settings: CoreSettings | None = None) -> tuple[World, RunId]:
    world = World.of(ModelMinion("a", slots=2), settings=settings)
    run = world.submit("p", specs or TWO, timeout_s=timeout_s)
    world.start("a")
    return world, run


def graces(plan: object) -> list[float]:
    sent = [effect.message for effect in plan.effects if isinstance(effect, Send)]  # type: ignore[attr-defined]  a plan
    return [message.grace_s for message in sent if isinstance(message, CancelJob)]


def wait(world: World, seconds: float) -> None:
    end = world.now_s + seconds
    while world.now_s < end:
        world.advance(min(1.0, end - world.now_s))
        world.beat("a")


# ---- one job -------------------------------------------------------------------------------------------


def test_one_job_is_asked_to_stop_with_the_grace_that_was_said_and_the_others_go_on() -> None:
    world, run = running(*TWO, JobSpec(name="z"))
    job = world.job(run, "x").id
    plan = world.handle(JobCancelRequested(job=job, by="ann", grace_s=2.5, asker=Asker(99)))
    assert graces(plan) == [2.5]
    assert world.replies[Asker(99)] == world.store.runs[run]
    assert (world.job(run, "x").cancel_by, world.job(run, "z").state) == ("ann", JobState.RUNNING)
    world.restart_master()
    world.connect(MinionId("a"))
    world.settle()
    assert world.minions[MinionId("a")].cancelling == {(job, 1)}, "it is asked again after a restart"
    world.finish("a", Status.CANCELLED)
    assert (world.job(run, "x").state, world.job(run, "y").state) == (JobState.CANCELLED, JobState.SKIPPED)
    assert world.store.runs[run].state is RunState.CANCELLED


def test_a_job_that_has_not_begun_ends_at_once_one_in_doubt_is_given_up() -> None:
    world, run = running(JobSpec(name="d", idempotent=False), *TWO, JobSpec(name="w", retry=Retry(attempts=1)))
    world.restart("a")
    for name in ("d", "y", "w"):
        world.handle(JobCancelRequested(job=world.job(run, name).id, by="ann"))
    world.settle()
    assert {world.job(run, name).state for name in ("d", "y")} == {JobState.CANCELLED}
    assert world.job(run, "y").message == "cancelled by ann"
    again = JobCancelRequested(job=world.job(run, "y").id, by="ann", asker=Asker(98))
    world.handle(again)
    assert isinstance(world.replies[Asker(98)], ConflictError)
    world.handle(JobCancelRequested(job=JobId("no-0"), by="ann", asker=Asker(97)))
    assert isinstance(world.replies[Asker(97)], NotFoundError)


def test_a_job_that_is_cancelled_and_fails_or_is_lost_is_not_tried_again() -> None:
    for how in ("fail", "lose", "withdraw"):
        world, run = running(JobSpec(name="x", retry=Retry(attempts=3)))
        if how == "withdraw":
            world = World.of(ModelMinion("a"))
            run = world.submit("p", [JobSpec(name="x")])
            world.to_minions.clear()
        world.handle(JobCancelRequested(job=world.job(run, "x").id, by="ann"))
        if how == "fail":
            world.finish("a", Status.FAILED)
        else:
            world.to_minions.clear()
            world.restart("a")
        state = world.job(run, "x").state
        assert state is (JobState.FAILED if how == "fail" else JobState.CANCELLED), how


# ---- grace ---------------------------------------------------------------------------------------------


def test_a_second_word_counts_when_its_grace_is_shorter() -> None:
    world, run = running()
    assert graces(world.handle(RunCancelRequested(run=run, by="ann"))) == [10.0]
    assert graces(world.handle(RunCancelRequested(run=run, by="bob", grace_s=20.0))) == []
    assert graces(world.handle(RunCancelRequested(run=run, by="bob", grace_s=10.0))) == []
    assert graces(world.handle(RunCancelRequested(run=run, by="bob", grace_s=0.0))) == [0.0]
    assert graces(world.handle(RunCancelRequested(run=run, by="bob", grace_s=0.0))) == []
    assert world.store.runs[run].cancel_by == "ann"


def test_the_least_of_what_was_said_of_a_job_and_of_its_run_counts() -> None:
    world, run = running()
    job = world.job(run, "x").id
    assert graces(world.handle(JobCancelRequested(job=job, by="ann", grace_s=3.0))) == [3.0]
    assert graces(world.handle(JobCancelRequested(job=job, by="ann", grace_s=4.0, asker=Asker(9)))) == []
    assert isinstance(world.replies[Asker(9)], ConflictError)
    assert graces(world.handle(RunCancelRequested(run=run, by="bob"))) == [3.0]
    assert graces(world.handle(JobCancelRequested(job=job, by="ann", grace_s=0.0))) == [0.0]


# ---- a run's time limit --------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_ended_has_failed_and_says_why() -> None:
    world, run = running(timeout_s=30.0)
    wait(world, 29.0)
    assert not world.store.runs[run].timed_out
    wait(world, 2.0)
    record = world.store.runs[run]
    assert (record.timed_out, record.cancel_by) == (True, "the run's time limit of 30 s")
    assert world.job(run, "y").message == "cancelled by the run's time limit of 30 s"
    world.finish("a", Status.CANCELLED)
    record = world.store.runs[run]
    assert (record.state, record.message) == (RunState.FAILED, "took longer than its time limit of 30 s")


def test_a_limit_counts_from_the_first_job_and_ends_what_waits_for_its_next_attempt() -> None:
    world = World({})
    run = world.submit("p", [JobSpec(name="x", retry=Retry(attempts=1, backoff_s=1000.0))], timeout_s=30.0)
    world.advance(100.0)
    assert world.store.runs[run].state is RunState.QUEUED
    world.minions[MinionId("a")] = ModelMinion("a")
    world.connections[MinionId("a")] = 0
    world.connect(MinionId("a"))
    world.settle()
    world.start("a")
    world.finish("a", Status.FAILED)
    assert world.job(run, "x").state is JobState.BACKOFF
    wait(world, 31.0)
    assert world.store.runs[run].state is RunState.FAILED
    assert not list(world.cluster.book.timers)


def test_what_ends_in_time_or_is_cancelled_before_has_no_limit_any_more() -> None:
    world, run = running(timeout_s=30.0)
    world.finish("a")
    world.start("a")
    world.finish("a")
    assert world.store.runs[run].state is RunState.SUCCEEDED
    assert not list(world.cluster.book.timers)
    world, run = running(timeout_s=30.0)
    world.handle(RunCancelRequested(run=run, by="ann"))
    wait(world, 31.0)
    assert not world.store.runs[run].timed_out


def test_the_masters_own_limit_is_for_runs_that_name_none() -> None:
    settings = CoreSettings(run_timeout_s=50.0)
    world, run = running(settings=settings)
    assert world.store.runs[run].timeout_s == 50.0
    world, run = running(timeout_s=7.0, settings=settings)
    assert world.store.runs[run].timeout_s == 7.0
    world, run = running()
    assert world.store.runs[run].timeout_s == 0.0


@pytest.mark.parametrize(("boot_s", "left_s"), [(1010.0, 20.0), (5.0, 30.0), (1e6, 0.0)])
def test_a_limit_survives_restarts_by_the_boot_clock_alone(boot_s: float, left_s: float) -> None:
    world, run = running(timeout_s=30.0)
    for wall_s in (0.0, 1e12):
        cluster = world.store.restore(world.settings, Now(boot_s=boot_s, wall_s=wall_s))
        assert cluster.book.timers.left_s(run, boot_s) == left_s
        plan = cluster.handle([Ticked()], Now(boot_s=boot_s + left_s, wall_s=wall_s))
        assert plan.runs[run].timed_out


def test_a_limit_that_comes_together_with_the_next_attempt_ends_the_job() -> None:
    tried = JobSpec(name="x", retry=Retry(attempts=1, backoff_s=5.0))
    world, run = running(tried, timeout_s=5.0)
    long = world.submit("l", [tried, JobSpec(name="held", idempotent=False)], timeout_s=5.0)
    other = world.submit("q", [tried])
    minion = world.minions[MinionId("a")]
    minion.slots = 4
    world.connect(minion.id)
    world.start("a")
    for name in (run, long, other):
        world.say(minion.id, minion.finish((world.job(name, "x").id, 1), Status.FAILED))
    world.settle()
    world.now_s += 60.0
    world.handle(Ticked())
    assert world.store.runs[run].state is RunState.FAILED
    assert [world.job(long, name).state for name in ("x", "held")] == [JobState.CANCELLED, JobState.RUNNING]
    assert world.job(other, "x").state is JobState.ASSIGNED
