"""Which runs are let in: limits of pipelines, pipelines that depend on others, superseded runs."""

from __future__ import annotations

from cicd.core import jobs
from cicd.core.events import Asker, RunCancelRequested
from cicd.core.lifecycle import JobEvent
from cicd.core.plan import Plan
from cicd.messages.base import MinionId, RunId
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

ONE = [JobSpec(name="only")]


def small(slots: int = 9) -> World:
    return World.of(ModelMinion("a", slots=slots))


def why(world: World, run: RunId) -> str:
    return world.cluster.run_waits([run]).get(run, "")


def waiting(world: World, *runs: RunId) -> list[bool]:
    return [world.store.runs[run].waiting for run in runs]


def end(world: World, run: RunId, status: Status = Status.SUCCEEDED) -> None:
    """All jobs of a run that a minion has end."""
    world.start("a")
    minion = world.minions[MinionId("a")]
    for key in sorted(minion.alive):
        if key[0].startswith(run):
            world.say(minion.id, minion.finish(key, status, []))
    world.settle()


def cancel(world: World, run: RunId) -> None:
    world.handle(RunCancelRequested(run=run, by="ann", asker=Asker(99)))


# ---- limits


def test_no_more_runs_are_active_than_the_limit_and_the_others_follow_in_order() -> None:
    world = small()
    runs = [world.submit("web", ONE, limit=2) for _ in range(5)]
    other = world.submit("lib", ONE, limit=2)
    assert waiting(world, *runs, other) == [False, False, True, True, True, False]
    assert {why(world, run) for run in runs[2:]} == {"2 of 2 runs of web are active: #1, #2"}
    assert world.cluster.waits(runs[2], world.now) == {f"{runs[2]}-0": why(world, runs[2])}
    assert why(world, runs[0]) == ""
    end(world, runs[1])
    assert waiting(world, *runs) == [False, False, False, True, True]
    assert why(world, runs[3]) == "2 of 2 runs of web are active: #1, #3"
    for run in (runs[0], *runs[2:], other):
        end(world, run, Status.FAILED)
    assert not world.cluster.book.runs
    assert not len(world.cluster.book.run_queue)


def test_a_run_that_waits_keeps_its_place_over_a_restart_and_can_be_cancelled() -> None:
    world = small()
    first, second, third = (world.submit("web", ONE, limit=1) for _ in range(3))
    world.restart_master()
    world.connect(MinionId("a"))
    world.settle()
    assert waiting(world, first, second, third) == [False, True, True]
    cancel(world, second)
    assert world.store.runs[second].state is RunState.CANCELLED
    assert not world.store.runs[second].waiting
    end(world, first)
    assert waiting(world, third) == [False]


def test_the_higher_priority_is_let_in_first() -> None:
    world = small()
    first, low, high = (world.submit("web", ONE, limit=1, priority=priority) for priority in (0, 0, 7))
    end(world, first)
    assert waiting(world, low, high) == [True, False]


def test_active_runs_are_named_in_the_order_of_their_numbers_however_they_came_in() -> None:
    world = small()
    first, second, _, _ = (world.submit("web", ONE, limit=2, priority=priority) for priority in (0, 0, 0, 7))
    for run in (first, second):
        end(world, run)
    assert why(world, world.submit("web", ONE, limit=2)) == "2 of 2 runs of web are active: #3, #4"


def test_each_run_keeps_to_the_limit_of_its_own_plugin_and_nobody_passes_the_first() -> None:
    world = small()
    first = world.submit("web", ONE, limit=3)
    strict = world.submit("web", ONE, limit=1)
    wide = world.submit("web", ONE, limit=5)
    assert waiting(world, first, strict, wide) == [False, True, True]
    assert why(world, wide) == "web#2 goes first"
    end(world, first)
    assert waiting(world, strict, wide) == [False, False]


def test_many_active_runs_are_counted() -> None:
    world = small()
    for _ in range(5):
        world.submit("web", ONE, limit=5)
    assert why(world, world.submit("web", ONE, limit=5)) == "5 of 5 runs of web are active: #1, #2, #3 and 2 more"


