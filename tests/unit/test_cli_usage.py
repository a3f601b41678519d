"""Usage errors, exit codes, options, start-up: what holds for every command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cicd import __version__
from cicd.cli import _COMMANDS, cli
from cicd.messages.base import Wire
from cicd.messages.client import (
    CancelRun,
    CreateToken,
    Done,
    Failure,
    FollowRun,
    ListRuns,
    RemoveMinion,
    Reply,
    Request,
    ResolveJob,
    RunAnswer,
    RunPage,
    StartRun,
    StatusAnswer,
    TokenPage,
)
from cicd.messages.run import ResolvedAs
from cicd.testing.waiting import wait_until
from cli_peer import CliPeer, cli_peer
from client_peer import reply
from sample_records import a_run


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[CliPeer]:
    with cli_peer(tmp_path) as peer:
        yield peer


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, arguments, env=env)
    return result.exit_code, result.stdout, result.stderr


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cicd", *arguments]


# ---- help and start-up ---------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    found = []
    context = click.Context(cli)
    for name in _COMMANDS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            found += [[name, inner] for inner in command.commands]
        elif name not in {"master", "minion"}:  # their flags are argparse's
            found.append([name])
    return found


def test_help_lists_every_command():
    code, out, _ = run("--help")
    assert code == 0
    for name, (_, text) in _COMMANDS.items():
        assert name in out
        assert text.split()[0] in out


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself_and_takes_the_common_options(command):
    code, out, _ = run(*command, "-h")
    assert code == 0
    assert out.startswith(f"Usage: cicd {' '.join(command)}")
    assert "--operator" in out
    assert "--output" in out


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_of_commands_says_what_the_commands_say(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_the_version():
    assert run("--version") == (0, f"cicd {__version__}\n", "")


def test_help_imports_nothing_slow():
    script = (
        "import sys; from cicd.cli import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'rich','zmq','msgpack','msgspec','structlog','pykka','asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ---- usage errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["pipelin"], "cicd: no command 'pipelin': did you mean 'pipelines'? (see 'cicd --help')"),
        (["xyzzy"], "cicd: no command 'xyzzy' (see 'cicd --help')"),
        (["run"], "cicd: Missing argument 'PIPELINE' (see 'cicd run --help')"),
        (["run", "web", "-p", "x"], "cicd: -p x: expected KEY=VALUE (see 'cicd run --help')"),
        (["run", "web", "-p", "x=1", "-p", "x=2"], "cicd: -p x: given twice (see 'cicd run --help')"),
        (["logs", "web", "--attempt", "1"], "cicd: --attempt needs a JOB (see 'cicd logs --help')"),
        (
            ["runs", "cancel", "web", "--force", "--grace", "3"],
            "cicd: --force is --grace 0: give one of them (see 'cicd runs cancel --help')",
        ),
        (
            ["runs", "resolve", "web", "x"],
            "cicd: what became of it? --as succeeded, failed or retry (see 'cicd runs resolve --help')",
        ),
        (["dev", "--once"], "cicd: --once needs a FOLDER (see 'cicd dev --help')"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, text):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err == f"{text}\n"


def test_a_folder_without_a_pipeline_is_told_before_anything_starts(tmp_path):
    code, _, err = run("dev", str(tmp_path))
    assert code == 2
    assert "holds no .cicd/ folder and no pipeline.py" in err


def test_no_operator_file(tmp_path):
    absent = tmp_path / "absent.toml"
    code, out, err = run("status", CICD_OPERATOR=str(absent))
    assert (code, out) == (2, "")
    assert err == (
        f"cicd: no operator file {absent}: start a master there, or name the file by --operator or CICD_OPERATOR\n"
    )


def test_an_operator_file_that_others_can_read(peer):
    peer.operator_file.chmod(0o644)
    result = peer.cicd("status")
    assert result.exit_code == 2
    assert "chmod 600" in result.stderr


@pytest.mark.parametrize("server", ["master", "minion"])
def test_servers_are_the_modules_of_their_names(server, tmp_path, capfd):
    """All flags go on to `python -m cicd.master` and `cicd.minion`, whose exit code and words come back."""
    absent = tmp_path / "absent.toml"
    result = CliRunner().invoke(cli, [server, "--config", str(absent)])
    assert result.exit_code == 2
    assert f"{absent}: cannot be read: No such file or directory" in result.stderr + capfd.readouterr().err


# ---- what the master says ------------------------------------------------------------------------------


def test_nobody_there_is_exit_code_3(peer):
    peer.down()
    result = peer.cicd("status")
    assert result.exit_code == 3
    assert peer.address in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_refused_key_is_exit_code_3(peer):
    peer.transport.set_policy(lambda *_: None)
    result = peer.cicd("status")
    assert result.exit_code == 3
    assert "refuses this operator's key" in result.stderr


def test_what_the_master_refuses_is_exit_code_4(peer):
    peer.handler = lambda message: [Failure(id=message.id, code="not_found", text="no pipeline is called 'x'")]
    result = peer.cicd("pipelines", "show", "x")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "cicd: no pipeline is called 'x'\n"


def test_errors_are_json_where_json_is_asked_for(peer):
    peer.handler = lambda message: [Failure(id=message.id, code="conflict", text="taken")]
    result = peer.cicd("--output", "json", "pipelines", "recompile", "x")
    assert result.exit_code == 4
    assert json.loads(result.stderr) == {"error": {"code": "conflict", "message": "taken", "retryable": False}}


def test_what_others_wrote_does_not_steer_the_terminal(peer):
    peer.handler = lambda message: [Failure(id=message.id, code="conflict", text="a\x1b]0;b\x07c\rd")]
    assert "\x1b" not in peer.cicd("pipelines", "show", "x").stderr


# ---- options -------------------------------------------------------------------------------------------


def test_common_options_work_before_and_after_the_command(peer):
    peer.handler = reply(TokenPage(tokens=()))
    for arguments in (
        ["--output", "json", "tokens", "list"],
        ["tokens", "list", "--output", "json"],
        ["--output", "text", "tokens", "list", "--output", "json"],
    ):
        assert peer.cicd(*arguments).stdout == "[]\n"


def test_a_flag_beats_the_variable_wherever_it_stands(peer):
    peer.handler = reply(TokenPage(tokens=()))
    flag = ["--operator", str(peer.operator_file)]
    for arguments in ([*flag, "tokens", "list"], ["tokens", "list", *flag]):
        assert peer.cicd(*arguments, CICD_OPERATOR="/absent").exit_code == 0
    absent = ["--operator", "/absent"]
    for arguments in ([*absent, "tokens", "list"], ["tokens", "list", *absent]):
        assert peer.cicd(*arguments).exit_code == 2


def test_status(peer):
    def handle(message: Wire) -> list[Wire]:
        answer = StatusAnswer(version="0.1.0", operator="alice", started_s=1_767_600_000.0, data_dir="/d")
        return [Reply(id=message.id, answer=answer)] if isinstance(message, Request) else []

    peer.handler = handle
    shown = json.loads(peer.cicd("status", "--output", "json").stdout)
    assert shown["operator"] == "alice"
    assert shown["started_s"] == 1_767_600_000.0


def test_deleting_asks_first(peer):
    result = peer.cicd("pipelines", "delete", "web")
    assert result.exit_code == 130
    assert "Delete the pipeline web?" in result.stderr
    assert not peer.requests()


# ---- ends ----------------------------------------------------------------------------------------------


def follow_for_ever(message: Wire) -> list[Wire]:
    if isinstance(message, Request) and isinstance(message.call, StartRun):
        return [Reply(id=message.id, answer=RunAnswer(run=a_run()))]
    return []


def test_ctrl_c_says_that_the_run_goes_on(peer):
    peer.handler = follow_for_ever
    command = program("run", "web", "--follow", "--operator", str(peer.operator_file))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: [r for r in peer.requests() if isinstance(r.call, FollowRun)], 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == "01run web#7\n"
    assert err == "web#7 goes on: 'cicd runs cancel web#7' ends it, 'cicd logs web#7 -f' follows it again\n"


def test_a_reader_that_goes_away_is_no_error(peer):
    page = RunPage(runs=tuple(a_run(number=number) for number in range(100)))
    peer.handler = lambda message: [Reply(id=message.id, answer=page)]
    command = program("runs", "list", "--operator", str(peer.operator_file))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 141
    assert err == b""
    assert isinstance(peer.requests()[0].call, ListRuns)


def test_a_start_is_asked_for_once_however_often_it_is_sent(peer):
    peer.handler = lambda message: [Reply(id=message.id, answer=RunAnswer(run=a_run()))]
    result = peer.cicd("run", "web", "-p", "a=b=c")
    assert result.stdout == "01run web#7\n"
    (request,) = peer.requests()
    assert request.call.params == {"a": "b=c"}
    assert len(request.call.request) == 26


def test_runs_are_steered(peer):
    """cancel, retry, resolve: what is asked for, and what is said."""
    peer.handler = lambda message: [Reply(id=message.id, answer=RunAnswer(run=a_run()))]
    commands = {
        ("runs", "cancel", "web#7"): ("web#7 is being cancelled\n", CancelRun(run="web#7")),
        ("runs", "cancel", "web", "--job", "lint", "--grace", "2.5"): (
            "lint of web#7 is being cancelled\n",
            CancelRun(run="web", job="lint", grace_s=2.5),
        ),
        ("runs", "cancel", "web", "--force"): ("web#7 is being cancelled\n", CancelRun(run="web", grace_s=0.0)),
        ("runs", "resolve", "web", "ship", "--as", "retry"): (
            "ship of web#7 runs again\n",
            ResolveJob(run="web", job="ship", how=ResolvedAs.RETRY),
        ),
        ("runs", "resolve", "web", "ship", "--as", "failed", "--why", "I looked"): (
            "ship of web#7 counts as failed\n",
            ResolveJob(run="web", job="ship", how=ResolvedAs.FAILED, why="I looked"),
        ),
    }
    for arguments, (told, call) in commands.items():
        result = peer.cicd(*arguments)
        assert (result.exit_code, result.stdout) == (0, told), result.stderr
        assert peer.requests()[-1].call == call
        shown = json.loads(peer.cicd(*arguments, "--output", "json").stdout)
        assert shown["id"] == "01run"
    assert peer.cicd("runs", "retry", "web", "--all").stdout == "01run web#7\n"
    call = peer.requests()[-1].call
    assert (call.run, call.all_jobs, len(call.request)) == ("web", True, 26)
    assert json.loads(peer.cicd("runs", "retry", "web", "--output", "json").stdout)["id"] == "01run"


def test_a_token_goes_to_stdout_alone(peer):
    from cicd.messages.client import TokenAnswer
    from cicd.messages.cluster import TokenRecord

    record = TokenRecord(id="tok", client_public="x", created_s=0.0)
    peer.handler = reply(TokenAnswer(record=record, token="cicd1.a.tok.secret"))
    result = peer.cicd("tokens", "create", "--note", "rack 4")
    assert result.stdout == "cicd1.a.tok.secret\n"
    assert "secret" not in result.stderr
    assert peer.requests()[0].call == CreateToken(note="rack 4", lasts_s=7 * 86_400.0)
    peer.cicd("tokens", "create", "--expires", "90m", "--uses", "3")
    assert peer.requests()[1].call == CreateToken(lasts_s=5400.0, uses=3)
    peer.cicd("tokens", "create", "--expires", "never")
    assert peer.requests()[2].call == CreateToken()


def test_a_token_that_ends_when_it_begins_is_refused_in_one_line(peer):
    for expires in ("0d", "-1d", "soon", "7", "7w"):
        result = peer.cicd("tokens", "create", f"--expires={expires}")
        assert result.exit_code == 2
        assert f"'--expires': {expires!r} is none of 30m, 24h, 7d, never" in result.stderr
    assert not peer.requests()


def test_removing_a_minion_says_so(peer):
    peer.handler = reply(Done())
    assert peer.cicd("minions", "remove", "old").stdout == "old is removed\n"
    assert peer.requests()[0].call == RemoveMinion(name="old")
