"""Who has not the right keys exchanges not one application byte with a master's sockets, in either direction."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import zmq

from cicd.testing.transport_bench import CLOCK, SERVER, Client, Server
from cicd.testing.waiting import wait_until
from cicd.transport.base import Counters, LinkState
from cicd.transport.curve import KeyPair, new_keypair
from cicd.transport.policy import CLIENT_DOMAIN, MINION_DOMAIN, KeyRing, Policy
from cicd.transport.token import new_token
from cicd.transport.zap import ZapHandler
from cicd.transport.zmq_dialer import ZmqDialer
from cicd.transport.zmq_listener import ZmqListener

TOKEN = new_token(SERVER.public)
OPERATOR = new_keypair()


def policy() -> KeyRing:
    ring = KeyRing()
    ring.add(MINION_DOMAIN, TOKEN.client_keys().public, TOKEN.id)
    ring.add(CLIENT_DOMAIN, OPERATOR.public, "operator")
    return ring


@dataclass
class Master:
    """Two sockets on TCP whose answers would be noticed, and an authenticator that can be taken away."""

    context: zmq.Context[zmq.Socket[bytes]]
    zap: ZapHandler | None
    control: Server
    client: Server
    dialers: list[Client]

    def dial(self, server: Server, keys: KeyPair, server_public: str = SERVER.public) -> Client:
        client = Client(ZmqDialer(self.context, server.listener.address, server_public, keys, clock=CLOCK))
        self.dialers.append(client)
        return client

    def assert_let_in(self, server: Server, keys: KeyPair) -> None:
        """The same test with a right key passes: what it says of the wrong ones means something."""
        client = self.dial(server, keys)
        client.wait_state(LinkState.CONNECTED)
        client.dialer.send(b"hello")
        assert client.wait_frames(1) == [b"answer"]

    def assert_shut_out(self, server: Server, client: Client, state: LinkState) -> None:
        client.wait_state(state)
        for urgent in (False, True):
            client.dialer.send(b"let me in", urgent=urgent)
        wait_until(lambda: client.dialer.counters.dropped_gone >= 2)
        assert LinkState.CONNECTED not in client.states
        assert client.frames == []
        assert client.dialer.counters.sent == client.dialer.counters.received == 0
        self.assert_untouched(server)

    def assert_untouched(self, server: Server) -> None:
        assert server.frames == []
        assert server.events == []
        counters: Counters = server.listener.counters
        assert (counters.received, counters.sent, counters.dropped_multipart) == (0, 0, 0)
        assert not any(name.startswith("dropped") for name in counters.extra)


@pytest.fixture
def master(request: pytest.FixtureRequest) -> Iterator[Master]:
    has_zap, rule = getattr(request, "param", (True, policy()))
    with run_master(has_zap=has_zap, rule=rule) as made:
        yield made


@contextmanager
def run_master(*, has_zap: bool, rule: Policy) -> Iterator[Master]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    zap = ZapHandler(context, rule) if has_zap else None

    def serve(domain: str) -> Server:
        return Server(ZmqListener(context, "tcp://127.0.0.1:*", SERVER, domain, clock=CLOCK), lambda _: b"answer")

    made = Master(context, zap, serve(MINION_DOMAIN), serve(CLIENT_DOMAIN), [])
    try:
        yield made
    finally:
        for client in made.dialers:
            client.dialer.close()
        for server in (made.control, made.client):
            server.listener.close()
        if zap is not None:
            zap.close()
        context.destroy(linger=0)
    deaths = [death for client in made.dialers for death in client.deaths]
    assert not [*deaths, *made.control.deaths, *made.client.deaths]


def test_the_right_keys_open_their_own_sockets(master: Master) -> None:
    master.assert_let_in(master.control, TOKEN.client_keys())
    master.assert_let_in(master.client, OPERATOR)
    assert {each.user for each in master.control.deliveries} == {TOKEN.id}
    assert {each.user for each in master.client.deliveries} == {"operator"}


def test_a_token_with_another_secret_is_refused(master: Master) -> None:
    forged = type(TOKEN)(TOKEN.server_public, TOKEN.id, os.urandom(32))
    master.assert_shut_out(master.control, master.dial(master.control, forged.client_keys()), LinkState.REFUSED)
    assert master.zap is not None
    assert master.zap.denied[MINION_DOMAIN] >= 1
    wait_until(lambda: master.control.listener.counters.denied >= 1)


def test_an_unknown_key_is_refused(master: Master) -> None:
    master.assert_shut_out(master.control, master.dial(master.control, new_keypair()), LinkState.REFUSED)


def test_an_operators_key_opens_no_minion_socket(master: Master) -> None:
    master.assert_shut_out(master.control, master.dial(master.control, OPERATOR), LinkState.REFUSED)


def test_a_minions_key_opens_no_client_socket(master: Master) -> None:
    master.assert_shut_out(master.client, master.dial(master.client, TOKEN.client_keys()), LinkState.REFUSED)


def test_a_master_with_another_key_than_the_tokens_is_not_spoken_to(master: Master) -> None:
    client = master.dial(master.control, TOKEN.client_keys(), new_keypair().public)
    master.assert_shut_out(master.control, client, LinkState.DISCONNECTED)
    assert "key is not the one we expect" in client.links[0][1]


def test_a_dead_authenticator_lets_nobody_in_not_even_a_right_key(master: Master) -> None:
    master.assert_let_in(master.client, OPERATOR)
    assert master.zap is not None
    master.zap.close()
    client = master.dial(master.control, TOKEN.client_keys())
    master.assert_shut_out(master.control, client, LinkState.DISCONNECTED)


@pytest.mark.parametrize("master", [(False, policy())], indirect=True, ids=["none"])
def test_without_an_authenticator_nobody_gets_in(master: Master) -> None:
    client = master.dial(master.control, TOKEN.client_keys())
    master.assert_shut_out(master.control, client, LinkState.DISCONNECTED)


def test_an_authenticator_that_does_not_answer_lets_nobody_in() -> None:
    def busy(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        stuck = context.socket(zmq.REP)
        stuck.linger = 0
        stuck.bind("inproc://zeromq.zap.01")
        return stuck

    with run_master(has_zap=False, rule=policy()) as master:
        stuck = busy(master.context)
        client = master.dial(master.control, TOKEN.client_keys())
        assert stuck.poll(10_000)  # it was asked
        master.assert_shut_out(master.control, client, LinkState.DISCONNECTED)
        stuck.close()


@pytest.mark.parametrize("options", [{}, {"PLAIN_USERNAME": b"admin", "PLAIN_PASSWORD": b"admin"}])
def test_a_peer_without_curve_gets_nowhere(master: Master, options: dict[str, bytes]) -> None:
    dealer = master.context.socket(zmq.DEALER)
    dealer.linger = 0
    for name, value in options.items():
        dealer.setsockopt(getattr(zmq, name), value)
    dealer.connect(master.control.listener.address)
    for _ in range(3):
        dealer.send(b"let me in")
    counters = master.control.listener.counters
    wait_until(lambda: counters.extra.get("handshake_failed", 0) + counters.denied >= 1)
    assert not dealer.poll(0)
    dealer.close(0)
    master.assert_untouched(master.control)


def zmtp(mechanism: bytes) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism.ljust(20, b"\0") + bytes(32)


@pytest.mark.parametrize(
    "said",
    [
        zmtp(b"NULL") + b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x06DEALER" + b"\0\x05hello",
        zmtp(b"CURVE") + b"\0\x05hello",
        zmtp(b"CURVE") + b"\x04\x05\x04HELL" + b"\0\x05hello",
        zmtp(b"CURVE") + b"\x04\x21\x07MESSAGE" + bytes(25) + b"hello",
        b"\x01\0\x06hello",  # ZMTP 1.0: no security at all
        b"\xff" + bytes(8) + b"\x7f\x01\x05" + b"\0\0\0\x05hello",  # ZMTP 2.0
        b"hello\r\n" * 100,
    ],
)
def test_raw_bytes_get_nothing_but_a_greeting(master: Master, said: bytes) -> None:
    host, port = master.control.listener.address.removeprefix("tcp://").split(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(said)
        try:
            while data := connection.recv(4096):
                heard += data
        except ConnectionResetError:
            pass
    assert b"answer" not in heard
    assert len(heard) <= 64, "more than ZMTP's greeting"
    master.assert_untouched(master.control)
    master.assert_let_in(master.control, TOKEN.client_keys())
