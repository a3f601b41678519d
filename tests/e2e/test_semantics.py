"""What jobs may ask for and people may do, over real processes: retries, cleanup, allowed failures, cancel, resolve."""

from __future__ import annotations

import json

import pytest

from cicd.messages.run import JobState
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, alive, cli, cluster_of, create, finish, show, start, states, until_running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.leaks("process", "the cluster lives as long as this module"),
    pytest.mark.leaks("folder", "of a jobhost that is killed; the next of its minion removes it"),
]

SHOP = """
import pathlib
import cicd_sdk as ci

pipeline = ci.Pipeline("shop")
pipeline.param("mended", required=True)

@pipeline.job(retry=ci.Retry(2, backoff="200ms"))
def flaky(ctx: ci.Context) -> dict[str, str]:
    if ctx.attempt == 1:
        ctx.run("sh", "-c", "exit 7")
    return {"attempt": str(ctx.attempt)}

@pipeline.job(allow_failure=True)
def lint() -> None:
    raise ValueError("untidy")

@pipeline.job(needs=[lint])
def after_lint() -> None: ...

@pipeline.job
def build() -> dict[str, str]:
    return {"version": "1.2"}

@pipeline.job(needs=[build])
def test(ctx: ci.Context) -> None:
    assert ctx.needs["build"]["version"] == "1.2"
    assert pathlib.Path(ctx.params["mended"]).exists()

@pipeline.job(needs=[test, flaky])
def ship(ctx: ci.Context) -> None:
    assert ctx.needs["flaky"]["attempt"] == "2"

@pipeline.job(needs=[ci.on_failure(test)])
def clean() -> None: ...

@pipeline.job(needs=[ci.on_any(ship)])
def tell() -> None: ...

if __name__ == "__main__":
    pipeline.main()
"""

STEERED = """
import time
import cicd_sdk as ci

pipeline = ci.Pipeline("steered")

@pipeline.job(idempotent=False)
def deploy() -> None:
    time.sleep(600)

@pipeline.job
def stubborn() -> None:
    while True:
        try:
            time.sleep(600)
        except ci.Cancelled:
            pass

@pipeline.job(needs=[ci.on_any(stubborn)])
def report() -> None: ...

@pipeline.job(needs=[deploy])
def after() -> None: ...

if __name__ == "__main__":
    pipeline.main()
"""

LIMITED = """
import time
import cicd_sdk as ci

pipeline = ci.Pipeline("limited", run_timeout="1500ms")

@pipeline.job
def endless() -> None:
    time.sleep(600)

if __name__ == "__main__":
    pipeline.main()
"""


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(minions=1, slots=4, master_overrides=QUICK_LEASES) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster, tmp_path_factory):
    repository = Repository(tmp_path_factory.mktemp("repos") / "all")
    files = {f"{name}/pipeline.py": text for name, text in (("steered", STEERED), ("limited", LIMITED))}
    repository.commit(SHOP, **files)
    with cluster.client() as made:
        create(made, "shop", repository)
        create(made, "steered", repository, path="steered")
        create(made, "limited", repository, path="limited")
        yield made


def test_a_flaky_job_a_cleanup_an_allowed_failure_and_a_retry_of_what_failed(cluster, client, tmp_path):
    mended = tmp_path / "mended"
    run = cli(cluster, "run", "shop", "-p", f"mended={mended}", "--follow")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "-- flaky: attempt 1 failed: sh -c 'exit 7' exited with code 7; the next follows in 0.2" in run.stdout, (
        run.stdout
    )
    assert "-- lint: failed (allowed): ValueError: untidy" in run.stdout
    answer = show(client, "shop#1")
    assert states(answer) == {
        "flaky": "succeeded", "lint": "failed", "after_lint": "succeeded", "build": "succeeded", "test": "failed",
        "ship": "skipped", "clean": "succeeded", "tell": "succeeded",
    }  # fmt: skip
    shown = cli(cluster, "runs", "show", "shop#1", check=True).stdout
    assert "succeeded (attempt 2)" in shown
    assert "failed (allowed)" in shown
    assert "flaky, attempt 1 on minion-1: failed: sh -c 'exit 7' exited with code 7" in shown

    mended.touch()
    again = cli(cluster, "runs", "retry", "shop#1", "--follow")
    assert again.returncode == 0, again.stdout + again.stderr
    answer = show(client, "shop#2")
    assert states(answer) == {
        "flaky": "succeeded", "lint": "failed", "after_lint": "succeeded", "build": "succeeded", "test": "succeeded",
        "ship": "succeeded", "clean": "skipped", "tell": "succeeded",
    }  # fmt: skip
    tried = {view.job.name for view in answer.jobs if view.job.attempt}
    assert tried == {"lint", "after_lint", "test", "ship", "tell"}, "the others were carried over"
    old = show(client, "shop#1").run
    assert (answer.run.retry_of, answer.run.commit, answer.run.params) == (old.id, old.commit, old.params)
    refused = cli(cluster, "runs", "retry", "shop#2")
    assert refused.returncode == 4
    assert "has succeeded: nothing is left to run again" in refused.stderr


def test_one_job_is_killed_another_is_resolved_by_a_person(cluster, client):
    run = start(client, "steered")
    stubborn = until_running(client, run, "stubborn").attempts[-1].pid
    deploy = until_running(client, run, "deploy").attempts[-1].pid
    early = cli(cluster, "runs", "retry", "steered")
    assert (early.returncode, "is still running" in early.stderr) == (4, True)
    early = cli(cluster, "runs", "resolve", "steered", "deploy", "--as", "failed")
    assert (early.returncode, "only a job in doubt" in early.stderr) == (4, True)

    cli(cluster, "runs", "cancel", "steered", "--job", "stubborn", "--grace", "600", check=True)
    assert alive(stubborn)
    cli(cluster, "runs", "cancel", "steered", "--job", "stubborn", "--force", check=True)

    def is_in(name, state):
        return next(view for view in show(client, run).jobs if view.job.name == name).job.state is state

    wait_until(lambda: is_in("report", JobState.SUCCEEDED), 30, "the report on the cancelled job")
    assert is_in("stubborn", JobState.CANCELLED)
    assert not alive(stubborn)

    cluster.kill_minion("minion-1")
    wait_until(lambda: is_in("deploy", JobState.UNKNOWN), 30, "the deployment to be in doubt")
    assert not alive(deploy)
    cluster.start_minion("minion-1")
    word = ("runs", "resolve", "steered", "deploy", "--as", "succeeded", "--why", "it is there")
    cli(cluster, *word, check=True)
    finish(client, run)
    shown = json.loads(cli(cluster, "runs", "show", "steered", "--output", "json", check=True).stdout)
    jobs = {view["job"]["name"]: view["job"] for view in shown["jobs"]}
    assert {name: job["state"] for name, job in jobs.items()} == {
        "deploy": "succeeded", "stubborn": "cancelled", "report": "succeeded", "after": "succeeded",
    }  # fmt: skip
    assert jobs["deploy"]["message"].endswith("says it succeeded: it is there")
    assert jobs["deploy"]["resolution"]["how"] == "succeeded"
    assert shown["run"]["state"] == "cancelled"
    assert cli(cluster, *word).returncode == 4


def test_a_run_that_takes_too_long_fails_and_says_so(cluster, client):
    cluster.wait_ready(1)
    run = cli(cluster, "run", "limited", "--follow")
    assert run.returncode == 1
    assert "limited#1 failed after" in run.stdout
    assert "took longer than its time limit of 1.5 s" in run.stdout
    assert states(show(client, "limited")) == {"endless": "cancelled"}