def test_no_job_of_a_run_that_waits_is_ready_and_those_with_needs_say_so() -> None:
    world = small()
    world.submit("web", ONE, limit=1)
    run = world.submit("web", [JobSpec(name="a"), JobSpec(name="b", needs=("a",))], limit=1)
    texts = world.cluster.waits(run, world.now)
    assert list(texts.values()) == ["1 of 1 runs of web are active: #1", "needs a (waiting)"]
    assert world.cluster.waits(run, world.now, [world.job(run, "b").id]) == {f"{run}-1": "needs a (waiting)"}
    assert {job.state.value for job in world.store.jobs.values() if job.run == run} == {"waiting"}


# ---- dependencies


def test_a_run_waits_for_the_active_runs_of_what_it_depends_on_and_for_no_later_ones() -> None:
    world = small()
    libs = [world.submit("lib", ONE) for _ in range(2)]
    app = world.submit("app", ONE, depends_on=["lib", "base"])
    late = world.submit("lib", ONE)
    assert why(world, app) == "depends on lib#1 (running), lib#2 (running)"
    end(world, libs[1])
    assert why(world, app) == "depends on lib#1 (running)"
    world.restart_master()
    world.connect(MinionId("a"))
    world.settle()
    end(world, libs[0])
    assert waiting(world, app) == [False]
    assert world.store.runs[late].state is RunState.RUNNING
    assert waiting(world, world.submit("app", ONE)) == [False], "who is forced depends on nothing"


def test_each_pipeline_that_it_depends_on_is_waited_for_in_turn() -> None:
    world = small()
    lib, base = world.submit("lib", ONE), world.submit("base", ONE)
    app = world.submit("app", ONE, depends_on=["base", "lib"])
    gone = world.submit("app", ONE, depends_on=["base"])
    cancel(world, gone)
    end(world, base)
    assert why(world, app) == "depends on lib#1 (running)"
    end(world, lib)
    assert waiting(world, app) == [False]


def test_a_run_is_not_started_after_a_failed_one_and_says_so() -> None:
    world = small()
    lib = world.submit("lib", ONE)
    jobs = [JobSpec(name="a"), JobSpec(name="b", needs=("a",))]
    app = world.submit("app", jobs, depends_on=["lib"])
    top = world.submit("top", ONE, depends_on=["app"])
    end(world, lib, Status.FAILED)
    record = world.store.runs[app]
    text = "not started: lib#1 failed; force it with --force"
    assert (record.state, record.message, record.waiting, record.started_s) == (RunState.FAILED, text, False, 0.0)
    assert [world.job(app, name).message for name in "ab"] == [text, text]
    assert {world.job(app, name).state.value for name in "ab"} == {"skipped"}
    assert world.store.runs[top].message == "not started: app#1 failed; force it with --force"
    assert not world.cluster.book.runs
    world.restart_master()
    at_once = world.submit("app", ONE, depends_on=["lib"])
    assert world.store.runs[at_once].state is RunState.FAILED


def test_the_newest_run_that_ended_counts_and_cancelled_ones_do_not() -> None:
    world = small()
    old, new, cancelled = (world.submit("lib", ONE) for _ in range(3))
    end(world, new, Status.FAILED)
    end(world, old)
    app = world.submit("app", ONE, depends_on=["lib"])
    cancel(world, cancelled)
    end(world, cancelled, Status.CANCELLED)
    assert world.store.runs[app].message == "not started: lib#2 failed; force it with --force"
    end(world, world.submit("lib", ONE))
    assert world.store.runs[world.submit("app", ONE, depends_on=["lib"])].state is not RunState.FAILED


def test_a_run_that_has_no_room_looks_at_what_it_depends_on_when_its_turn_has_come() -> None:
    world = small()
    first = world.submit("app", ONE, limit=1)
    second = world.submit("app", ONE, limit=1, depends_on=["lib"])
    third = world.submit("app", ONE, limit=1)
    end(world, world.submit("lib", ONE), Status.FAILED)
    assert world.store.runs[second].state is RunState.QUEUED
    end(world, first)
    assert world.store.runs[second].state is RunState.FAILED
    assert waiting(world, third) == [False], "who is not started takes no room"


