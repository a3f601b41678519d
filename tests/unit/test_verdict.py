"""The master's verdicts: on silence, on what a minion leaves unsaid, and revised when the minion is back."""

from __future__ import annotations

import pytest

from cicd.core import verdict
from cicd.core.events import MinionDisconnected, MinionFinishedJob
from cicd.messages.base import MinionId
from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.minion import JobFinished
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import FailureKind, JobState, Result, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World


@pytest.mark.parametrize(
    ("kind", "blame", "cause"),
    [
        (FailureKind.USER, Blame.CODE, Cause.REPORTED),
        (FailureKind.TIMEOUT, Blame.CODE, Cause.TIMEOUT),
        (FailureKind.OUT_OF_MEMORY, Blame.CODE, Cause.OUT_OF_MEMORY),
        (FailureKind.CRASH, Blame.CODE, Cause.NO_RESULT),
        (FailureKind.INFRASTRUCTURE, Blame.MACHINE, Cause.HOST),
        (FailureKind.NONE, Blame.UNCLEAR, Cause.NONE),
    ],
)
def test_what_an_older_minion_leaves_unsaid_follows_from_the_kind(kind, blame, cause):
    told = verdict.judged(Result(status=Status.FAILED, failure_kind=kind)).evidence
    assert (told.blame, told.cause) == (blame, cause)


def test_what_the_minion_says_stays():
    own = Result(status=Status.FAILED, failure_kind=FailureKind.CRASH, evidence=Evidence(cause=Cause.SIGNAL))
    assert verdict.judged(own) is own
    good = Result(status=Status.SUCCEEDED)
    assert verdict.judged(good) is good


def test_silence_says_what_was_heard_last():
    quiet = verdict.silence(heard_s=100.0, silent_s=13.2, heartbeat_s=1.0, closed=False)
    assert (quiet.blame, quiet.cause) == (Blame.UNCLEAR, Cause.SILENCE)
    assert (quiet.heard_s, quiet.silent_s, quiet.missed_beats) == (100.0, 13.2, 13)
    assert verdict.silence(heard_s=100.0, silent_s=13.2, heartbeat_s=1.0, closed=True).blame == Blame.MACHINE


def test_a_verdict_is_revised_once_and_only_of_silence():
    quiet = verdict.lost("lost", verdict.silence(heard_s=100.0, silent_s=13.2, heartbeat_s=1.0, closed=False))
    told = Result(status=Status.LOST, message="the lease", evidence=Evidence(blame=Blame.NETWORK, cause=Cause.LEASE))
    revised = verdict.revised(quiet, told)
    assert (revised.message, revised.evidence.blame, revised.evidence.cause) == ("lost", Blame.NETWORK, Cause.LEASE)
    assert (revised.evidence.heard_s, revised.evidence.missed_beats) == (100.0, 13)
    assert verdict.revised(revised, Result(status=Status.LOST, evidence=verdict.GONE)) is revised
    assert verdict.revised(quiet, Result(status=Status.LOST)) is quiet
    failed = Result(status=Status.FAILED)
    assert verdict.revised(failed, told) is failed


# ---- in the core ---------------------------------------------------------------------------------------


def lost_in_silence(*, idempotent: bool, closed: bool) -> tuple[World, str]:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x", idempotent=idempotent)])
    world.start("a")
    if closed:
        world.handle(MinionDisconnected(MinionId("a")))
    world.advance(13.0)
    return world, world.job(run, "x").id


def attempt_of(world: World, job: str) -> Result:
    result = world.store.attempts[job, 1].result
    assert result is not None
    return result


@pytest.mark.parametrize(("closed", "blame"), [(False, Blame.UNCLEAR), (True, Blame.MACHINE)])
def test_a_lost_attempt_says_since_when_its_minion_was_silent(closed, blame):
    world, job = lost_in_silence(idempotent=True, closed=closed)
    evidence = attempt_of(world, job).evidence
    assert (evidence.blame, evidence.cause, evidence.missed_beats) == (blame, Cause.SILENCE, 13)
    assert evidence.closed is closed
    assert evidence.heard_s == pytest.approx(world.cluster.book.now.wall_s - 13.0)


def test_a_closed_connection_is_forgotten_with_the_next_sign_of_life():
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x")])
    world.start("a")
    world.handle(MinionDisconnected(MinionId("a")))
    world.beat("a")
    world.advance(13.0)
    assert attempt_of(world, world.job(run, "x").id).evidence.blame == Blame.UNCLEAR


@pytest.mark.parametrize(("idempotent", "state"), [(True, JobState.QUEUED), (False, JobState.UNKNOWN)])
def test_the_minion_that_is_back_says_what_it_was(idempotent, state):
    world, job = lost_in_silence(idempotent=idempotent, closed=False)
    assert world.store.jobs[job].state is state
    told = Result(status=Status.LOST, evidence=Evidence(blame=Blame.NETWORK, cause=Cause.LEASE))
    finished = JobFinished(session=2, job=job, attempt=1, result=told)
    world.check_always = False  # the test says what no minion would
    world.handle(MinionFinishedJob(minion=MinionId("a"), finished=finished))
    evidence = attempt_of(world, job).evidence
    assert (evidence.blame, evidence.cause, evidence.missed_beats) == (Blame.NETWORK, Cause.LEASE, 13)
    assert world.store.jobs[job].state is state
