"""What end-to-end tests share: repositories, clusters outside the checkout, and words for what is waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from cicd.client import Client
from cicd.messages.client import (
    CreatePipeline,
    FollowBuild,
    FollowRun,
    LogEndInfo,
    LogText,
    PipelineAnswer,
    ReadLog,
    RunAnswer,
    ShowPipeline,
    ShowRun,
    StartRun,
)
from cicd.messages.pipeline import BuildState, PipelineRecord
from cicd.messages.run import RunState
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until

PYTHON = os.environ.get("CICD_TEST_PYTHON", sys.executable)
"""The interpreter that has the built wheel installed; `make test` sets it."""

QUICK_LEASES = {
    "cluster": {"heartbeat_s": 0.3, "suspect_s": 0.9, "lease_s": 2.0, "lease_margin_s": 1.0, "cancel_grace_s": 2.0}
}
"""A lost minion is settled after 3 s instead of 13."""


class Repository:
    """A git repository with a pipeline in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", "-C", str(self.path), *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text).lstrip())

    def commit(self, pipeline: str = "", **files: str) -> str:
        """Commit a pipeline (the body of its pipeline.py) and other files; return the commit."""
        if pipeline:
            self.write({".cicd/pipeline.py": pipeline})
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")


@contextlib.contextmanager
def cluster_of(**options) -> Iterator[LocalCluster]:
    """A cluster in a short temporary folder, started from outside the checkout, removed after."""
    folder = Path(tempfile.mkdtemp(prefix="ce-"))
    try:
        with LocalCluster(folder, python=PYTHON, **options) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(client: Client, name: str, repository: Repository, **options) -> PipelineRecord:
    """Create a pipeline and wait for its build; fail with the build's log if it did."""
    client.call(CreatePipeline(name=name, repo=str(repository.path), **options))
    record, log = build_of(client, name)
    assert record.build_state is BuildState.READY, log
    return record


def build_of(client: Client, name: str) -> tuple[PipelineRecord, str]:
    """Wait for a pipeline's newest build; return the pipeline and the build's log."""
    log = b""
    for answer in client.stream(FollowBuild(name=name)):
        if isinstance(answer, LogText):
            log += answer.data
    answer = client.ask(ShowPipeline(name=name), PipelineAnswer)
    return answer.view.pipeline, log.decode()


def start(client: Client, pipeline: str, **params: str) -> str:
    """Start a run and return its id."""
    return client.ask(StartRun(pipeline=pipeline, params=params), RunAnswer).run.id


def finish(client: Client, run: str) -> RunAnswer:
    """Follow a run to its end and return it whole."""
    for _ in client.stream(FollowRun(run=run)):
        pass
    return show(client, run)


def show(client: Client, run: str) -> RunAnswer:
    return client.ask(ShowRun(run=run), RunAnswer)


def states(answer: RunAnswer) -> dict[str, str]:
    return {view.job.name: str(view.job.state) for view in answer.jobs}


def log_of(client: Client, run: str, job: str, attempt: int = 0) -> tuple[str, LogEndInfo]:
    """Read a job's whole log; follow it to its end."""
    text = b""
    end = None
    for answer in client.stream(ReadLog(run=run, job=job, attempt=attempt, follow=True)):
        if isinstance(answer, LogText):
            assert answer.offset == len(text)
            text += answer.data
        elif isinstance(answer, LogEndInfo):
            end = answer
    assert end is not None
    return text.decode(), end


def until_running(client: Client, run: str, job: str, timeout_s: float = 30.0):
    """Wait until a job's process runs; return its view."""

    def running():
        answer = show(client, run)
        for view in answer.jobs:
            if view.job.name == job and view.job.state == "running" and view.attempts[-1].pid:
                return view
        assert answer.run.state in (RunState.QUEUED, RunState.RUNNING), answer
        return None

    return wait_until(running, timeout_s, f"{job} of {run} to run")


def cli(cluster: LocalCluster, *arguments: str, check: bool = False, **options) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in a process of its own outside the checkout."""
    env = {**os.environ, "CICD_OPERATOR": str(cluster.operator_file), "COLUMNS": "200"}
    return subprocess.run(
        [PYTHON, "-P", "-m", "cicd", *arguments],
        check=check,
        capture_output=True,
        text=True,
        cwd=cluster.state_dir,
        env=env,
        timeout=options.pop("timeout", 120),
        **options,
    )


def alive(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