def test_pipelines_that_depend_on_each_other_in_a_circle_do_not_wait_for_ever() -> None:
    world = small()
    ring = {"a": ["b"], "b": ["c"], "c": ["a"], "self": ["self"]}
    runs = [world.submit(name, ONE, depends_on=depends_on) for _ in range(3) for name, depends_on in ring.items()]
    for run in runs:
        end(world, run)
    assert {world.store.runs[run].state for run in runs} == {RunState.SUCCEEDED}


# ---- superseded runs


def test_a_new_run_cancels_the_older_ones_of_its_ref_when_asked_to() -> None:
    world = small(slots=1)
    running, other = world.submit("web", ONE, ref="main"), world.submit("web", ONE, ref="next")
    elsewhere = world.submit("lib", ONE, ref="main")
    queued = world.submit("web", ONE, ref="main", limit=2)
    world.start("a")
    new = world.submit("web", ONE, ref="main", supersede=True)
    records = world.store.runs
    assert (records[queued].state, records[queued].superseded_by) == (RunState.CANCELLED, "web#4")
    assert world.job(queued, "only").message == "superseded by web#4"
    assert (records[running].cancel_by, records[running].superseded_by) == ("someone", "web#4")
    assert not records[other].cancel_by
    assert not records[elsewhere].cancel_by
    world.settle()
    assert world.minions[MinionId("a")].cancelling
    newest = world.submit("web", ONE, ref="main", supersede=True)
    assert records[running].superseded_by == "web#4", "once is enough"
    assert records[new].superseded_by == "web#5"
    end(world, running, Status.CANCELLED)
    assert records[running].state is RunState.CANCELLED
    assert records[newest].state is not RunState.CANCELLED


def test_a_pipeline_can_say_that_new_runs_supersede_older_ones_but_repeated_ones_do_not() -> None:
    world = small()
    first, second = (world.submit("web", ONE, cancel_superseded=True) for _ in range(2))
    assert world.store.runs[first].superseded_by == "web#2"
    end(world, first, Status.CANCELLED)
    world.submit("web", ONE, cancel_superseded=True, retry_of=first)
    assert not world.store.runs[second].superseded_by


def test_a_run_that_takes_the_place_of_one_is_let_in_when_that_has_ended() -> None:
    world = small()
    old = world.submit("web", ONE, limit=1)
    world.start("a")
    new = world.submit("web", ONE, limit=1, supersede=True)
    assert waiting(world, new) == [True]
    end(world, old, Status.CANCELLED)
    assert waiting(world, new) == [False]


def test_the_end_of_a_run_whose_pipeline_is_gone_is_no_news() -> None:
    world = small()
    run = world.submit("web", ONE)
    world.store.last_runs.clear()
    world.cluster.book.last_runs.clear()
    end(world, run)
    assert world.store.runs[run].state is RunState.SUCCEEDED
    assert not world.store.last_runs


# ---- jobs that end while their run waits


def test_a_job_that_has_ended_already_stays_as_it_is_when_its_run_is_not_started() -> None:
    world = small()
    lib = world.submit("lib", ONE)
    app = world.submit("app", [JobSpec(name="a"), JobSpec(name="b")], depends_on=["lib"])
    entry = world.cluster.book.runs[app].by_name["a"]
    jobs.make_ready(world.cluster.book, entry)
    assert entry.record.state is JobState.WAITING, "no job is ready before its run is let in"
    world.cluster.book.plan = Plan()
    jobs.move(world.cluster.book, entry, JobEvent.CANCEL)
    world.store.commit(world.cluster.book.plan)
    end(world, lib, Status.FAILED)
    assert [world.job(app, name).state for name in "ab"] == [JobState.CANCELLED, JobState.SKIPPED]
