"""The MinionRegistry: whose word a frame is, and what becomes of frames that nobody understands."""

from __future__ import annotations

from collections import Counter

import msgpack
import pykka
import pytest

from actors_support import Deaths, RecordingListener
from cicd.actors.base import Inbox
from cicd.actors.minion_registry import MinionRegistry
from cicd.actors.routes import Routes
from cicd.codec import Codec
from cicd.core.events import Event, MinionBeat, MinionDisconnected, MinionFinishedJob, MinionSaidHello
from cicd.messages.base import ErrorReply, MinionId, RunId, job_id
from cicd.messages.minion import FROM_MINION, Beat, Hello, JobFinished
from cicd.messages.run import Result, Status
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, PeerEvent, PeerId, PeerState
from cicd.transport.policy import minion_user

ONE, TWO = PeerId(b"one"), PeerId(b"two")
BEAT = Beat(session=1, seq=1, sent_boot_s=1.0)


class Registry:
    def __init__(self) -> None:
        self.inbox: Inbox[Delivery | PeerEvent] = Inbox()
        self.events: Inbox[Event] = Inbox()
        self.listener = RecordingListener()
        self.names: dict[bytes, str] = {}
        self.routes = Routes(self.names.__setitem__)
        self.deaths = Deaths()
        self.dropped: Counter[str] = Counter()
        self.ref = MinionRegistry.start(
            self.inbox, self.events, self.listener, self.routes, self.deaths, dropped=self.dropped
        )
        self.codec = Codec(FROM_MINION)

    def say(self, peer: PeerId, message) -> None:
        frame = message if isinstance(message, bytes) else self.codec.encode(message)
        self.inbox.put([Delivery(peer, "token", frame, 5.0)])
        self.settle()

    def settle(self) -> None:
        wait_until(lambda: not len(self.inbox))
        self.ref.ask("settled", timeout=5)

    def told(self) -> list[Event]:
        return self.events.drain()


@pytest.fixture
def registry():
    made = Registry()
    yield made
    pykka.ActorRegistry.stop_all(timeout=5)
    assert not made.deaths.seen


def test_before_hello_nothing_is_heard(registry):
    """A connection is nobody's until the core has let it in; it is told what to do."""
    registry.say(ONE, BEAT)
    assert registry.told() == []
    assert registry.listener.of(ErrorReply)[0].code == "hello_first"
    hello = Hello(minion=MinionId("m"), name="m", hostname="h", version="1", platform="p", slots=1)
    registry.say(ONE, hello)
    (event,) = registry.told()
    assert isinstance(event, MinionSaidHello)
    assert (event.origin, event.user, event.received_boot_s) == (ONE, "token", 5.0)


def test_a_connection_speaks_for_its_own_minion_only(registry):
    """Whatever ids a frame claims, it is the bound minion's word."""
    registry.routes.bind(MinionId("a"), ONE, "a")
    registry.say(ONE, BEAT)
    result = JobFinished(session=1, job=job_id(RunId("r"), 0), attempt=1, result=Result(status=Status.SUCCEEDED))
    registry.say(ONE, result)
    beat, finished = registry.told()
    assert isinstance(beat, MinionBeat)
    assert isinstance(finished, MinionFinishedJob)
    assert {beat.minion, finished.minion} == {MinionId("a")}


def test_the_newest_connection_of_a_minion_counts(registry):
    """An older one that breaks later says nothing about the minion."""
    registry.routes.bind(MinionId("a"), ONE, "a")
    registry.routes.bind(MinionId("a"), TWO, "a")
    registry.inbox.put([PeerEvent(ONE, PeerState.GONE)])
    registry.settle()
    assert registry.told() == []
    registry.inbox.put([PeerEvent(TWO, PeerState.SLOW), PeerEvent(TWO, PeerState.GONE)])
    registry.settle()
    assert registry.told() == [MinionDisconnected(minion=MinionId("a"))]
    assert registry.routes.peer_of(MinionId("a")) is None


def test_unknown_kinds_are_answered_to_a_known_peer_and_dropped_from_anyone_else(registry):
    """A newer minion learns what its master does not know; a stranger learns nothing."""
    future = msgpack.packb({"_": "Teleport", "to": "mars"})
    registry.say(ONE, future)
    assert registry.listener.sent == []
    registry.routes.bind(MinionId("a"), ONE, "a")
    registry.say(ONE, future)
    (answer,) = registry.listener.of(ErrorReply)
    assert (answer.code, answer.kind) == ("unknown_kind", "Teleport")
    registry.say(ONE, b"\xc1 nonsense")
    assert len(registry.listener.of(ErrorReply)) == 2
    assert registry.told() == []


def test_a_minions_own_key_says_hello_for_no_other(registry):
    """A spoofed Hello goes no further, whatever it claims; it is counted."""
    for claimed, heard in (("a", 1), ("b", 0)):
        hello = Hello(minion=MinionId(claimed), name=claimed, hostname="h", version="1", platform="p", slots=1)
        registry.inbox.put([Delivery(ONE, minion_user("a"), registry.codec.encode(hello), 5.0)])
        registry.settle()
        events = registry.told()
        assert len(events) == heard
        assert all(event.enrolled for event in events)
    assert registry.dropped["spoofed"] == 1


def test_a_connection_whose_key_is_not_its_minions_says_nothing(registry):
    """Also where a route was bound to it."""
    registry.routes.bind(MinionId("b"), ONE, "b")
    registry.inbox.put([Delivery(ONE, minion_user("a"), registry.codec.encode(BEAT), 5.0)])
    registry.settle()
    assert registry.told() == []
    assert registry.dropped["spoofed"] == 1
