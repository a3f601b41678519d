"""Jobs that do nothing, through a whole cluster of real processes: what is measured is the system itself."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure, emit, p50_p99
from cicd.client import Client
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.messages.client import (
    CreatePipeline,
    FollowBuild,
    FollowRun,
    ListRuns,
    PipelineAnswer,
    RunAnswer,
    RunPage,
    StartRun,
)
from cicd.messages.pipeline import BuildState
from cicd.messages.run import RunState
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until

NOOP = Path(__file__).resolve().parents[1] / "examples" / "noop"
MINIONS, SLOTS = 2, 4


@contextmanager
def cluster(folder: Path, sizes: tuple[int, ...]) -> Iterator[Client]:
    """Run a cluster with a pipeline `noop-N` of N jobs for each size, each from a branch of its own."""
    repository = folder / "noop"
    shutil.copytree(NOOP, repository, ignore=shutil.ignore_patterns("__pycache__"))
    _git(repository, "init", "--quiet", "--initial-branch=main")
    with LocalCluster(folder / "c", minions=MINIONS, slots=SLOTS) as running, running.client() as client:
        for size in sizes:
            _git(repository, "checkout", "--quiet", "-b", f"jobs-{size}")
            (repository / ".cicd/jobs").write_text(f"{size}\n")
            _git(repository, "add", ".")
            identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false")
            _git(repository, *identity, "commit", "--quiet", "--message", f"{size} jobs")
            _create(client, f"noop-{size}", repository, f"jobs-{size}")
        yield client


def latency(client: Client, count: int, limit_s: float) -> Figure:
    """One job, from `StartRun` until the client knows that its run has ended, which it hears after it is durable."""
    for _ in range(10):
        _run(client, "noop-1")
    taken: list[float] = []
    end = time.perf_counter() + limit_s
    while len(taken) < count and time.perf_counter() < end:
        begin = time.perf_counter()
        _run(client, "noop-1")
        taken.append(time.perf_counter() - begin)
    return emit("noop_job_submit_to_durable_result", count=len(taken), **p50_p99(taken))


def one_run(client: Client, jobs: int) -> Figure:
    """Many jobs in one run."""
    begin = time.perf_counter()
    _run(client, f"noop-{jobs}")
    taken = time.perf_counter() - begin
    return emit("noop_jobs_in_one_run", jobs=jobs, minions=MINIONS, slots=SLOTS, seconds=taken, jobs_per_s=jobs / taken)


def many_runs(client: Client, runs: int, jobs: int, limit_s: float) -> Figure:
    """Many runs of a few jobs, started one after the other as fast as the master acknowledges them."""
    begin = time.perf_counter()
    for _ in range(runs):
        client.ask(StartRun(pipeline=f"noop-{jobs}"), RunAnswer)
    started = time.perf_counter() - begin
    active = ListRuns(active=True, limit=1)
    wait_until(lambda: not client.ask(active, RunPage).runs, limit_s, "the end of all runs")
    taken = time.perf_counter() - begin
    newest = client.ask(ListRuns(pipeline=f"noop-{jobs}"), RunPage).runs
    assert all(run.state is RunState.SUCCEEDED for run in newest)
    return emit(
        "noop_jobs_in_many_runs",
        runs=runs, jobs_per_run=jobs, minions=MINIONS, slots=SLOTS, seconds=taken, jobs_per_s=runs * jobs / taken,
        runs_acknowledged_per_s=runs / started,
    )  # fmt: skip


def _run(client: Client, pipeline: str) -> None:
    run = client.ask(StartRun(pipeline=pipeline), RunAnswer).run
    with client.stream(FollowRun(run=run.id)) as answers:
        for answer in answers:
            if isinstance(answer, RunAnswer) and answer.run.state in TERMINAL_RUNS:
                assert answer.run.state is RunState.SUCCEEDED, answer
                return
    raise AssertionError(f"{pipeline}: the stream ended before the run")


def _create(client: Client, name: str, repository: Path, ref: str) -> None:
    client.ask(CreatePipeline(name=name, repo=str(repository), ref=ref), PipelineAnswer)
    log: list[object] = list(client.stream(FollowBuild(name=name)))
    last = log[-1]
    if not isinstance(last, PipelineAnswer) or last.view.pipeline.build_state is not BuildState.READY:
        raise RuntimeError(f"{name} was not built: {log}")


def _git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=repository, check=True)  # noqa: S607  git as the user has it
