"""A person's word on a job in doubt."""

from __future__ import annotations

import pytest

from cicd.core.events import Asker, JobResolved
from cicd.errors import ConflictError, NotFoundError
from cicd.messages.base import JobId, RunId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, Resolution, ResolvedAs, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World


def in_doubt() -> tuple[World, RunId]:
    """A deploy was lost with its jobhost; `after` needs it."""
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x", idempotent=False), JobSpec(name="after", needs=("x",))])
    world.start("a")
    world.restart("a")
    assert world.job(run, "x").state is JobState.UNKNOWN
    return world, run


def resolve(world: World, job: JobId, how: ResolvedAs, why: str = "looked") -> object:
    world.handle(JobResolved(job=job, how=how, by="ann", why=why, asker=Asker(99)))
    world.settle()
    return world.replies[Asker(99)]


@pytest.mark.parametrize(
    ("how", "state", "after", "message"),
    [
        (ResolvedAs.SUCCEEDED, JobState.SUCCEEDED, JobState.ASSIGNED, "ann says it succeeded: looked"),
        (ResolvedAs.FAILED, JobState.FAILED, JobState.SKIPPED, "ann says it failed: looked"),
        (
            ResolvedAs.RETRY,
            JobState.ASSIGNED,
            JobState.WAITING,
            "attempt 2, after: ann lets it run again: looked",
        ),
    ],
)
def test_a_word_is_taken_and_kept_with_who_and_why(
    how: ResolvedAs, state: JobState, after: JobState, message: str
) -> None:
    world, run = in_doubt()
    assert resolve(world, world.job(run, "x").id, how) == world.store.runs[run]
    job = world.job(run, "x")
    assert (job.state, job.message, world.job(run, "after").state) == (state, message, after)
    word = Resolution(how=how, by="ann", why="looked", attempt=1, resolved_s=world.now.wall_s)
    assert job.resolution == word
    assert job.granted == (how is ResolvedAs.RETRY)


def test_a_granted_attempt_runs_can_be_in_doubt_again_and_can_end_well() -> None:
    world, run = in_doubt()
    job = world.job(run, "x").id
    resolve(world, job, ResolvedAs.RETRY)
    world.start("a")
    world.restart("a")
    assert world.job(run, "x").state is JobState.UNKNOWN
    resolve(world, job, ResolvedAs.RETRY, why="")
    assert world.job(run, "x").granted == 2
    assert world.job(run, "x").message == "attempt 3, after: ann lets it run again"
    world.start("a")
    world.finish("a")
    world.start("a")
    world.finish("a")
    assert world.store.runs[run].state is RunState.SUCCEEDED


def test_a_late_result_of_the_same_attempt_resolves_too_and_comes_too_late_after_a_word() -> None:
    world, run = in_doubt()
    job = world.job(run, "x").id
    minion = world.minions[next(iter(world.minions))]
    late = minion.finish((job, 1), Status.SUCCEEDED)
    resolve(world, job, ResolvedAs.FAILED)
    world.say(minion.id, late)
    world.settle()
    assert world.job(run, "x").state is JobState.FAILED
    assert not minion.journal, "it was acknowledged and dropped"


def test_only_what_is_in_doubt_can_be_resolved() -> None:
    world, run = in_doubt()
    after = resolve(world, world.job(run, "after").id, ResolvedAs.FAILED)
    assert isinstance(after, ConflictError)
    assert after.message == "after is waiting: only a job in doubt (unknown) can be resolved"
    assert isinstance(resolve(world, JobId("nobody-0"), ResolvedAs.FAILED), NotFoundError)
    world.handle(JobResolved(job=world.job(run, "x").id, how=ResolvedAs.FAILED, by="ann"))
    assert world.store.runs[run].state is RunState.FAILED


def test_a_granted_attempt_begins_a_new_count_of_losses() -> None:
    world, run = in_doubt()
    for _ in range(5):
        resolve(world, world.job(run, "x").id, ResolvedAs.RETRY)
        world.start("a")
        world.restart("a")
        assert (world.job(run, "x").state, world.job(run, "x").lost) == (JobState.UNKNOWN, 1)
