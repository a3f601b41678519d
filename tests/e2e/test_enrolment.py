"""Who is let in, with real processes and the command line: tokens, names, keys, and a minion that lost its folder."""

from __future__ import annotations

import json
import shutil
import signal

import pytest

from cicd.messages.run import RunState
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, cli, cluster_of, create, finish, start, states, until_running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAITS = """
    import os, time
    import cicd_sdk as ci
    pipeline = ci.Pipeline("waits")
    pipeline.param("file")

    @pipeline.job(checkout=False)
    def work(ctx: ci.Context) -> None:
        while not os.path.exists(ctx.params["file"]):
            time.sleep(0.05)

    @pipeline.job(checkout=False)
    def more(ctx: ci.Context) -> None:
        pass
"""


def ended(cluster: LocalCluster, name: str) -> str:
    """Return how a minion ended and what it said last."""
    process = cluster._minions[name]
    wait_until(lambda: not process.is_running, 60, f"{name} to end")
    return f"{process.ending()}\n{process.tail(8)}"


def minions(cluster: LocalCluster) -> list[str]:
    listed = json.loads(cli(cluster, "minions", "list", "--output", "json", check=True).stdout)
    return [view["minion"]["name"] for view in listed]


def test_tokens_are_counted_end_and_touch_nobody_who_is_in(short_folder) -> None:
    """One line for each reason, an exit code that says that starting again does not help."""
    with cluster_of(minions=1) as cluster:
        made = json.loads(cli(cluster, "tokens", "create", "--uses", "1", "--output", "json", check=True).stdout)
        once = short_folder / "once"
        once.write_text(made["token"])
        once.chmod(0o600)
        with_it = {"master": {"token_file": str(once)}}
        cluster.start_minion("second", with_it)
        cluster.wait_ready(2)
        cluster.start_minion("third", with_it)
        assert f"join token {made['record']['id']} has let in 1 of 1 minions" in ended(cluster, "third")
        assert cluster._minions["third"].ending() == "with exit code 3"
        cluster.kill_minion("third")

        assert cli(cluster, "tokens", "revoke", made["record"]["id"]).returncode == 0
        cluster.start_minion("fourth", with_it)
        assert "does not know join token" in ended(cluster, "fourth")
        cluster.kill_minion("fourth")
        rows = cli(cluster, "tokens", "list").stdout.splitlines()
        assert any(row.startswith(made["record"]["id"]) and "revoked" in row and "1/1" in row for row in rows)
        # It came in by that token, and comes again after both have been killed.
        cluster.kill_minion("second")
        cluster.kill_master()
        cluster.start_master()
        cluster.start_minion("second")
        cluster.wait_ready(2)

        assert cli(cluster, "minions", "remove", "second").returncode == 0
        # Its key is gone, and its token too: there is no way back.
        assert "does not know join token" in ended(cluster, "second")
        cluster.kill_minion("second")
        assert minions(cluster) == ["minion-1"]
        assert "control.denied" in cli(cluster, "status").stdout


def test_a_minion_that_lost_its_folder_gets_its_name_back_and_its_jobs_are_not_lost(short_folder, tmp_path) -> None:
    """While the old one may live, the name is its own; then the new one takes over the name, the place and the jobs."""
    repository = Repository(tmp_path / "repo")
    repository.commit(WAITS)
    gate = short_folder / "gate"
    with cluster_of(minions=1, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "waits", repository)
        run = start(client, "waits", file=str(gate))
        until_running(client, run, "work")
        twin = {"minion": {"name": "minion-1", "data_dir": "twin"}}
        cluster.start_minion("twin", twin)
        wait_until(lambda: "is called 'minion-1'" in cluster.log_file("twin").read_text(), 30, "the twin's refusal")
        cluster.kill_minion("twin", signal.SIGTERM)
        assert minions(cluster) == ["minion-1"]

        assert cli(cluster, "minions", "remove", "minion-1").returncode == 4
        cluster.kill_minion("minion-1")
        shutil.rmtree((cluster.state_dir / "minion-1" / "sockets").readlink())  # lies elsewhere
        shutil.rmtree(cluster.state_dir / "minion-1")
        gate.touch()
        cluster.start_minion("minion-1")
        answer = finish(client, run)
        assert answer.run.state is RunState.SUCCEEDED, states(answer)
        # Both jobs were meant for the old one, or for nobody: none was sent where nobody is, and left there.
        assert {len(view.attempts) for view in answer.jobs} == {1, 2}
