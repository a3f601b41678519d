"""Runs that repeat another: what succeeded there is carried over."""

from __future__ import annotations

from msgspec.structs import replace

from cicd.core.carrying import carried
from cicd.messages.base import MinionId, RunId, job_id
from cicd.messages.minion import Need
from cicd.messages.pipeline import JobSpec, NeedOn, PipelineSpec
from cicd.messages.run import JobRecord, JobState, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

SPECS = (
    JobSpec(name="build"),
    JobSpec(name="test", needs=("build",)),
    JobSpec(name="clean", needs=("build",), needs_on={"build": NeedOn.FAILURE}),
    JobSpec(name="ship", needs=("test",)),
)


def failed_run() -> tuple[World, str]:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", SPECS)
    world.start("a")
    world.finish("a", outputs={"wheel": "x.whl"})
    world.start("a")
    world.finish("a", Status.FAILED)
    assert world.store.runs[run].state is RunState.FAILED
    return world, run


def states(world: World, run: str) -> list[str]:
    return [str(job.state) for job in world.store.jobs.values() if job.run == run]


def test_what_succeeded_is_not_run_again_and_its_outputs_are_handed_on() -> None:
    world, old = failed_run()
    run = world.submit("p", SPECS, retry_of=old)
    assert states(world, run) == ["succeeded", "assigned", "skipped", "waiting"]
    build = world.job(run, "build")
    assert (build.attempt, build.outputs, build.carried_from) == (0, {"wheel": "x.whl"}, old)
    assert build.message == "succeeded in the run before; not run again"
    world.settle()
    (order,) = world.minions[MinionId("a")].fetching.values()
    assert order.needs == (Need(job="build", outputs={"wheel": "x.whl"}),)
    world.restart_master()
    world.connect(MinionId("a"))
    world.settle()
    for _ in range(2):
        world.start("a")
        world.finish("a")
    record = world.store.runs[run]
    assert (record.state, record.retry_of, record.number) == (RunState.SUCCEEDED, old, 2)


def test_what_was_carried_is_carried_again_from_where_it_ran() -> None:
    world, old = failed_run()
    second = world.submit("p", SPECS, retry_of=old)
    world.start("a")
    world.finish("a", Status.FAILED)
    third = world.submit("p", SPECS, retry_of=second)
    assert world.job(third, "build").carried_from == old


def test_a_run_whose_jobs_are_all_carried_or_skipped_ends_as_it_begins() -> None:
    world = World.of(ModelMinion("a"))
    old = world.submit("p", SPECS[:1])
    world.start("a")
    world.finish("a")
    run = world.submit("p", (SPECS[0], SPECS[2]), retry_of=old)
    assert world.store.runs[run].state is RunState.SUCCEEDED
    assert [world.job(run, name).state for name in ("build", "clean")] == [JobState.SUCCEEDED, JobState.SKIPPED]
    assert not world.cluster.book.runs


def test_what_needs_a_job_that_is_run_again_is_run_again_too() -> None:
    specs = (
        JobSpec(name="tell", needs=("test",), needs_on={"test": NeedOn.ANY}),
        JobSpec(name="lint", allow_failure=True),
        JobSpec(name="test", needs=("build",)),
        JobSpec(name="clean", needs=("test",), needs_on={"test": NeedOn.FAILURE}),
        JobSpec(name="build"),
        JobSpec(name="tidy", needs=("lint",)),
        JobSpec(name="docs", needs=("build",)),
    )
    failing = {"lint", "test"}
    jobs = [
        JobRecord(
            id=job_id(RunId("r"), index),
            run=RunId("r"),
            index=index,
            name=spec.name,
            state=JobState.FAILED if spec.name in failing else JobState.SUCCEEDED,
        )
        for index, spec in enumerate(specs)
    ]
    found = carried(PipelineSpec(name="p", jobs=specs), jobs)
    assert [job.name for job in found] == ["build", "docs"]
    assert carried(PipelineSpec(name="p", jobs=specs[4:5]), [replace(jobs[4], index=0)])


def test_carried_outputs_that_are_too_large_end_the_run_as_they_did_before() -> None:
    world = World.of(ModelMinion("a", slots=20))
    many = tuple(f"p{number}" for number in range(11))
    specs = (*(JobSpec(name=name) for name in many), JobSpec(name="sum", needs=many), JobSpec(name="z", needs=("sum",)))
    old = world.submit("p", specs)
    for _ in many:
        world.start("a")
        world.finish("a", outputs={"o": "x" * 15_500})
    assert world.store.runs[old].state is RunState.FAILED
    run = world.submit("p", specs, retry_of=old)
    assert states(world, run)[-2:] == ["failed", "skipped"]
    assert world.store.runs[run].state is RunState.FAILED
    assert not world.cluster.book.runs
