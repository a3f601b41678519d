"""Joining, over the network in memory: a real Scheduler, Enroller and Gate, and an agent's Joining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pykka
import pytest

from actors_support import Deaths
from cicd.actors.base import Inbox
from cicd.actors.enroller import Enroller
from cicd.actors.gate import Gate
from cicd.actors.joining import GoneError, Joining
from cicd.actors.routes import Routes
from cicd.actors.scheduler import Scheduler
from cicd.actors.store import Store, StoreClient
from cicd.clock import SystemClock
from cicd.codec import Codec
from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionRemoved, TokenCreated, TokenRevoked
from cicd.core.settings import CoreSettings
from cicd.errors import RefusedError
from cicd.messages.base import ErrorReply, MinionId
from cicd.messages.cluster import MinionRecord, TokenRecord
from cicd.messages.minion import Hello
from cicd.storage.memory import MemoryStorage
from cicd.storage.records import Records
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, Listener, PeerEvent
from cicd.transport.curve import new_keypair
from cicd.transport.memory import MemoryHub
from cicd.transport.policy import ENROL_DOMAIN, MINION_DOMAIN, KeyRing, minion_of_user
from cicd.transport.token import JoinToken, new_token

CLOCK = SystemClock()
HELLO = Hello(minion=MinionId("id-one"), name="one", hostname="h", version="1", platform="p", slots=1)


class Gatehouse:
    """The part of a master that lets minions in."""

    def __init__(self) -> None:
        self.hub = MemoryHub(CLOCK)
        self.keyring = KeyRing()
        self.hub.set_policy(self.keyring)
        self.keys = new_keypair()
        self.storage = MemoryStorage()
        self.deaths = Deaths()
        self.events: Inbox[Event] = Inbox()
        self.heard: list[Delivery] = []
        self.gone: list[PeerEvent] = []
        self.dropped: Counter[str] = Counter()
        self.listeners: list[Listener] = []
        self.control = self.listen("control", MINION_DOMAIN)

    def listen(self, address: str, domain: str) -> Listener:
        listener = self.hub.listener(f"memory:{address}", self.keys, domain, name=address)
        self.listeners.append(listener)
        if address != "enrol":
            listener.start(self.heard.extend, self.gone.append, lambda error: self.deaths("socket", error))
        return listener

    def open(self) -> None:
        """Begin to enrol; until then this is a master of the version before."""
        enrol = self.listen("enrol", ENROL_DOMAIN)
        inbox: Inbox[Delivery | PeerEvent] = Inbox()
        gate = Gate(self.keyring, enrol, (self.control,), Routes(lambda _peer, _name: None))
        Scheduler.start(
            cluster=Cluster(CoreSettings()),
            inbox=self.events,
            store=StoreClient(Store.start(self.storage, self.deaths)),
            listener=self.control,
            routes=Routes(lambda _peer, _name: None),
            clock=CLOCK,
            on_reply=lambda _reply: None,
            on_saved=lambda _plan: None,
            die=self.deaths,
            gate=gate,
        )
        Enroller.start(inbox, self.events, enrol, self.dropped, self.deaths)
        enrol.start(inbox.put, lambda news: inbox.put([news]), lambda error: self.deaths("socket", error))

    def token(self, **changes: object) -> JoinToken:
        token = new_token(self.keys.public)
        public = token.client_keys().public
        record = TokenRecord(id=token.id, client_public=public, created_s=0.0, enrol_only=True, **changes)  # type: ignore[arg-type]
        self.events.put([TokenCreated(token=record)])
        wait_until(lambda: self.keyring(ENROL_DOMAIN, public))
        return token

    def joining(self, token: JoinToken, folder: Path, over=lambda: False, **changes: object) -> Joining:
        folder.mkdir(exist_ok=True)
        hello = {name: getattr(HELLO, name) for name in HELLO.__struct_fields__} | changes
        return Joining(
            self.hub,
            token,
            control="memory:control",
            enrol="memory:enrol",
            hello=Hello(**hello),
            folder=folder,
            clock=CLOCK,
            over=over,
        )

    def minions(self) -> list[MinionRecord]:
        return Records(self.storage).minions()


@pytest.fixture
def house() -> Iterator[Gatehouse]:
    made = Gatehouse()
    yield made
    for listener in made.listeners:
        listener.close()
    pykka.ActorRegistry.stop_all(timeout=5)
    made.storage.close()
    assert not made.deaths.seen


def test_a_minion_makes_a_key_hands_it_in_and_is_let_in_by_it(house, tmp_path):
    """The key is its own, kept so that nobody else reads it, and proves who it is."""
    house.open()
    joining = house.joining(house.token(), tmp_path)
    keys = joining.keys()
    assert joining.is_enrolled
    assert ((tmp_path / "minion.key").stat().st_mode & 0o777) == 0o600
    assert minion_of_user(house.keyring(MINION_DOMAIN, keys.public)) == "id-one"
    (minion,) = house.minions()
    assert minion.key == keys.public


def test_one_that_is_enrolled_needs_neither_its_token_nor_the_enrol_socket(house, tmp_path):
    """An agent starts again while the master is away."""
    house.open()
    token = house.token()
    keys = house.joining(token, tmp_path).keys()
    for listener in house.listeners:
        listener.close()
    assert house.joining(token, tmp_path).keys() == keys


def test_a_key_that_the_master_does_not_know_any_more_is_handed_in_again(house, tmp_path):
    """Its store was set back: the minion enrols anew with what it has."""
    house.open()
    token = house.token()
    joining = house.joining(token, tmp_path)
    keys = joining.keys()
    joining.forget()
    again = house.joining(token, tmp_path)
    assert not again.is_enrolled
    assert again.keys() == keys
    assert len(house.minions()) == 1


def test_a_minion_that_moves_to_another_master_enrols_there(house, tmp_path):
    """The mark names the master, so that a new token is a new beginning."""
    house.open()
    house.joining(house.token(), tmp_path).keys()
    assert not house.joining(new_token(new_keypair().public), tmp_path).is_enrolled


@pytest.mark.parametrize(
    ("changes", "text"), [({"expires_s": 1.0}, "has expired"), ({"max_uses": 1, "uses": 1}, "has let in 1 of 1")]
)
def test_a_token_that_is_over_is_said_in_one_line(house, tmp_path, changes, text):
    """The holder of an expired token is let in far enough to be told."""
    house.open()
    with pytest.raises(RefusedError, match=text):
        house.joining(house.token(**changes), tmp_path).keys()
    assert house.minions() == []


def test_a_revoked_token_gets_no_connection(house, tmp_path):
    """Nothing of it is heard; the minion says which token it was."""
    house.open()
    token = house.token()
    house.events.put([TokenRevoked(token=token.id)])
    wait_until(lambda: house.keyring(ENROL_DOMAIN, token.client_keys().public) is None)
    with pytest.raises(RefusedError, match=f"does not know join token {token.id}"):
        house.joining(token, tmp_path).keys()


def test_a_removed_minion_is_cut_and_its_key_stays_out(house, tmp_path):
    """What it has open ends, what it dials is refused, and its key is not taken again."""
    house.open()
    token = house.token()
    keys = house.joining(token, tmp_path).keys()
    dialer = house.hub.dialer("memory:control", house.keys.public, keys)
    states: list[str] = []
    dialer.start(lambda _frames: None, lambda state, _detail: states.append(state), lambda _error: None)
    wait_until(lambda: states)
    house.events.put([MinionRemoved(minion=HELLO.minion, by="ada")])
    wait_until(lambda: states[-1] == "refused")
    assert states == ["connected", "disconnected", "refused"]
    dialer.close()
    (tmp_path / "enrolled").unlink()
    with pytest.raises(RefusedError, match="was removed by ada"):
        house.joining(token, tmp_path).keys()


def test_a_name_that_is_taken_is_waited_for(house, tmp_path):
    """Two machines claim one name: the second waits and says so, until it gives up or the first is lost."""
    house.open()
    token = house.token()
    house.joining(token, tmp_path / "a").keys()
    answered = house.listeners[-1].counters
    before = answered.sent
    second = house.joining(token, tmp_path / "b", lambda: answered.sent > before, minion=MinionId("id-two"))
    with pytest.raises(GoneError):
        second.keys()
    assert not second.is_enrolled
    assert [minion.id for minion in house.minions()] == ["id-one"]


def test_an_older_master_is_used_by_the_tokens_own_key(house, tmp_path, monkeypatch):
    """It has no enrol socket, and its control socket lets the token's key in."""
    monkeypatch.setattr("cicd.actors.joining.SURE_S", 0.2)
    token = new_token(house.keys.public)
    house.keyring.add(MINION_DOMAIN, token.client_keys().public, token.id)
    joining = house.joining(token, tmp_path)
    assert joining.keys() == token.client_keys()
    assert not joining.is_enrolled, "the next start asks again"


