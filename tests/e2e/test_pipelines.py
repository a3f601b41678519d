"""Pipelines from create to result, as a user types it, over real processes, sockets and git."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections import Counter

import pytest

from cicd.errors import UserError
from cicd.messages.client import (
    CreatePipeline,
    FollowRun,
    ListMinions,
    ListRuns,
    MinionPage,
    PipelineAnswer,
    RecompilePipeline,
    RunAnswer,
    RunPage,
    ShowPipeline,
    ShowRun,
    StartRun,
)
from cicd.messages.cluster import Connection
from cicd.messages.run import RunState
from cicd.testing.free_ports import free_ports
from cicd.testing.waiting import wait_until
from e2e import (
    PYTHON,
    Repository,
    alive,
    build_of,
    cli,
    cluster_of,
    create,
    finish,
    log_of,
    show,
    start,
    states,
    until_running,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SHOP = """
import sys
import cicd_sdk as ci

pipeline = ci.Pipeline("shop", description="sells things")
pipeline.param("lines", type=int, default=3)

@pipeline.job
def lint(ctx: ci.Context) -> None:
    for number in range(ctx.params["lines"]):
        print("out", number)
        print("err", number, file=sys.stderr)

@pipeline.job
def unit(ctx: ci.Context) -> dict[str, str]:
    print((ctx.workspace / "version.txt").read_text(), end="")
    return {"version": (ctx.workspace / "version.txt").read_text().strip()}

@pipeline.job
def broken(ctx: ci.Context) -> None:
    print("about to fail")
    ctx.run("sh", "-c", "echo from the shell; exit 7")

@pipeline.job
def raising(ctx: ci.Context) -> None:
    raise ValueError("a bug of the user's")

@pipeline.job(needs=[broken])
def later(ctx: ci.Context) -> None: ...

@pipeline.job(needs=[later])
def even_later(ctx: ci.Context) -> None: ...

@pipeline.job(needs=[lint, unit])
def independent(ctx: ci.Context) -> None:
    print("version", ctx.needs["unit"]["version"])

if __name__ == "__main__":
    pipeline.main()
"""

SLOW = """
import time
import cicd_sdk as ci

pipeline = ci.Pipeline("slow")

@pipeline.job(timeout=1.0)
def too_slow(ctx: ci.Context) -> None:
    time.sleep(600)

@pipeline.job
def endless(ctx: ci.Context) -> None:
    print("begun", flush=True)
    time.sleep(600)

@pipeline.job(needs=[endless])
def after(ctx: ci.Context) -> None: ...

if __name__ == "__main__":
    pipeline.main()
"""

SMALL = """
import cicd_sdk as ci

pipeline = ci.Pipeline("small")

@pipeline.job
def only(ctx: ci.Context) -> None:
    print("{text}")

if __name__ == "__main__":
    pipeline.main()
"""

CYCLE = """
import cicd_sdk as ci

pipeline = ci.Pipeline("cycle")

@pipeline.job(needs=["two"])
def one(ctx: ci.Context) -> None: ...

@pipeline.job(needs=["one"])
def two(ctx: ci.Context) -> None: ...

if __name__ == "__main__":
    pipeline.main()
"""

GREEDY = """
import cicd_sdk as ci

pipeline = ci.Pipeline("greedy", depends_on=["shop"])

@pipeline.job(secrets=["KEY"], approval="Ship it?", cache_key="x")
def deploy(ctx: ci.Context) -> None: ...

if __name__ == "__main__":
    pipeline.main()
