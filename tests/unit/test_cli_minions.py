"""How minions are shown: connection, health, and what people said, each with its reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cicd.messages.base import Wire
from cicd.messages.client import DrainMinion, MinionAnswer, MinionPage, MinionView, Reply, Request
from cicd.messages.cluster import Availability, Connection, HealthReason
from cli_peer import CliPeer, cli_peer
from client_peer import reply
from sample_records import START_S, a_minion

FULL = HealthReason(source="disk", text="disk 97 % full, limit 95 %")
SAID = {"suspended": True, "suspended_by": "ann", "suspended_why": "new disk", "suspended_s": START_S}


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[CliPeer]:
    with cli_peer(tmp_path) as peer:
        yield peer


def unhealthy(view: MinionView) -> MinionView:
    return replace(view, health=(FULL, HealthReason(source="check.gpu", text="check gpu: no device")))


def test_a_list_says_why_in_a_column_of_its_own(peer: CliPeer) -> None:
    views = (
        a_minion("ok"),
        unhealthy(a_minion("sick")),
        unhealthy(a_minion("both", **SAID, draining=True)),
        a_minion("gone", Connection.LOST, left=True, **SAID),
        a_minion("lost", Connection.LOST),
    )
    peer.handler = reply(MinionPage(minions=views))
    rows = [line.split("  ") for line in peer.cicd("minions", "list").stdout.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0][-1] == "WHY"
    why = "disk 97 % full, limit 95 %; check gpu: no device"
    assert [(row[1], row[-1]) for row in cells[1:]] == [
        ("ready", "1.0 GiB"),
        ("unhealthy", why),
        ("unhealthy, draining", f"{why}; ann: new disk"),
        ("left, suspended", "ann: new disk"),
        ("lost", "1.0 GiB"),
    ]


def test_one_minion_shows_all_three_axes(peer: CliPeer) -> None:
    view = replace(unhealthy(a_minion(**SAID, draining=True)), availability=Availability.DRAINING)
    peer.handler = reply(MinionAnswer(view=view))
    out = peer.cicd("minions", "show", "minion-1").stdout
    for line in (
        "state        unhealthy, draining\n",
        "connection   ready\n",
        "health       disk 97 % full, limit 95 %\n",
        "             check gpu: no device\n",
        "draining     by ann: new disk, 2026-01-05T08:00:00Z\n",
    ):
        assert line in out, out
    shown = json.loads(peer.cicd("minions", "show", "minion-1", "--output", "json").stdout)
    assert (shown["connection"], shown["availability"]) == ("ready", "draining")
    assert [reason["source"] for reason in shown["health"]] == ["disk", "check.gpu"]
    peer.handler = reply(MinionAnswer(view=a_minion()))
    assert "health       well\n" in peer.cicd("minions", "show", "minion-1").stdout


@pytest.mark.parametrize(
    ("fields", "running", "line"),
    [
        ({"draining": True}, ("01run-0",), "minion-1 is draining; 1 running there are finished first\n"),
        ({"draining": True}, (), "minion-1 is draining\n"),
        ({"left": True}, (), "minion-1 has left already, and is suspended\n"),
    ],
)
def test_drain_says_what_comes_of_it(
    peer: CliPeer, fields: dict[str, bool], running: tuple[str, ...], line: str
) -> None:
    calls: list[DrainMinion] = []
    view = replace(a_minion(**SAID, **fields), running=running)

    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request) or not isinstance(message.call, DrainMinion):
            return []
        calls.append(message.call)
        return [Reply(id=message.id, answer=MinionAnswer(view=view))]

    peer.handler = handle
    assert peer.cicd("minions", "drain", "minion-1", "--why", "new disk").stdout == line
    assert calls == [DrainMinion(name="minion-1", why="new disk")]
    told = json.loads(peer.cicd("minions", "drain", "minion-1", "--output", "json").stdout)
    assert told["minion"]["suspended_by"] == "ann"
