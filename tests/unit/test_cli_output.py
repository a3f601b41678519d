"""How results look: plain text in a pipe, colours on a terminal, JSON for programs; from what a master sends."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cicd.cli import words
from cicd.cli.log_lines import LogLines
from cicd.cli.output import clean
from cicd.cli.run_display import story
from cicd.cli.run_summary import status
from cicd.cli.tap import line
from cicd.messages.base import Wire
from cicd.messages.client import (
    FollowBuild,
    ListPipelines,
    LogEndInfo,
    LogText,
    MinionAnswer,
    MinionPage,
    PipelineAnswer,
    PipelinePage,
    ReadLog,
    Reply,
    Request,
    RunAnswer,
    RunPage,
    ShowRun,
    TokenPage,
)
from cicd.messages.cluster import Connection, TokenRecord
from cicd.messages.pipeline import BuildState
from cicd.messages.run import JobState, RunState
from cicd.messages.tap import TapRecord
from cli_peer import CliPeer, cli_peer
from client_peer import reply, streaming
from sample_records import (
    START_S,
    a_failed_view,
    a_job,
    a_minion,
    a_pipeline_view,
    a_run,
    a_view,
)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[CliPeer]:
    with cli_peer(tmp_path) as peer:
        yield peer


# ---- words ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (0.456, "0.46 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (245, "4 min 05 s"),
        (11_220, "3 h 07 min"),
        (187_200, "2 d 04 h"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("passed_s", "text"),
    [(0.5, "just now"), (-3, "just now"), (5.7, "5 s ago"), (61, "1 min ago"), (90_000, "1 d ago")],
)
def test_how_long_ago(passed_s, text):
    assert words.ago(1000.0, 1000.0 + passed_s) == text
    assert words.ago(0.0, 1000.0) == "-"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (1024**5, "1024.0 TiB")],
)
def test_sizes(number, text):
    assert words.size(number) == text


def test_moments_sort_and_are_utc():
    assert words.moment(START_S) == "2026-01-05T08:00:00Z"
    assert words.moment(0.0) == "-"
    assert words.between(0.0, 5.0) == words.between(5.0, 0.0) == "-"


def test_every_state_of_a_job_has_a_story():
    stories = {state: story(a_view(0, "test", state, message="because")) for state in JobState}
    assert all(stories.values())
    assert stories[JobState.RUNNING] == "running on minion-1, because"
    assert stories[JobState.SUCCEEDED] == "succeeded in 3.50 s: because"
    assert story(a_view(0, "t", JobState.RUNNING)) == "running on minion-1"
    assert stories[JobState.TIMED_OUT] == "timed out: because"
    assert (
        story(a_view(0, "t", JobState.QUEUED, waits="no minion with label gpu")) == "queued (no minion with label gpu)"
    )
    assert story(a_view(0, "t", JobState.QUEUED, attempt=1)) == "queued again, for attempt 2"
    assert story(a_view(0, "t", JobState.RUNNING, attempt=2)) == "running on minion-1, attempt 2"
    backoff = a_view(0, "t", JobState.BACKOFF, message="exit code 1", backoff_s=4.25)
    assert story(backoff) == "attempt 1 failed: exit code 1; the next follows in 4.25 s"
    assert story(a_view(0, "t", JobState.FAILED, message="no", allow_failure=True)) == "failed (allowed): no"
    assert story(a_view(0, "t", JobState.SUCCEEDED, attempt=0, message="not run again")) == "not run again"


def test_what_is_special_about_a_jobs_end_stands_behind_its_state():
    assert status(a_job(0, "t", JobState.FAILED, allow_failure=True, attempt=3)) == "failed (allowed, attempt 3)"
    assert status(a_job(0, "t", JobState.SUCCEEDED, attempt=0, carried_from="01old")) == "succeeded (carried over)"
    assert status(a_job(0, "t", JobState.SUCCEEDED, allow_failure=True)) == "succeeded"
    assert status(a_job(0, "t", JobState.TIMED_OUT)) == "timed_out"


def test_control_characters_are_shown_as_blanks():
    assert clean("a\x1b[31mb\x07\r\nc\x9bd\u00e9") == "a [31mb   c d\u00e9"


# ---- lines of logs -------------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\x01", b"\n")), max_size=12))
def test_however_a_log_is_cut_its_lines_are_the_same(pieces):
    lines = LogLines()
    found = [item for piece in pieces for item in lines.feed(piece)] + lines.rest()
    whole = b"".join(pieces)
    expected = whole.split(b"\n")[:-1] if whole.endswith(b"\n") else whole.split(b"\n")
    assert [text for _, text in found] == ([] if whole == b"" else expected)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))


# ---- tables --------------------------------------------------------------------------------------------


def test_minions_in_a_pipe(peer):
    two = a_minion("box-two", Connection.SUSPECT, suspended=True, labels=(), slots=16)
    peer.handler = reply(MinionPage(minions=(a_minion(), two)))
    assert peer.cicd("minions", "list").stdout == (
        "NAME      STATE               SLOTS  LABELS  CHECKED IN            LOAD  MEMORY FREE  DISK FREE\n"
        "minion-1  ready               1/4    gpu     2026-01-05T08:01:00Z  0.50      2.0 GiB    1.0 GiB\n"
        "box-two   suspect, suspended  1/16   -       2026-01-05T08:01:00Z  0.50      2.0 GiB    1.0 GiB\n"
    )


def test_a_minion(peer):
    view = a_minion(suspended=True, suspended_by="alice", suspended_why="new disk")
    peer.handler = reply(MinionAnswer(view=view))
    out = peer.cicd("minions", "show", "minion-1").stdout
    assert "state        suspended\n" in out
    assert "suspended    by alice: new disk\n" in out
    assert json.loads(peer.cicd("minions", "show", "minion-1", "--output", "json").stdout)["minion"]["ring"] == 0


def test_pipelines_come_in_pages(peer):
    names = ["a", "b", "c"]

    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request) or not isinstance(message.call, ListPipelines):
            return []
        rest = [name for name in names if name > message.call.after]
        page = PipelinePage(pipelines=(a_pipeline_view(name=rest[0]),), more=len(rest) > 1)
        return [Reply(id=message.id, answer=page)]

    peer.handler = handle
    found = json.loads(peer.cicd("pipelines", "list", "--output", "json").stdout)
    assert [view["pipeline"]["name"] for view in found] == names
    assert peer.cicd("pipelines", "list").stdout.splitlines()[1] == (
        "a     ready  0123456789  #7 2026-01-05T08:00:00Z  alice  https://github.com/o/web.git@main:.cicd"
    )


def test_a_pipeline(peer):
    peer.handler = reply(PipelineAnswer(view=a_pipeline_view(BuildState.FAILED, build_error="no wheel for numpy")))
    out = peer.cicd("pipelines", "show", "web").stdout
    assert "build        failed (build 3)\n" in out
    assert "error        no wheel for numpy\n" in out
    assert "channel  string  dev       dev, stable\n" in out
    assert "n        string  required  -\n" in out
    assert "ship  test   -        no          -\n" in out


def test_no_rows_leave_the_columns_and_a_hint_beside_them(peer):
    peer.handler = reply(RunPage(runs=()))
    result = peer.cicd("runs", "list")
    assert result.stdout == "RUN  STATE  CREATED  TIME  BY  COMMIT  ID\n"
    assert result.stderr == "no runs yet: 'cicd run PIPELINE' starts one\n"
    assert peer.cicd("runs", "list", "--output", "json").stdout == "[]\n"


def test_as_many_runs_as_asked_for(peer):
    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request):
            return []
        first = int(message.call.before or 1000) - 1
        numbers = range(first, first - min(message.call.limit, 100), -1)
        runs = tuple(a_run(number=number, id=f"{number:05d}") for number in numbers)
        return [Reply(id=message.id, answer=RunPage(runs=runs, more=True))]

    peer.handler = handle
    found = json.loads(peer.cicd("runs", "list", "--limit", "150", "--output", "json").stdout)
    assert [run["number"] for run in found] == list(range(999, 849, -1))
    assert [request.call.limit for request in peer.requests()] == [100, 50]


def test_a_run_says_why_jobs_wait_and_what_failed_ones_said(peer):
    jobs = (a_failed_view(0, "test"), a_view(1, "gpu", JobState.QUEUED, "no minion with label gpu"))
    peer.handler = reply(RunAnswer(run=a_run(params={"channel": "dev"}), jobs=jobs))
    out = peer.cicd("runs", "show", "web").stdout
    assert "params      channel=dev\n" in out
    assert "gpu   queued  -              -       -  no minion with label gpu\n" in out
    assert "test, attempt 1 on minion-1: failed: ValueError: no; exit code 1; user failure\n" in out
    assert '    File "p.py", line 1\n' in out


def test_tokens(peer):
    token = TokenRecord(id="a", client_public="x", created_s=START_S, created_by="alice", enrol_only=True)
    tokens = (
        replace(token, revoked=True),
        replace(token, id="b", expires_s=START_S + 60, uses=3),
        replace(token, id="c", uses=2, max_uses=2),
        replace(token, id="d", max_uses=2, note="rack 4"),
    )
    peer.handler = reply(TokenPage(tokens=tokens))
    assert peer.cicd("tokens", "list").stdout == (
        "ID  STATE    CREATED               EXPIRES               USES  BY     NOTE\n"
        "a   revoked  2026-01-05T08:00:00Z  never                 0     alice\n"
        "b   expired  2026-01-05T08:00:00Z  2026-01-05T08:01:00Z  3     alice\n"
        "c   used up  2026-01-05T08:00:00Z  never                 2/2   alice\n"
        "d   valid    2026-01-05T08:00:00Z  never                 0/2   alice  rack 4\n"
    )


def test_a_tap_record():
    record = TapRecord(
        time_s=START_S + 1.5,
        socket="control",
        direction="out",
        peer="minion-1",
        kind="RunJob",
        size_bytes=2048,
        ids={"run": "r", "attempt": "1"},
        latency_s=0.0123,
    )
    assert line(record) == ("08:00:01.500 control -> minion-1         RunJob           2.0 KiB 12.3 ms attempt=1 run=r")


# ---- builds --------------------------------------------------------------------------------------------


def building(state: BuildState, error: str = "") -> object:
    view = a_pipeline_view(state, build_error=error)
    follow = streaming(
        LogText(offset=0, data=b"fetching\nbuil"), LogText(offset=13, data=b"ding"), PipelineAnswer(view=view)
    )

    def handle(message: Wire) -> list[Wire]:
        if isinstance(message, Request) and isinstance(message.call, FollowBuild):
            return follow(message)
        return reply(PipelineAnswer(view=view))(message)

    return handle


def test_creating_waits_for_the_build(peer):
    peer.handler = building(BuildState.READY)
    result = peer.cicd("pipelines", "create", "web", "o/web", "--ref", "main", "--path", "ci", "--description", "d")
    assert result.exit_code == 0
    assert result.stdout == "web is ready: 2 jobs, commit 0123456789, build 3\n"
    assert result.stderr == "fetching\nbuilding\n"
    call = peer.requests()[0].call
    assert (call.name, call.repo, call.ref, call.path, call.description) == ("web", "o/web", "main", "ci", "d")


def test_a_failed_build_is_exit_code_1_and_its_error_the_last_line(peer):
    peer.handler = building(BuildState.FAILED, "no module named nope")
    result = peer.cicd("pipelines", "recompile", "web")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "cicd: build 3 of web failed: no module named nope"


def test_not_waiting_for_the_build(peer):
    peer.handler = building(BuildState.BUILDING)
    result = peer.cicd("pipelines", "create", "web", "o/web", "--no-wait")
    assert result.stdout == "web is being built: build 3; 'cicd pipelines log web -f' follows it\n"
    assert len(peer.requests()) == 1


def test_the_log_of_a_build_is_printed_as_it_is(peer):
    peer.handler = building(BuildState.READY)
    assert peer.cicd("pipelines", "log", "web").stdout_bytes == b"fetching\nbuilding"
    lines = [json.loads(text) for text in peer.cicd("pipelines", "log", "web", "--output", "json").stdout.splitlines()]
    assert [(item["kind"], item.get("text")) for item in lines] == [
        ("line", "fetching"),
        ("line", "building"),
        ("pipeline", None),
    ]


# ---- logs ----------------------------------------------------------------------------------------------

BYTES = b"one\n\xff\x1b[31mtwo\r\n\nthree"
END = LogEndInfo(attempt=2, size_bytes=len(BYTES), lines=4, sha256=hashlib.sha256(BYTES).hexdigest(), complete=True)


def with_logs(message: Wire) -> list[Wire]:
    if not isinstance(message, Request):
        return []
    if isinstance(message.call, ShowRun):
        jobs = (
            a_view(0, "test", JobState.SUCCEEDED, attempt=2),
            a_view(1, "lint-all", JobState.SUCCEEDED),
            a_view(2, "ship", JobState.SKIPPED),
        )
        return [Reply(id=message.id, answer=RunAnswer(run=a_run(), jobs=jobs))]
    assert isinstance(message.call, ReadLog)
    if message.call.job == "test":
        return streaming(LogText(offset=0, data=BYTES[:6]), LogText(offset=6, data=BYTES[6:]), END)(message)
    return streaming(LogText(offset=0, data=b"ok\n"), LogEndInfo(attempt=1, size_bytes=3, gap="disk broke"))(message)


def test_one_log_is_printed_byte_for_byte_and_its_end_on_stderr(peer):
    peer.handler = with_logs
    result = peer.cicd("logs", "web#7", "test")
    assert result.stdout_bytes == BYTES
    assert result.stderr == f"complete: 4 lines, {len(BYTES)} B, sha256 {hashlib.sha256(BYTES).hexdigest()}\n"
    call = peer.requests()[-1].call
    assert (call.run, call.attempt) == ("01run", 2)


def test_all_logs_have_their_jobs_in_front(peer):
    peer.handler = with_logs
    result = peer.cicd("logs", "web#7")
    assert result.stdout_bytes == (
        b"test     | one\ntest     | \xff\x1b[31mtwo\r\ntest     | \ntest     | three\nlint-all | ok\n"
    )
    assert result.stderr.splitlines()[1] == "lint-all: not complete: disk broke; it ends after 3 B, in line 1"


def test_logs_for_programs(peer):
    peer.handler = with_logs
    items = [json.loads(text) for text in peer.cicd("logs", "web#7", "test", "--output", "json").stdout.splitlines()]
    assert [item["text"] for item in items[:-1]] == ["one", "\ufffd\x1b[31mtwo\r", "", "three"]
    assert [item["number"] for item in items[:-1]] == [1, 2, 3, 4]
    assert (items[-1]["kind"], items[-1]["complete"]) == ("log_end", True)


# ---- terminals -----------------------------------------------------------------------------------------


def on_terminal(peer: CliPeer, *arguments: str) -> str:
    """Run the command line on a terminal of 100 columns and return what it shows there."""
    main, side = pty.openpty()
    env = {**os.environ, "CICD_OPERATOR": str(peer.operator_file), "TERM": "xterm-256color", "COLUMNS": "100"}
    env.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "cicd", *arguments]
    with subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=env) as process:
        os.close(side)
        shown = b""
        try:
            while data := os.read(main, 65536):
                shown += data
        except OSError:  # the other side is closed
            pass
        finally:
            os.close(main)
        process.wait(30)
    return shown.decode()


def test_a_table_on_a_terminal_is_coloured(peer):
    peer.handler = reply(RunPage(runs=(a_run(RunState.SUCCEEDED), a_run(RunState.FAILED, number=6))))
    shown = on_terminal(peer, "runs", "list")
    assert "\x1b[32msucceeded\x1b[0m" in shown
    assert "\x1b[31mfailed" in shown
    assert " ago" in shown


def test_a_build_on_a_terminal(peer):
    peer.handler = building(BuildState.READY)
    shown = on_terminal(peer, "pipelines", "recompile", "web")
    assert "\x1b[2mfetching\x1b[0m" in shown
    assert "web is ready: 2 jobs" in shown


def test_bytes_are_base64_in_json():
    from cicd.codec import to_plain

    assert to_plain(LogText(offset=0, data=b"\xff"))["data"] == base64.b64encode(b"\xff").decode()
