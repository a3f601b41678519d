"""Runs that wait, were superseded or not started: how the command line asks for them and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cicd.cli.story import ENDED, of_records
from cicd.messages.base import Wire
from cicd.messages.client import End, FollowRun, Item, Reply, Request, RunAnswer, RunPage, StartRun
from cicd.messages.run import Dependency, JobState, RunState
from cli_peer import CliPeer, cli_peer
from client_peer import reply
from sample_records import a_run, a_view

WHY = "2 of 2 runs of web are active: #5, #6"
NOT_STARTED = "not started: lib#7 failed; force it with --force"


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[CliPeer]:
    with cli_peer(tmp_path) as peer:
        yield peer


def test_a_list_says_why_runs_wait_and_what_became_of_others(peer):
    runs = (
        a_run(RunState.QUEUED, id="c", number=9, waiting=True),
        a_run(RunState.CANCELLED, id="b", number=8, cancel_by="ann", superseded_by="web#9"),
        a_run(RunState.FAILED, id="a", number=7, message=NOT_STARTED),
    )
    peer.handler = reply(RunPage(runs=runs, waits={"c": WHY}))
    out = peer.cicd("runs", "list").stdout
    assert f"queued ({WHY})" in out
    assert "cancelled (superseded by web#9)" in out
    assert f"failed ({NOT_STARTED})" in out
    found = json.loads(peer.cicd("runs", "list", "--output", "json").stdout)
    assert [(run["id"], run["waits"]) for run in found] == [("c", WHY), ("b", ""), ("a", "")]


def test_a_run_is_shown_with_why_it_waits_its_priority_and_what_it_depends_on(peer):
    run = a_run(RunState.QUEUED, waiting=True, priority=7, depends_on=(Dependency("p1", "lib"), Dependency("p2", "x")))
    peer.handler = reply(RunAnswer(run=run, waits="depends on lib#3 (running)"))
    out = peer.cicd("runs", "show", "web").stdout
    for line in ("state       queued (depends on lib#3 (running))", "priority    7", "depends on  lib, x"):
        assert line in out
    peer.handler = reply(RunAnswer(run=a_run(forced=True)))
    assert "depends on  nothing: forced" in peer.cicd("runs", "show", "web").stdout


def test_what_is_asked_for_is_sent_and_a_priority_has_bounds(peer):
    peer.handler = reply(RunAnswer(run=a_run(RunState.QUEUED)))
    assert peer.cicd("run", "web", "--priority", "-7", "--supersede", "--force").exit_code == 0
    call = peer.requests()[0].call
    assert replace(call, request="") == StartRun(pipeline="web", priority=-7, supersede=True, force=True)
    assert peer.cicd("run", "web", "--priority", "101").exit_code == 2


def test_a_run_that_is_not_started_is_a_failure(peer):
    peer.handler = reply(RunAnswer(run=a_run(RunState.FAILED, message=NOT_STARTED)))
    result = peer.cicd("run", "web")
    assert (result.exit_code, NOT_STARTED in result.stderr) == (1, True)


def test_following_says_why_the_run_waits_and_how_it_ended(peer):
    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request):
            return []
        if isinstance(message.call, StartRun):
            return [Reply(id=message.id, answer=RunAnswer(run=a_run(RunState.QUEUED)))]
        assert isinstance(message.call, FollowRun)
        waiting = a_run(RunState.QUEUED, waiting=True)
        ended = a_run(RunState.FAILED, message=NOT_STARTED)
        answers = (
            RunAnswer(run=waiting, waits=WHY, jobs=(a_view(0, "build", JobState.WAITING, WHY),)),
            RunAnswer(run=waiting, waits=WHY),
            RunAnswer(run=waiting, waits="depends on lib#7 (running)"),
            RunAnswer(run=ended, jobs=(a_view(0, "build", JobState.SKIPPED),)),
        )
        items = [Item(id=message.id, seq=seq, answer=answer) for seq, answer in enumerate(answers, 1)]
        return [*items, End(id=message.id)]

    peer.handler = handle
    result = peer.cicd("run", "web", "--follow")
    assert result.exit_code == 1
    lines = [line for line in result.stdout.splitlines() if line.startswith("-- web")]
    assert lines == ["-- web#7 waits: " + WHY, "-- web#7 waits: depends on lib#7 (running)"]
    assert NOT_STARTED in result.stdout
    told = [json.loads(line) for line in peer.cicd("run", "web", "-f", "--output", "json").stdout.splitlines()]
    assert [line["waits"] for line in told if line["kind"] == "run"] == [WHY, "depends on lib#7 (running)", ""]


def test_a_story_says_why_a_run_was_cancelled_or_not_started() -> None:
    cancelled = a_run(RunState.CANCELLED, finished_s=9.0, cancel_by="ann")
    for run, text in (
        (cancelled, "cancelled by ann"),
        (
            a_run(RunState.CANCELLED, finished_s=9.0, cancel_by="ann", superseded_by="web#9"),
            "cancelled, superseded by web#9",
        ),
        (a_run(RunState.FAILED, finished_s=9.0, message=NOT_STARTED), f"failed: {NOT_STARTED}"),
        (a_run(RunState.SUCCEEDED, finished_s=9.0), "succeeded"),
    ):
        ended = next(line for line in of_records(RunAnswer(run=run)) if line.kind == ENDED)
        assert ended.text == f"the run has ended: {text}"
