"""Minions that are not well, and minions that leave, in a whole cluster of real processes, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cicd.messages.cluster import Availability, Connection
from cicd.messages.run import RunState
from cicd.testing.managed_process import ProcessEndedError
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, cli, cluster_of, create, finish, show, start, until_running

pytestmark = pytest.mark.e2e

WAITS = """
    import pathlib, time
    from cicd_sdk import Pipeline

    pipeline = Pipeline("waits")
    pipeline.param("until")

    @pipeline.job()
    def work(ctx):
        while not pathlib.Path(ctx.params["until"]).exists():
            time.sleep(0.02)

    if __name__ == "__main__":
        pipeline.main()
"""


def shown(cluster, name: str) -> dict:
    return json.loads(cli(cluster, "minions", "show", name, "--output", "json").stdout)


def reasons(cluster, name: str) -> list[str]:
    return [reason["text"] for reason in shown(cluster, name).get("health", ())]


def has_ended(cluster, name: str) -> bool:
    try:
        cluster.minion_pid(name)
    except ProcessEndedError:
        return True
    return False


def test_an_unhealthy_minion_gets_no_job_and_a_drained_one_finishes_and_leaves(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repo")
    repository.commit(WAITS)
    fit, until = tmp_path / "fit", tmp_path / "until"
    command = ["sh", "-c", f"test -e {fit} || {{ echo 'not fit'; exit 1; }}"]
    checks = [{"name": "fit", "command": command, "every_s": 0.1, "failures": 1}]
    with (
        cluster_of(
            minions=1, slots=2, master_overrides=QUICK_LEASES, minion_overrides={"health": {"checks": checks}}
        ) as cluster,
        cluster.client() as client,
    ):
        # Not fit: the job waits, and says so.
        create(client, "waits", repository)
        wait_until(lambda: reasons(cluster, "minion-1") == ["check fit: not fit"], 20, "the check to fail")
        assert "minion-1  unhealthy" in cli(cluster, "minions", "list").stdout
        run = start(client, "waits", until=str(until))
        assert show(client, run).jobs[0].waits == "minion-1: unhealthy (check fit: not fit)"
        # Fit again: it runs, and what runs goes on when the check fails anew.
        fit.touch()
        pid = until_running(client, run, "work").attempts[0].pid
        fit.unlink()
        wait_until(lambda: reasons(cluster, "minion-1"), 20, "the check to fail again")
        fit.touch()
        wait_until(lambda: not reasons(cluster, "minion-1"), 20, "the check to pass again")
        # Drain: the job goes on, the next one waits.
        told = cli(cluster, "minions", "drain", "minion-1", "--why", "new disk")
        assert told.stdout == "minion-1 is draining; 1 running there are finished first\n"
        later = start(client, "waits", until=str(until))
        view = shown(cluster, "minion-1")
        assert (view["connection"], view["availability"], view["minion"]["suspended_why"]) == (
            Connection.READY,
            Availability.DRAINING,
            "new disk",
        )
        assert show(client, later).jobs[0].waits.startswith("minion-1: draining by ")
        until.touch()
        answer = finish(client, run)
        assert (answer.run.state, answer.jobs[0].attempts[0].pid) == (RunState.SUCCEEDED, pid)
        # It leaves by itself, with exit code 0, and the master knows that it has left.
        wait_until(lambda: has_ended(cluster, "minion-1"), 20, "the minion to leave")
        cluster.check()
        wait_until(lambda: shown(cluster, "minion-1")["minion"].get("left"), 20, "the master to know")
        assert "minion-1  left, suspended" in cli(cluster, "minions", "list").stdout
        assert "minion.drained" in cluster.log_file("minion-1").read_text()
        # Back again: suspended, until somebody resumes it.
        cluster.start_minion("minion-1")
        cluster.wait_ready(1)
        assert show(client, later).jobs[0].waits.startswith("minion-1: suspended by ")
        assert cli(cluster, "minions", "resume", "minion-1").stdout == "minion-1 is resumed\n"
        assert finish(client, later).run.state is RunState.SUCCEEDED