"""


@pytest.fixture(scope="module")
def cluster():
    options = {"cluster": {"cancel_grace_s": 1.0}, "tap": {"enabled": True}}
    with cluster_of(minions=3, slots=2, master_overrides=options) as made:
        yield made


@pytest.fixture
def client(cluster):
    with cluster.client() as made:
        yield made


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    repository = Repository(tmp_path_factory.mktemp("repos") / "shop")
    repository.commit(SHOP, **{"version.txt": "1.0\n"})
    return repository


pytestmark.append(pytest.mark.leaks("process", "the cluster lives as long as this module"))


def test_create_run_and_read_as_a_user_types_it(cluster, shop):
    """create, run --follow, runs show, logs: the words, the exit codes, and JSON for programs."""
    done = cli(cluster, "pipelines", "create", "shop", str(shop.path), "--description", "the shop")
    assert done.returncode == 0, done.stderr
    assert cli(cluster, "pipelines", "create", "shop", str(shop.path)).returncode == 4

    run = cli(cluster, "run", "shop", "-p", "lines=200", "--follow")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "from the shell" in run.stdout + run.stderr
    shown = json.loads(cli(cluster, "runs", "show", "shop#1", "--output", "json", check=True).stdout)
    jobs = {view["job"]["name"]: view for view in shown["jobs"]}
    assert {name: view["job"]["state"] for name, view in jobs.items()} == {
        "lint": "succeeded",
        "unit": "succeeded",
        "broken": "failed",
        "raising": "failed",
        "later": "skipped",
        "even_later": "skipped",
        "independent": "succeeded",
    }
    assert jobs["broken"]["attempts"][0]["result"]["exit_code"] == 7
    assert "ValueError: a bug of the user's" in jobs["raising"]["attempts"][0]["result"]["traceback"]
    assert "broken" in jobs["later"]["job"]["message"]
    log = cli(cluster, "logs", "shop#1", "lint", check=True).stdout
    assert log.splitlines() == [f"{stream} {number}" for number in range(200) for stream in ("out", "err")]
    assert cli(cluster, "logs", "shop#1", "independent", check=True).stdout == "version 1.0\n"
    listed = json.loads(cli(cluster, "pipelines", "list", "--output", "json", check=True).stdout)
    assert "shop" in json.dumps(listed)
    view = json.loads(cli(cluster, "pipelines", "show", "shop", "--output", "json", check=True).stdout)
    operator = json.loads(cli(cluster, "status", "--output", "json", check=True).stdout)["operator"]
    assert view["last_run"]["by"] == operator


def test_mistakes_are_one_clear_line(cluster, shop):
    """What is wrong and where; no traceback; the exit code says whose turn it is."""
    cases = [
        (4, "no pipeline is called", ("run", "nothing-there")),
        (4, "no run", ("runs", "show", "nothing-there")),
        (4, "not allowed", ("pipelines", "create", "x", "https://evil.example/a/b")),
        (4, "minion", ("minions", "suspend", "nobody")),
        (2, "PIPELINE", ("run",)),
        (2, "/nonexistent/operator.toml", ("--operator", "/nonexistent/operator.toml", "status")),
    ]
    for code, text, arguments in cases:
        done = cli(cluster, *arguments)
        assert done.returncode == code, (arguments, done)
        assert "Traceback" not in done.stderr, done.stderr
        assert text in done.stderr, (arguments, done.stderr)


def test_a_master_that_is_not_there_is_told_with_its_address(cluster, tmp_path):
    """Exit code 3: cannot reach; said within a few seconds."""
    port = free_ports(1)[0]
    operator = tmp_path / "operator.toml"
    lines = cluster.operator_file.read_text().splitlines()
    address = f'address = "tcp://127.0.0.1:{port}"'
    operator.touch(mode=0o600)
    operator.write_text("\n".join(address if line.startswith("address") else line for line in lines))
    done = cli(cluster, "--operator", str(operator), "status")
    assert (done.returncode, str(port) in done.stderr) == (3, True), done


def test_params_are_checked_before_anything_runs(cluster, client, shop):
    """Unknown, mistyped: every fault at once."""
    create(client, "params", shop)
    done = cli(cluster, "run", "params", "-p", "lines=many", "-p", "color=red")
    assert done.returncode == 4
    assert "lines" in done.stderr
    assert "color" in done.stderr


def test_the_log_is_whole_to_its_last_byte(client, shop):
    """Length, lines and sha256 of what is shown are those of what the minion wrote."""
    create(client, "whole", shop)
    run = start(client, "whole", lines="20000")
    finish(client, run)
    text, end = log_of(client, run, "lint")
    assert end.complete
    assert end.lines == 40_000
    assert hashlib.sha256(text.encode()).hexdigest() == end.sha256


def test_recompile_sees_a_new_commit_and_a_broken_build_keeps_the_last_good_plugin(cluster, client, tmp_path):
    """A failed build is told, its log can be read, and the pipeline goes on running what was good."""
    repository = Repository(tmp_path / "small")
    first = repository.commit(SMALL.format(text="first"))
    create(client, "small", repository)
    second = repository.commit(SMALL.format(text="second"))
    assert cli(cluster, "pipelines", "recompile", "small").returncode == 0
    run = start(client, "small")
    assert finish(client, run).run.commit == second != first
    assert log_of(client, run, "only")[0] == "second\n"

    repository.commit("import cicd_sdk as ci\nthis is no Python\n")
    broken = cli(cluster, "pipelines", "recompile", "small")
    assert broken.returncode == 1
    record, log = build_of(client, "small")
    assert record.build_state == "failed"
    assert "SyntaxError" in log
    assert "SyntaxError" in cli(cluster, "pipelines", "log", "small").stdout
    run = start(client, "small")
    assert finish(client, run).run.commit == second


def test_a_branch_a_tag_and_a_commit(client, tmp_path):
    """Two pipelines from two branches of one repository, one from a tag, one from a commit."""
    repository = Repository(tmp_path / "refs")
    base = repository.commit(SMALL.format(text="main"))
    repository.git("tag", "v1")
    repository.git("checkout", "-q", "-b", "feature/x")
    repository.commit(SMALL.format(text="feature"))
    repository.git("checkout", "-q", "main")
    repository.commit(SMALL.format(text="newer"))
    wanted = {"main": "newer", "feature/x": "feature", "v1": "main", base: "main"}
    for number, (ref, text) in enumerate(wanted.items()):
        create(client, f"ref-{number}", repository, ref=ref)
        run = start(client, f"ref-{number}")
        finish(client, run)
        assert log_of(client, run, "only")[0] == f"{text}\n"


@pytest.mark.parametrize(
    ("name", "pipeline", "told"),
    [
        ("cycle", CYCLE, ["one", "two"]),
        ("greedy", GREEDY, ["deploy", "secrets", "approval", "cache"]),
        ("crashing", "raise SystemExit(3)\n", ["3"]),
        ("empty", "import cicd_sdk as ci\npipeline = ci.Pipeline('empty')\npipeline.main()\n", ["no jobs"]),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(client, tmp_path, name, pipeline, told):
    """A cycle, things that are not honoured yet, a program that is no pipeline: all of it said at compile time."""
    repository = Repository(tmp_path / name)
    repository.commit(pipeline)
    client.call(CreatePipeline(name=name, repo=str(repository.path)))
    record, log = build_of(client, name)
    assert record.build_state == "failed"
    for word in told:
        assert word in record.build_error, (record.build_error, log)


def test_a_repository_that_does_not_exist(cluster, tmp_path):
    """One line that names it."""
    done = cli(cluster, "pipelines", "create", "nowhere", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr + done.stdout


def test_python_that_no_minion_has_is_refused(client, tmp_path):
    """requires-python is held against the minions there are."""
    repository = Repository(tmp_path / "future")
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.29"\n'
    repository.commit(SMALL.format(text="x"), **{".cicd/pyproject.toml": project})
    client.call(CreatePipeline(name="future", repo=str(repository.path)))
    record, _ = build_of(client, "future")
    assert record.build_state == "failed"
    assert "3.29" in record.build_error


def test_timeout_and_cancel_end_the_whole_tree(cluster, client, tmp_path):
    """A job that is too slow is TIMED_OUT; a cancelled run ends its jobs, and those behind never start."""
    repository = Repository(tmp_path / "slow")
    repository.commit(SLOW)
    create(client, "slow", repository)
    run = start(client, "slow")
    view = until_running(client, run, "endless")
    wait_until(lambda: states(show(client, run))["too_slow"] == "timed_out", 20)
    assert cli(cluster, "runs", "cancel", run).returncode == 0
    answer = finish(client, run)
    assert answer.run.state is RunState.CANCELLED
    assert states(answer) == {"too_slow": "timed_out", "endless": "cancelled", "after": "cancelled"}
    assert not alive(view.attempts[0].pid)
    assert cli(cluster, "runs", "cancel", run).returncode == 4
    assert log_of(client, run, "endless")[0] == "begun\n"


def test_round_robin_and_suspend_also_after_a_restart_of_the_master(cluster, client, tmp_path):
    """Idle equal minions get equal numbers, within one; a suspended one gets none until it is resumed."""
    repository = Repository(tmp_path / "robin")
    repository.commit(SMALL.format(text="x"))
    create(client, "robin", repository)

    def served(count: int) -> Counter[str]:
        minions: Counter[str] = Counter()
        for _ in range(count):
            minions[finish(client, start(client, "robin")).jobs[0].job.minion_name] += 1
        return minions

    counts = served(10)
    assert len(counts) == 3
    assert max(counts.values()) - min(counts.values()) <= 1

    done = cli(cluster, "minions", "suspend", "minion-2", "--why", "its fan is loud")
    assert done.returncode == 0, done.stderr
    assert "minion-2" not in served(6)
    cluster.kill_master(signal.SIGTERM)
    cluster.start_master()
    cluster.wait_ready(3)
    assert "minion-2" not in served(6)
    shown = json.loads(cli(cluster, "minions", "show", "minion-2", "--output", "json", check=True).stdout)
    assert shown["minion"]["suspended_why"] == "its fan is loud"
    assert cli(cluster, "minions", "resume", "minion-2").returncode == 0
    assert "minion-2" in served(3)


def test_a_request_that_is_repeated_starts_one_run(client, shop):
    """A client that lost its answer asks again with the same request id."""
    create(client, "once", shop)
    runs = {client.call(StartRun(pipeline="once", request="the-same")).run.id for _ in range(3)}
    assert len(runs) == 1
    finish(client, runs.pop())


def test_tokens_are_made_listed_and_revoked(cluster, client, tmp_path):
    """A revoked token lets nobody in; the minion says why."""
    made = json.loads(cli(cluster, "tokens", "create", "--note", "for a test", "--output", "json", check=True).stdout)
    assert made["token"].startswith("cicd1.")
    assert made["token"] not in cli(cluster, "tokens", "list", check=True).stdout
    assert cli(cluster, "tokens", "revoke", made["record"]["id"]).returncode == 0
    token = tmp_path / "token"
    token.write_text(made["token"])
    token.chmod(0o600)
    config = tmp_path / "minion.toml"
    endpoints = cluster.endpoints
    config.write_text(
        f'[minion]\nname = "intruder"\ndata_dir = "{tmp_path}/data"\n'
        f'[master]\ncontrol = "{endpoints["control"]}"\nbulk = "{endpoints["bulk"]}"\n'
        f'enrol = "{endpoints["enrol"]}"\ntoken_file = "{token}"\n'
    )
    log = tmp_path / "log"
    with log.open("w") as file:
        minion = subprocess.Popen(
            [PYTHON, "-P", "-m", "cicd.minion", "--config", str(config)], stderr=file, stdout=file, cwd=tmp_path
        )
    try:
        assert minion.wait(30) == 3
        assert "does not know join token" in log.read_text()
        names = {view.minion.name for view in client.ask(ListMinions(), MinionPage).minions}
        assert "intruder" not in names
    finally:
        minion.kill()
        minion.wait(10)


def test_the_tap_shows_what_crosses_the_sockets(cluster, client, tmp_path):
    """Typed, with ids, without payloads."""
    record = tmp_path / "tap.jsonl"
    repository = Repository(tmp_path / "tapped")
    repository.commit(SMALL.format(text="a secret text"))
    create(client, "tapped", repository)
    env = {**os.environ, "CICD_OPERATOR": str(cluster.operator_file)}
    with record.open("w") as file:
        tap = subprocess.Popen(
            [PYTHON, "-P", "-m", "cicd", "tap", "--output", "json"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=tmp_path,
        )
    try:
        wait_until(lambda: "Beat" in record.read_text(), 20)
        run = start(client, "tapped")
        finish(client, run)
        wait_until(lambda: "JobFinished" in record.read_text(), 20)
        wait_until(lambda: "LogChunk" in record.read_text(), 20)
        records = [json.loads(line) for line in record.read_text().splitlines()]
        (sent,) = [one for one in records if one["kind"] == "RunJob"]
        assert (sent["direction"], sent["socket"]) == ("out", "control")
        assert sent["ids"]["run"] == run
        assert sent["peer"].startswith("minion-")
        assert "a secret text" not in record.read_text()
    finally:
        tap.send_signal(signal.SIGINT)
        assert tap.wait(10) in (0, 130)


def test_minions_are_listed_with_how_they_are(cluster, client):
    """Connection, slots, last check-in."""
    page = client.ask(ListMinions(), MinionPage)
    assert [view.minion.name for view in page.minions] == ["minion-1", "minion-2", "minion-3"] or len(page.minions) == 3
    assert all(view.connection is Connection.READY and view.seen_s for view in page.minions)
    table = cli(cluster, "minions", "list", check=True).stdout
    assert "minion-1" in table
    assert "\x1b" not in table


MANY = """
import cicd_sdk as ci