def test_a_master_that_comes_up_slowly_is_not_taken_for_an_older_one(house, tmp_path, monkeypatch):
    """Its control socket lets an old token in, but the enrol socket is there a moment later."""
    monkeypatch.setattr("cicd.actors.joining.SURE_S", 30.0)
    token = new_token(house.keys.public)
    public = token.client_keys().public
    house.keyring.add(MINION_DOMAIN, public, token.id)
    opened: list[bool] = []

    def open_once_it_was_tried() -> bool:
        if not opened and house.control.peers:
            opened.append(True)
            house.keyring.add(ENROL_DOMAIN, public, token.id)
            house.open()
            house.events.put([TokenCreated(token=TokenRecord(id=token.id, client_public=public, created_s=0.0))])
        return False

    joining = house.joining(token, tmp_path, open_once_it_was_tried)
    assert joining.keys() != token.client_keys()
    assert joining.is_enrolled


def test_a_stranger_master_gets_nothing_and_is_waited_for(house, tmp_path):
    """The token pins the master's key: another one learns neither token nor key."""
    house.open()
    token = replace(house.token(), server_public=new_keypair().public)
    looks: list[int] = []
    with pytest.raises(GoneError):
        house.joining(token, tmp_path, lambda: len(looks) > 3 or looks.append(1)).keys()
    assert house.minions() == []


def test_nonsense_on_the_enrol_socket_is_answered_counted_and_changes_nothing(house):
    """Frames of every wrong kind."""
    house.open()
    token = house.token()
    dialer = house.hub.dialer("memory:enrol", house.keys.public, token.client_keys())
    frames: list[bytes] = []
    states: list[str] = []
    dialer.start(frames.extend, lambda state, _detail: states.append(state), lambda _error: None)
    wait_until(lambda: states == ["connected"])
    for frame in (b"", b"\xc1", Codec(()).encode(HELLO), Codec(()).encode(ErrorReply(code="x", text="y"))):
        dialer.send(frame)
    wait_until(lambda: len(frames) == 3)
    answers = [Codec((ErrorReply,)).decode(frame) for frame in frames]
    assert [answer.code for answer in answers] == ["protocol", "protocol", "unknown_kind"]
    assert house.dropped == {"protocol": 2, "unknown_kind": 1}
    assert house.minions() == []
    dialer.close()
