"""Whatever is killed, and whenever: what was acknowledged comes to its end, and nothing runs twice or survives."""

from __future__ import annotations

import os
import signal

import pytest

from cicd.messages.client import PipelineAnswer, RecompilePipeline, ShowPipeline
from cicd.messages.pipeline import BuildState, PipelineRecord
from cicd.messages.run import JobState, RunState
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import (
    QUICK_LEASES,
    Repository,
    alive,
    build_of,
    cluster_of,
    create,
    finish,
    log_of,
    show,
    start,
    until_running,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

TIMES = 20

TICKER = """
import os, time
import cicd_sdk as ci

pipeline = ci.Pipeline("ticker")

@pipeline.job
def tick(ctx: ci.Context) -> None:
    for number in range(85):
        print("tick", number, os.getpid(), flush=True)
        time.sleep(0.1)

if __name__ == "__main__":
    pipeline.main()
"""

LONG_AT_FIRST = """
import os, pathlib, subprocess, time
import cicd_sdk as ci

pipeline = ci.Pipeline("long")
pipeline.param("pids", required=True)

@pipeline.job
def work(ctx: ci.Context) -> None:
    if ctx.attempt > 1:
        return
    # A child that leaves the process group, the session and its parent behind.
    child = subprocess.Popen(["sh", "-c", "setsid sleep 600 & echo $!"], stdout=subprocess.PIPE, text=True)
    away = child.stdout.readline().strip()
    near = subprocess.Popen(["sleep", "600"])
    text = f"{os.getpid()} {near.pid} {away}\\n"
    pathlib.Path(ctx.params["pids"]).write_text(text)
    time.sleep(600)

if __name__ == "__main__":
    pipeline.main()
"""

TWO_SECONDS = """
import time
import cicd_sdk as ci

pipeline = ci.Pipeline("short")

@pipeline.job
def work(ctx: ci.Context) -> dict[str, str]:
    for number in range(20):
        print("step", number, flush=True)
        time.sleep(0.1)
    return {"answer": "42"}

@pipeline.job(needs=[work])
def check(ctx: ci.Context) -> None:
    assert ctx.needs["work"]["answer"] == "42"

if __name__ == "__main__":
    pipeline.main()
"""


def test_an_agent_is_killed_under_a_job_and_the_job_never_notices(tmp_path):
    """Back after 5 s: the same process, one attempt, a whole log. Ten at a time, twenty in all."""
    repository = Repository(tmp_path / "repo")
    repository.commit(TICKER)
    minions = {"agent": {"restart_delay_s": 5.0}}
    with cluster_of(minions=10, slots=1, minion_overrides=minions) as cluster, cluster.client() as client:
        create(client, "ticker", repository)
        for _ in range(TIMES // 10):
            runs = [start(client, "ticker") for _ in range(10)]
            pids = {run: until_running(client, run, "tick").attempts[0].pid for run in runs}
            agents = [cluster.agent_pid(name) for name in cluster.minion_names]
            for name in cluster.minion_names:
                os.kill(cluster.agent_pid(name), signal.SIGKILL)
            wait_until(lambda gone=agents: not any(alive(pid) for pid in gone))
            for run in runs:
                answer = finish(client, run)
                (view,) = answer.jobs
                assert (answer.run.state, view.job.attempt) == (RunState.SUCCEEDED, 1)
                text, end = log_of(client, run, "tick")
                assert text.splitlines() == [f"tick {number} {pids[run]}" for number in range(85)]
                assert (end.complete, end.lines) == (True, 85)


def test_a_jobhost_is_killed_in_mid_job_and_nothing_survives(tmp_path):
    """Its job's processes are gone, wherever they hid; the job is run again on another minion. Five at a time."""
    repository = Repository(tmp_path / "repo")
    repository.commit(LONG_AT_FIRST)
    with cluster_of(minions=10, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "long", repository)
        for turn in range(TIMES // 5):
            files = [tmp_path / f"pids-{turn}-{number}" for number in range(5)]
            runs = [start(client, "long", pids=str(file)) for file in files]
            for file in files:
                wait_until(lambda file=file: file.exists() and file.read_text().endswith("\n"), 30)
            victims = {run: until_running(client, run, "work").job.minion_name for run in runs}
            for name in victims.values():
                cluster.kill_minion(name)
            pids = [int(pid) for file in files for pid in file.read_text().split()]
            wait_until(lambda pids=pids: not any(alive(pid) for pid in pids), 5, "the job's processes to be gone")
            for run in runs:
                (view,) = finish(client, run).jobs
                assert (view.job.state, view.job.attempt, view.job.lost) == (JobState.SUCCEEDED, 2, 1)
                assert view.job.minion_name != victims[run]
            for name in victims.values():
                cluster.start_minion(name)
            cluster.wait_ready(10)


STAGES = ["", "fetching", "commit", "building", "asking the plugin"]
"""What a build's log says in turn: the master is killed at each of them."""


def until_build_says(cluster: LocalCluster, pipeline: PipelineRecord, text: str) -> None:
    """Wait until a build has come so far."""
    log = cluster.state_dir / "master" / "builds" / pipeline.id / f"{pipeline.build}.log"
    wait_until(lambda: not text or (log.exists() and text in log.read_text()), 20, f"{text!r} in {log}")


def test_the_master_is_killed_in_mid_run_and_in_mid_compile(tmp_path):
    """The running job is not started again and its result counts; the build is done again.

    A turn in which the job was over before the master was killed (a slow machine) is a turn more.
    """
    repository = Repository(tmp_path / "repo")
    repository.commit(TWO_SECONDS)
    with cluster_of(minions=2, slots=2) as cluster, cluster.client() as client:
        create(client, "short", repository)
        in_mid_run = turn = 0
        while in_mid_run < TIMES:
            turn += 1
            run = start(client, "short")
            pid = until_running(client, run, "work").attempts[0].pid
            repository.commit(TWO_SECONDS + f"\n# {turn}\n")
            built = client.ask(RecompilePipeline(name="short"), PipelineAnswer).view.pipeline
            assert built.build_state is BuildState.BUILDING
            until_build_says(cluster, built, STAGES[turn % len(STAGES)])
            cluster.kill_master()
            in_mid_run += alive(pid)
            cluster.start_master()
            answer = finish(client, run)
            assert answer.run.state is RunState.SUCCEEDED
            work, check = answer.jobs
            assert [one.attempt for one in work.attempts] == [1]
            assert work.attempts[0].pid == pid
            assert check.job.attempt == 1
            text, end = log_of(client, run, "work")
            assert text == "".join(f"step {number}\n" for number in range(20))
            assert end.complete
            pipeline, log = build_of(client, "short")
            assert (pipeline.build_state, pipeline.build) == (BuildState.READY, built.build), log
            assert pipeline.commit == repository.git("rev-parse", "HEAD")


def test_a_run_that_was_acknowledged_is_there_after_a_kill(tmp_path):
    """Nobody is there to run it when the master dies: it waits, and is run when somebody comes."""
    repository = Repository(tmp_path / "repo")
    repository.commit(TWO_SECONDS)
    with cluster_of(minions=1, slots=1) as cluster, cluster.client() as client:
        create(client, "short", repository)
        cluster.kill_minion("minion-1", signal.SIGTERM)
        runs = [start(client, "short") for _ in range(3)]
        cluster.kill_master()
        cluster.start_master()
        waiting = show(client, runs[0])
        assert waiting.jobs[0].waits
        cluster.start_minion("minion-1")
        for run in runs:
            assert finish(client, run).run.state is RunState.SUCCEEDED
        shown = client.ask(ShowPipeline(name="short"), PipelineAnswer).view
        assert shown.last_run is not None
        assert shown.last_run.number == 3
