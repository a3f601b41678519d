"""Following a run: changes and logs in order of arrival, a table at the end, the run's outcome as exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd.cli import follow
from cicd.messages.base import Wire
from cicd.messages.client import (
    End,
    Failure,
    FollowRun,
    Item,
    LogEndInfo,
    LogText,
    ReadLog,
    Reply,
    Request,
    RunAnswer,
    StartRun,
)
from cicd.messages.run import JobState, RunState
from cli_peer import CliPeer, cli_peer
from client_peer import streaming
from sample_records import a_run, a_view

WHOLE = LogEndInfo(attempt=1, size_bytes=9, lines=2, sha256="x", complete=True)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[CliPeer]:
    with cli_peer(tmp_path) as peer:
        yield peer


class Script:
    """A run of two jobs: `build` logs and fails or succeeds, `ship` follows it."""

    def __init__(self, *, fails: bool = False, log_ends: bool = True) -> None:
        self._fails = fails
        self._log_ends = log_ends
        self._stream = 0

    def __call__(self, message: Wire) -> list[Wire]:
        if not isinstance(message, Request):
            return []
        call = message.call
        if isinstance(call, StartRun):
            return [Reply(id=message.id, answer=RunAnswer(run=a_run(RunState.QUEUED)))]
        if isinstance(call, FollowRun):
            self._stream = message.id
            whole = (a_view(0, "build", JobState.RUNNING), a_view(1, "ship", JobState.WAITING))
            return [Item(id=message.id, seq=1, answer=RunAnswer(run=a_run(), jobs=whole))]
        assert isinstance(call, ReadLog)
        assert (call.run, call.job, call.attempt, call.follow) == ("01run", "build", 1, True)
        ended = RunState.FAILED if self._fails else RunState.SUCCEEDED
        build = a_view(0, "build", JobState.FAILED, message="exit code 2") if self._fails else None
        last = (
            build or a_view(0, "build", JobState.SUCCEEDED),
            a_view(1, "ship", JobState.SKIPPED, message="it needs build, which failed"),
        )
        text = [LogText(offset=0, data=b"one\ntw"), LogText(offset=6, data=b"o")]
        log = streaming(*text, *([WHOLE] if self._log_ends else []), end=self._log_ends)(message)
        over = [
            Item(id=self._stream, seq=2, answer=RunAnswer(run=a_run(ended), jobs=last)),
            End(id=self._stream),
        ]
        return [log[0], *over, *log[1:]]  # the log's end comes after the run's


def test_a_run_that_succeeds(peer):
    peer.handler = Script()
    result = peer.cicd("run", "web", "--follow")
    assert result.exit_code == 0
    assert result.stdout == (
        "01run web#7\n"
        "-- build: running on minion-1\n"
        "build | one\n"
        "-- build: succeeded in 3.50 s\n"
        "-- ship: skipped: it needs build, which failed\n"
        "build | two\n"
        "\n"
        "JOB    MINION      WAIT    TIME  STATUS\n"
        "build  minion-1  1.25 s  3.50 s  succeeded\n"
        "ship   -              -       -  skipped\n"
        "web#7 succeeded after 12.5 s\n"
    )


def test_a_run_that_fails_is_exit_code_1(peer):
    peer.handler = Script(fails=True)
    result = peer.cicd("run", "web", "--follow")
    assert result.exit_code == 1
    assert result.stdout.endswith("build: exit code 2\nweb#7 failed after 12.5 s\n")


def test_a_run_for_programs(peer):
    peer.handler = Script(fails=True)
    result = peer.cicd("run", "web", "--follow", "--output", "json")
    assert result.exit_code == 1
    items = [json.loads(text) for text in result.stdout.splitlines()]
    assert [item["kind"] for item in items] == ["run", "job", "job", "line", "run", "job", "job", "line", "log_end"]
    assert items[0]["run"]["state"] == "running"
    assert items[4]["run"]["state"] == "failed"
    assert (items[7]["job"], items[7]["attempt"], items[7]["number"], items[7]["text"]) == ("build", 1, 2, "two")


def test_a_log_that_does_not_end_is_not_waited_for_for_ever(peer, monkeypatch):
    monkeypatch.setattr(follow, "LOGS_S", 0.3)
    peer.handler = Script(log_ends=False)
    result = peer.cicd("run", "web", "--follow")
    assert result.exit_code == 0
    assert "-- build: its log is not complete: nothing more of it has come for 0.3 s" in result.stdout


def test_a_run_that_cannot_be_followed(peer):
    peer.handler = lambda message: [Failure(id=message.id, code="not_found", text="no run 'x'")]
    result = peer.cicd("logs", "x", "--follow")
    assert (result.exit_code, result.stderr) == (4, "cicd: no run 'x'\n")


def test_each_attempt_has_a_log_of_its_own(peer):
    stream = 0

    def handle(message: Wire) -> list[Wire]:
        nonlocal stream
        if not isinstance(message, Request):
            return []
        if isinstance(message.call, StartRun):
            return [Reply(id=message.id, answer=RunAnswer(run=a_run()))]
        if isinstance(message.call, FollowRun):
            stream = message.id
            states = [
                a_view(0, "build", JobState.RUNNING),
                a_view(0, "build", JobState.QUEUED, attempt=1, lost=1, started_s=0.0),
                a_view(0, "build", JobState.ASSIGNED, attempt=2),
                a_view(0, "build", JobState.RUNNING, attempt=2),
            ]
            last = RunAnswer(run=a_run(RunState.SUCCEEDED), jobs=(a_view(0, "build", JobState.SUCCEEDED, attempt=2),))
            answers = [*(RunAnswer(run=a_run(), jobs=(state,)) for state in states), last]
            return streaming(*answers)(message)
        text = f"attempt {message.call.attempt}\n".encode()
        return streaming(LogText(offset=0, data=text), LogEndInfo(attempt=1, size_bytes=9, complete=True))(message)

    peer.handler = handle
    out = peer.cicd("run", "web", "--follow").stdout
    assert "-- build: queued again, for attempt 2\n" in out
    assert "-- build: running on minion-1, attempt 2\n" in out
    assert out.count("build | attempt 1\n") == out.count("build | attempt 2\n") == 1
    assert "build  minion-1  1.25 s  3.50 s  succeeded (attempt 2)\n" in out
    assert [r.call.attempt for r in peer.requests() if isinstance(r.call, ReadLog)] == [1, 2]
