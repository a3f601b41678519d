"""Who may go now, with real processes: groups, limits, superseded runs, pipelines that depend on others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cicd.client import Client
from cicd.messages.client import ListRuns, RunPage
from cicd.messages.run import RunState
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import Repository, cli, cluster_of, create, finish, show, start, states, until_running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PIPELINE = """
import os, pathlib, time
import cicd_sdk as ci

pipeline = ci.Pipeline("turns", OPTIONS)
pipeline.param("gate", required=True)
pipeline.param("witness", default="/dev/null")
pipeline.param("fails", default=False)


def say(ctx, what):
    file = os.open(ctx.params["witness"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{ctx.run_id} {what}\\n".encode())
    os.close(file)


@pipeline.job(GROUP)
def ship(ctx: ci.Context) -> None:
    say(ctx, "start")
    while not pathlib.Path(ctx.params["gate"]).exists():
        time.sleep(0.05)
    say(ctx, "end")
    if ctx.params["fails"]:
        raise RuntimeError("as asked for")


if __name__ == "__main__":
    pipeline.main()
"""


def pipeline(options: str = "", group: str = "") -> str:
    return PIPELINE.replace("OPTIONS", options).replace("GROUP", f"group={group!r}" if group else "")


def test_everybody_goes_in_turn_and_is_told_why_not_yet(tmp_path: Path) -> None:
    with cluster_of(minions=2, slots=2) as cluster, cluster.client() as client:
        for name, code in {
            "web": pipeline(group="deploy"),
            "shop": pipeline(group="deploy"),
            "one": pipeline("max_parallel_runs=1"),
            "app": pipeline("depends_on=['web']"),
            "stray": pipeline("depends_on=['nobody']"),
        }.items():
            repository = Repository(tmp_path / name)
            repository.commit(code)
            create(client, name, repository)
        one_of_a_group_at_a_time(cluster, client, tmp_path)
        no_more_than_the_limit_and_the_newest_of_all(cluster, client, tmp_path)
        after_what_it_depends_on(cluster, client, tmp_path)


def one_of_a_group_at_a_time(cluster: LocalCluster, client: Client, folder: Path) -> None:
    gate, witness = folder / "gate", folder / "witness"
    runs = [start(client, name, gate=str(gate), witness=str(witness)) for name in ("web", "shop", "web")]
    until_running(client, runs[0], "ship")
    for run in runs[1:]:
        assert show(client, run).jobs[0].waits == "group deploy is held by web#1 job ship"
    assert "group deploy is held by web#1 job ship" in cli(cluster, "runs", "show", "shop#1", check=True).stdout
    gate.touch()
    assert {finish(client, run).run.state for run in runs} == {RunState.SUCCEEDED}
    told = witness.read_text().split("\n")
    assert told == [f"{run} {what}" for run in runs for what in ("start", "end")] + [""], "in order, and never two"


def no_more_than_the_limit_and_the_newest_of_all(cluster: LocalCluster, client: Client, folder: Path) -> None:
    gate = folder / "gate of one"
    first, second = (start(client, "one", gate=str(gate)) for _ in range(2))
    until_running(client, first, "ship")
    why = "1 of 1 runs of one are active: #1"
    listed = json.loads(cli(cluster, "runs", "list", "--pipeline", "one", "--output", "json", check=True).stdout)
    assert [(run["number"], run["waiting"], run["waits"]) for run in listed] == [(2, True, why), (1, False, "")]
    cluster.kill_master()
    cluster.start_master()
    assert wait_until(lambda: show(client, second).waits, 30) == why
    newest = cli(cluster, "run", "one", "-p", f"gate={gate}", "--supersede", "--priority", "5", check=True).stdout
    assert finish(client, first).run.superseded_by == "one#3"
    assert finish(client, second).jobs[0].job.message == "superseded by one#3"
    page = client.ask(ListRuns(pipeline="one"), RunPage)
    assert [(run.state, run.priority) for run in page.runs][1:] == [(RunState.CANCELLED, 0)] * 2
    gate.touch()
    assert finish(client, newest.split()[0]).run.state is RunState.SUCCEEDED


def after_what_it_depends_on(cluster: LocalCluster, client: Client, folder: Path) -> None:
    gate, opened = folder / "gate of web", folder / "gate"
    web = start(client, "web", gate=str(gate), fails="true")
    app = start(client, "app", gate=str(opened))
    assert show(client, app).waits.startswith("depends on web#3 (")
    gate.touch()
    assert finish(client, web).run.state is RunState.FAILED
    ended = finish(client, app)
    why = "not started: web#3 failed; force it with --force"
    assert (ended.run.state, ended.run.message, states(ended)) == (RunState.FAILED, why, {"ship": "skipped"})
    refused = cli(cluster, "run", "app", "-p", f"gate={opened}")
    assert (refused.returncode, why in refused.stderr) == (1, True)
    assert cli(cluster, "run", "app", "-p", f"gate={opened}", "--force", "--follow").returncode == 0
    stray = cli(cluster, "run", "stray", "-p", f"gate={opened}")
    assert stray.returncode == 4
    assert "stray depends on 'nobody', which is not here" in stray.stderr
    assert cli(cluster, "run", "stray", "-p", f"gate={opened}", "--force", "-f").returncode == 0
