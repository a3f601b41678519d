"""While the store takes nothing: leases go on, the core does not, and nothing that was answered is forgotten."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cicd.core.cluster import Cluster
from cicd.core.events import (
    Asker,
    MinionBeat,
    MinionSaidGoodbye,
    MinionSaidHello,
    Now,
    Origin,
    RunCancelRequested,
    Ticked,
)
from cicd.core.plan import Answer, Bind, Reply, Send
from cicd.core.settings import CoreSettings
from cicd.core.standstill import Standstill
from cicd.messages.base import MinionId, RunId
from cicd.messages.cluster import Connection
from cicd.messages.minion import Beat, BeatAck, Goodbye, Hello, Welcome
from cicd.storage.base import StoreFullError

M = MinionId("id-m")
FULL = StoreFullError("the disk is full")
HELLO = Hello(minion=M, name="m", hostname="h", version="1", platform="p", slots=1, sent_boot_s=5.0)


def hello(session: int = 0, at: float = 0.0, **fields) -> MinionSaidHello:
    message = replace(HELLO, session=session, **fields)
    return MinionSaidHello(hello=message, origin=Origin(b"o"), user="u", received_boot_s=at)


def beat(session: int = 1, seq: int = 1, at: float = 0.0, minion: MinionId = M) -> MinionBeat:
    message = Beat(session=session, seq=seq, sent_boot_s=at)
    return MinionBeat(minion=minion, beat=message, received_boot_s=at)


@pytest.fixture
def cluster():
    made = Cluster(CoreSettings())
    made.handle([hello()], Now(boot_s=0.0, wall_s=0.0))
    return made


def test_a_beat_of_a_session_that_is_good_is_answered_and_kept(cluster):
    still = Standstill(cluster.book)
    assert still.take([beat(seq=1), beat(seq=2, at=1.0)], FULL) == [
        Send(M, BeatAck(session=1, seq=1, sent_boot_s=0.0)),
        Send(M, BeatAck(session=1, seq=2, sent_boot_s=1.0)),
    ]
    assert still.kept() == [beat(seq=2, at=1.0)]


def test_who_was_given_up_gets_no_more_time(cluster):
    """Also by the plan that waits: the core's state holds it already, the store does not."""
    for now in range(1, 15):
        cluster.handle([Ticked()], Now(boot_s=float(now), wall_s=0.0))  # the last one's plan finds no room
    assert cluster.book.minions[M].record.fenced
    still = Standstill(cluster.book)
    assert still.take([beat(), hello(session=1)], FULL) == []
    assert still.kept() == []


@pytest.mark.parametrize("odd", [beat(session=0), beat(session=2), beat(minion=MinionId("nobody"))])
def test_other_sessions_and_strangers_are_not_answered(cluster, odd):
    still = Standstill(cluster.book)
    assert still.take([odd], FULL) == []
    assert still.kept() == []


def test_a_hello_that_changes_nothing_is_answered(cluster):
    still = Standstill(cluster.book)
    bind, answer = still.take([beat(seq=9), hello(session=1), beat(seq=1)], FULL)[1:3]
    assert bind == Bind(M, Origin(b"o"), "m")
    assert isinstance(answer, Answer)
    assert answer.message == Welcome(session=1, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=5.0)
    assert still.kept() == [hello(session=1), beat(seq=1)]


@pytest.mark.parametrize(
    "odd",
    [hello(), hello(session=2), hello(session=1, name="n"), hello(session=1, protocol=99), hello(minion=MinionId("x"))],
)
def test_a_hello_that_needs_a_decision_waits(cluster, odd):
    still = Standstill(cluster.book)
    assert still.take([odd], FULL) == []
    assert still.kept() == []


def test_people_are_told_and_the_rest_is_dropped(cluster):
    still = Standstill(cluster.book)
    asked = RunCancelRequested(run=RunId("r"), by="ada", asker=Asker(7))
    assert still.take([asked, RunCancelRequested(run=RunId("r"), by="ada"), Ticked()], FULL) == [Reply(Asker(7), FULL)]
    goodbye = MinionSaidGoodbye(minion=M, goodbye=Goodbye(session=1))
    assert still.take([beat(), goodbye], FULL)
    assert still.kept() == [beat(), goodbye]


@pytest.mark.parametrize("length_s", [1.0, 60.0])
def test_whoever_was_answered_is_not_expired_before_its_lease_can_be_over(cluster, length_s):
    """Its lease runs from the last answered beat. The core learns of that beat before it looks at the silence."""
    now = 12.0  # nearly expired: last heard at 0
    for passed in range(1, 13):  # one by one: a gap would be taken for the master's own pause
        cluster.handle([Ticked()], Now(boot_s=float(passed), wall_s=0.0))
    still = Standstill(cluster.book)
    still.take([beat(seq=1, at=now)], FULL)
    end = now + length_s
    cluster.handle([*still.kept(), Ticked()], Now(boot_s=end, wall_s=0.0))
    entry = cluster.book.minions[M]
    assert entry.connection is not Connection.LOST
    assert entry.expires_boot_s >= now + 13.0