pipeline = ci.Pipeline("many")

def one(ctx: ci.Context) -> dict[str, str]:
    return {"big": "x" * 12_000}

jobs = [pipeline.job(name=f"job-{number}")(one) for number in range(60)]

if __name__ == "__main__":
    pipeline.main()
"""


def test_large_outputs_are_shown_in_as_many_pages_as_they_need(client, cluster, tmp_path):
    """60 jobs with 12 kB of outputs each fit into no frame; whoever asks or follows gets all of them."""
    repository = Repository(tmp_path / "many")
    repository.commit(MANY)
    create(client, "many", repository)
    run = start(client, "many")
    seen: dict[str, str] = {}
    for answer in client.stream(FollowRun(run=run)):
        seen.update({view.job.name: str(view.job.state) for view in answer.jobs})
    assert set(seen.values()) == {"succeeded"}
    assert len(seen) == 60
    shown = json.loads(cli(cluster, "runs", "show", run, "--output", "json", check=True).stdout)
    assert [len(view["job"]["outputs"]["big"]) for view in shown["jobs"]] == [12_000] * 60
    first = client.ask(ShowRun(run=run), RunAnswer)
    assert first.more
    assert len(first.jobs) < 60


def test_pipelines_are_deleted_unless_they_run_and_runs_are_listed_in_pages(client, cluster, tmp_path):
    """Deleting frees the name and keeps the history; what runs is cancelled first."""
    repository = Repository(tmp_path / "doomed")
    repository.commit(SLOW.replace("timeout=1.0", "timeout=300.0"))
    create(client, "doomed", repository)
    runs = [start(client, "doomed") for _ in range(3)]
    refused = cli(cluster, "pipelines", "delete", "doomed", "--yes")
    assert refused.returncode == 4
    assert "active runs" in refused.stderr
    active = json.loads(cli(cluster, "runs", "list", "--active", "--output", "json", check=True).stdout)
    assert set(runs) <= {run["id"] for run in active}
    for run in runs:
        assert cli(cluster, "runs", "cancel", run).returncode == 0
        assert finish(client, run).run.state is RunState.CANCELLED
    page = client.ask(ListRuns(pipeline="doomed", limit=2), RunPage)
    assert ([run.id for run in page.runs], page.more) == (runs[:0:-1], True)
    rest = client.ask(ListRuns(pipeline="doomed", limit=2, before=str(page.runs[-1].number)), RunPage)
    assert ([run.id for run in rest.runs], rest.more) == (runs[:1], False)
    assert cli(cluster, "pipelines", "delete", "doomed", "--yes").returncode == 0
    assert cli(cluster, "pipelines", "show", "doomed").returncode == 4
    assert cli(cluster, "runs", "show", runs[0]).returncode == 0
    create(client, "doomed", repository)


def test_a_recompile_while_one_is_under_way_sees_the_newest_commit(client, tmp_path):
    """Two builds of one pipeline never run at once; the second begins when the first has ended."""
    repository = Repository(tmp_path / "twice")
    repository.commit(SMALL.format(text="one"))
    client.call(CreatePipeline(name="twice", repo=str(repository.path)))
    newest = repository.commit(SMALL.format(text="two"))
    client.call(RecompilePipeline(name="twice"))
    client.call(RecompilePipeline(name="twice"))

    def built():
        pipeline = client.ask(ShowPipeline(name="twice"), PipelineAnswer).view.pipeline
        return pipeline.build_state == "ready" and pipeline.build >= 2 and pipeline.commit == newest

    wait_until(built, 60)


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 101, "a/b", "a#1"])
def test_names_that_could_be_mistaken_are_refused(client, shop, name):
    """A pipeline's name stands in command lines and in PIPELINE#NUMBER."""
    with pytest.raises(UserError, match="not a pipeline's name"):
        client.call(CreatePipeline(name=name, repo=str(shop.path)))
