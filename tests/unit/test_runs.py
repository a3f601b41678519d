"""Runs and their jobs: how they begin, what follows from what, how they are cancelled."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cicd.core.book import ENDED_REQUESTS, Book
from cicd.core.events import Asker, RunCancelRequested, RunSubmitted
from cicd.core.jobs import NEEDS_LIMIT_BYTES, move
from cicd.core.lifecycle import JobEvent
from cicd.core.plan import Send
from cicd.core.settings import CoreSettings
from cicd.errors import ConflictError, IllegalTransitionError, NotFoundError, UserError
from cicd.messages.base import MinionId, RunId
from cicd.messages.minion import CancelJob, Need, RunJob
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import FailureKind, JobState, Result, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World
from sample_records import a_run

A = MinionId("a")


def world_of(*slots: int) -> World:
    return World.of(*(ModelMinion("abc"[i], slots=count) for i, count in enumerate(slots)))


def jobs_of(**needs: str) -> list[JobSpec]:
    return [JobSpec(name=name, needs=tuple(text.split())) for name, text in needs.items()]


def states(world: World, run: RunId) -> dict[str, str]:
    return {job.name: str(job.state) for job in world.store.jobs.values() if job.run == run}


def cancel(world: World, run: RunId, asker: int = 99) -> object:
    world.handle(RunCancelRequested(run=run, by="ann", asker=Asker(asker)))
    world.settle()
    return world.replies[Asker(asker)]


# ---- how they begin ------------------------------------------------------------------------------------


def test_a_run_is_numbered_stored_whole_and_its_first_jobs_are_ready() -> None:
    world = world_of()
    first, second = (world.submit("p", jobs_of(a="", b="a", c="")) for _ in range(2))
    other = world.submit("q", jobs_of(a=""))
    assert [world.store.runs[run].number for run in (first, second, other)] == [1, 2, 1]
    assert {name: last.number for name, last in world.store.last_runs.items()} == {"p": 2, "q": 1}
    record = world.store.runs[first]
    assert (record.state, record.job_count, record.created_s) == (RunState.QUEUED, 3, world.now.wall_s)
    assert states(world, first) == {"a": "queued", "b": "waiting", "c": "queued"}


def test_the_same_request_gives_the_same_run() -> None:
    world = world_of()
    first = world.submit("p", jobs_of(a=""), request="r1")
    assert world.submit("p", jobs_of(a=""), request="r1") == first
    assert world.submit("p", jobs_of(a=""), request="r2") != first
    assert len(world.store.runs) == 2
    cancel(world, first)
    # Ended runs are let go; whoever asks again is answered from the store, before the core.
    assert "r1" not in world.cluster.book.requests


def test_jobs_that_are_no_graph_are_refused_and_nothing_is_stored() -> None:
    world = world_of()
    for bad in ([], jobs_of(a="b", b="a"), jobs_of(a="nobody")):
        with pytest.raises(UserError):
            world.submit("p", bad)
    assert not world.store.runs
    assert not world.cluster.book.runs


def test_who_does_not_ask_is_not_answered() -> None:
    world = world_of()
    run = world.submit("p", jobs_of(a="", b=""))
    plan = world.handle(RunCancelRequested(run=run, by="ann"), RunCancelRequested(run=run, by="bob"))
    assert plan.effects == []
    assert world.store.runs[run].cancel_by == "ann"
    again = replace(world.store.runs[run], id=RunId("r9"), cancel_by="", state=RunState.QUEUED, finished_s=0.0)
    plan = world.handle(RunSubmitted(run=again, spec=world.store.plugins[again.plugin].spec))
    assert plan.effects == []
    assert world.store.runs[RunId("r9")].number == 2


# ---- what follows from what ----------------------------------------------------------------------------


def test_jobs_run_after_what_they_need_with_its_outputs_and_the_run_ends_with_the_last() -> None:
    world = world_of(1, 1)
    run = world.submit("p", jobs_of(a="", b="", c="a b a", d="c"))
    world.start("a")
    world.start("b")
    assert states(world, run) == {"a": "running", "b": "running", "c": "waiting", "d": "waiting"}
    assert world.store.runs[run].state is RunState.RUNNING
    world.finish("a", outputs={"wheel": "x.whl"})
    assert states(world, run)["c"] == "waiting"
    world.finish("b")
    (order,) = world.minions[A].fetching.values()
    assert order.name == "c"
    assert order.needs == (Need(job="a", outputs={"wheel": "x.whl"}),), "jobs that returned nothing are left out"
    world.start("a")
    world.finish("a")
    world.start("b")
    world.finish("b")
    assert set(states(world, run).values()) == {"succeeded"}
    record = world.store.runs[run]
    assert (record.state, record.finished_s) == (RunState.SUCCEEDED, world.now.wall_s)
    assert not world.cluster.book.runs
    assert not world.cluster.book.jobs


def test_what_needs_a_failed_job_is_skipped_all_the_way_and_the_rest_goes_on() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a="", b="a", c="b", d="", e="c d"))
    world.start("a")
    world.finish("a", Status.TIMED_OUT)
    assert states(world, run) == {"a": "timed_out", "b": "skipped", "c": "skipped", "d": "assigned", "e": "skipped"}
    assert world.job(run, "c").message == "it needs b, which was skipped"
    world.start("a")
    world.finish("a")
    assert world.store.runs[run].state is RunState.FAILED


def test_a_failure_without_a_text_says_whose_it_is_and_only_success_has_outputs() -> None:
    world = world_of(3)
    run = world.submit("p", jobs_of(a="", b="", c=""))
    world.start("a")
    minion = world.minions[A]
    results = (
        Result(status=Status.FAILED, failure_kind=FailureKind.OUT_OF_MEMORY, outputs={"x": "1"}),
        Result(status=Status.FAILED, failure_kind=FailureKind.USER, message="exit code 3"),
        Result(status=Status.FAILED),
    )
    for name, result in zip("abc", results, strict=True):
        key = (world.job(run, name).id, 1)
        said = minion.finish(key, Status.FAILED)[0]
        world.say(minion.id, [type(said)(session=1, job=key[0], attempt=1, result=result)])
    world.settle()
    assert [world.job(run, name).message for name in "abc"] == ["out_of_memory", "exit code 3", ""]
    assert world.job(run, "a").outputs == {}


def test_a_chain_of_ten_thousand_jobs_is_skipped_in_one_step() -> None:
    world = world_of(1)
    world.check_always = False
    run = world.submit("p", [JobSpec(name=f"j{i}", needs=(f"j{i - 1}",) if i else ()) for i in range(10_000)])
    world.start("a")
    world.finish("a", Status.FAILED)
    assert world.store.runs[run].state is RunState.FAILED
    assert world.job(run, "j9999").state is JobState.SKIPPED


@pytest.mark.parametrize("text", ["x", "\u00e4"])
def test_outputs_that_fit_no_message_fail_the_job_that_needs_them_counted_in_bytes(text: str) -> None:
    world = world_of(9)
    size = NEEDS_LIMIT_BYTES // 8
    specs = [*(JobSpec(name=f"j{i}") for i in range(9)), JobSpec(name="end", needs=tuple(f"j{i}" for i in range(9)))]
    run = world.submit("p", specs)
    world.start("a")
    world.finish("a", outputs={"o": text * (size // len(text.encode()))})
    end = world.job(run, "end")
    assert (end.state, end.attempt) == (JobState.FAILED, 0)
    assert f"over the limit of {NEEDS_LIMIT_BYTES}" in end.message
    assert world.store.runs[run].state is RunState.FAILED


def test_a_job_that_needs_ten_thousand_others_can_be_sent() -> None:
    world = World.of(ModelMinion("a", slots=1024))
    world.check_always = False
    names = [f"j{i}" for i in range(10_000)]
    run = world.submit("p", [*(JobSpec(name=name) for name in names), JobSpec(name="end", needs=tuple(names))])
    while world.job(run, "end").state is JobState.WAITING:
        world.start("a")
        world.finish("a")
    assert world.job(run, "end").state is JobState.ASSIGNED


def test_an_event_that_does_not_fit_tells_the_story() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a=""))
    job = world.cluster.book.jobs[world.job(run, "a").id]
    with pytest.raises(IllegalTransitionError) as caught:
        move(world.cluster.book, job, JobEvent.REQUEUE)
    assert caught.value.history == ("needs_met", "assign")
    assert "no transition for requeue in state assigned after needs_met > assign" in caught.value.message


def test_the_story_is_short_however_long_the_life() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a=""))
    for _ in range(5):
        world.restart("a")
    assert len(world.cluster.book.jobs[world.job(run, "a").id].history) == 6


# ---- how they are cancelled ----------------------------------------------------------------------------


def test_cancelling_ends_what_waits_at_once_and_asks_what_runs_to_stop() -> None:
    world = world_of(1)
    # Declared so that what needs others stands before and behind them: the order must not matter.
    run = world.submit("p", jobs_of(z="y", a="", b="", y="b", c="b y"))
    world.start("a")
    reply = cancel(world, run)
    assert reply == world.store.runs[run]
    assert states(world, run) == dict.fromkeys("zbyc", "cancelled") | {"a": "running"}
    assert world.job(run, "c").message == "cancelled by ann"
    assert world.store.runs[run].state is RunState.RUNNING
    minion = world.minions[A]
    assert minion.cancelling == {(world.job(run, "a").id, 1)}
    world.finish("a", Status.CANCELLED)
    assert world.store.runs[run].state is RunState.CANCELLED


def test_a_job_that_ends_well_while_it_is_cancelled_has_ended_well() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a="", b="a"))
    world.start("a")
    cancel(world, run)
    world.finish("a", Status.SUCCEEDED)
    assert states(world, run) == {"a": "succeeded", "b": "cancelled"}
    assert world.store.runs[run].state is RunState.CANCELLED


def test_cancelling_twice_is_a_conflict_and_what_is_not_active_is_not_found() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a=""))
    world.start("a")
    assert not isinstance(cancel(world, run), Exception)
    again = cancel(world, run)
    assert isinstance(again, ConflictError)
    assert "by ann" in again.message
    world.finish("a")
    assert isinstance(cancel(world, RunId("nobody")), NotFoundError)


def test_cancelling_a_run_that_nobody_took_ends_it_and_says_so() -> None:
    world = world_of()
    run = world.submit("p", jobs_of(a="", b="a"))
    reply = cancel(world, run)
    assert reply == world.store.runs[run]
    assert world.store.runs[run].state is RunState.CANCELLED
    assert world.store.runs[run].started_s == 0


def test_a_cancel_says_which_attempt_in_which_session() -> None:
    world = world_of(1)
    run = world.submit("p", jobs_of(a=""))
    world.start("a")
    plan = world.handle(RunCancelRequested(run=run, by="ann"))
    (effect,) = plan.effects
    assert effect == Send(
        A,
        CancelJob(session=1, job=world.job(run, "a").id, attempt=1, grace_s=10.0, reason="cancelled by ann"),
    )


def test_a_runjob_says_all_that_a_minion_needs() -> None:
    world = world_of(1)
    specs = [JobSpec(name="a", timeout_s=7.0, checkout=False), JobSpec(name="b")]
    run = world.submit("p", specs)
    world.settle()
    record = world.store.runs[run]
    (order,) = world.minions[A].fetching.values()
    assert order == RunJob(
        session=1,
        run=run,
        run_number=1,
        job=world.job(run, "a").id,
        name="a",
        attempt=1,
        pipeline="p",
        plugin=record.plugin,
        plugin_size_bytes=1,
        source=record.source_digest,
        source_size_bytes=1,
        checkout=False,
        timeout_s=7.0,
        commit="c",
    )
    world.start("a")
    world.finish("a")
    (order,) = world.minions[A].fetching.values()
    assert order.timeout_s == world.settings.job_timeout_s


def test_a_request_that_comes_again_just_after_its_run_has_ended_is_no_second_run() -> None:
    """It looked into the store before the run was there, and is heard after its end (seed 737 of the simulator)."""
    world = world_of()
    first = world.submit("p", jobs_of(a=""), request="r1")
    cancel(world, first)
    assert world.submit("p", jobs_of(a=""), request="r1") == first
    assert list(world.store.runs) == [first]


def test_ended_requests_are_remembered_up_to_a_bound() -> None:
    """The oldest is forgotten."""
    book = Book(CoreSettings())
    for number in range(ENDED_REQUESTS + 1):
        book.requests[str(number)] = RunId("r")
        book.end_request(str(number), a_run())
    assert len(book.ended_requests) == ENDED_REQUESTS
    assert "0" not in book.ended_requests
