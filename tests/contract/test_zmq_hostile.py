"""What peers can do to a listener that know ZeroMQ and mean harm, and the options that it stands on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
import zmq

from cicd.codec import FRAME_LIMIT_BYTES
from cicd.testing.transport_bench import ALICE, BOB, CLOCK, DOMAIN, SERVER, Server, TransportBench, ring
from cicd.testing.waiting import wait_until
from cicd.transport.base import LinkState, PeerState
from cicd.transport.zmq_connections import Connections, wire_bytes
from cicd.transport.zmq_options import CURVE_OVERHEAD_BYTES
from cicd.transport.zmq_transport import ZmqTransport


class ZmqBench(TransportBench):
    """With a context of its own for raw sockets."""

    def __init__(self) -> None:
        self.zmq = ZmqTransport(CLOCK, ring())
        super().__init__(self.zmq, "tcp://127.0.0.1:*")
        self.raw: list[zmq.Socket[bytes]] = []

    def dealer(self, server: Server | str, **options: int | bytes) -> zmq.Socket[bytes]:
        """Return a DEALER with a right key and no manners."""
        dealer = self.zmq.context.socket(zmq.DEALER)
        self.raw.append(dealer)
        dealer.linger = 0
        dealer.curve_serverkey = SERVER.public.encode()
        dealer.curve_publickey, dealer.curve_secretkey = ALICE.public.encode(), ALICE.secret.encode()
        for name, value in options.items():
            dealer.setsockopt(getattr(zmq, name), value)
        dealer.connect(server if isinstance(server, str) else server.listener.address)
        return dealer

    def close(self) -> None:
        for dealer in self.raw:
            dealer.close(0)
        super().close()


@pytest.fixture
def bench() -> Iterator[ZmqBench]:
    bench = ZmqBench()
    yield bench
    bench.close()


def extra(server: Server, name: str) -> int:
    return server.listener.counters.extra.get(name, 0)


def test_what_was_closed_holds_no_descriptor_of_any_kind() -> None:
    def use_and_close() -> int:
        bench = ZmqBench()
        server = bench.serve(lambda frame: frame)
        client = bench.join(server)
        client.dialer.send(b"hello")
        client.wait_frames(1)
        during = psutil.Process().num_fds()
        bench.close()
        return during

    use_and_close()
    before = psutil.Process().num_fds()
    assert use_and_close() > before
    assert psutil.Process().num_fds() == before


def test_every_option_of_a_listener_is_set(bench: ZmqBench) -> None:
    router = bench.serve().listener._socket  # type: ignore[attr-defined]
    limit = FRAME_LIMIT_BYTES + CURVE_OVERHEAD_BYTES
    wanted = {
        zmq.CURVE_SERVER: 1,
        zmq.ZAP_DOMAIN: DOMAIN.encode(),
        zmq.ZAP_ENFORCE_DOMAIN: 1,
        zmq.MAXMSGSIZE: limit,
        zmq.HANDSHAKE_IVL: 2000,
        zmq.BACKLOG: 1024,
        zmq.SNDHWM: 64,
        zmq.RCVHWM: 64,
        zmq.LINGER: 0,
    }
    found = {option: router.getsockopt(option) for option in wanted}
    found[zmq.ZAP_DOMAIN] = found[zmq.ZAP_DOMAIN].rstrip(b"\0")
    assert found == wanted
    assert router.getsockopt(zmq.HEARTBEAT_IVL) >= 10_000
    assert router.getsockopt(zmq.MECHANISM) == zmq.CURVE


def test_every_option_of_a_dialer_is_set(bench: ZmqBench) -> None:
    dealer = bench.join(bench.serve()).dialer._link.socket  # type: ignore[attr-defined]
    assert dealer.getsockopt(zmq.MAXMSGSIZE) == FRAME_LIMIT_BYTES + CURVE_OVERHEAD_BYTES
    assert dealer.getsockopt(zmq.HANDSHAKE_IVL) == 2000
    assert dealer.getsockopt(zmq.SNDHWM) == dealer.getsockopt(zmq.RCVHWM) == 64
    assert dealer.getsockopt(zmq.LINGER) == 0
    assert dealer.getsockopt(zmq.HEARTBEAT_IVL) >= 10_000
    assert dealer.getsockopt(zmq.ROUTING_ID) == b""
    assert dealer.getsockopt(zmq.MECHANISM) == zmq.CURVE


def test_a_listener_without_a_domain_is_not_made(bench: ZmqBench) -> None:
    with pytest.raises(ValueError, match="anybody"):
        bench.transport.listener(bench.address, SERVER, "")


def test_a_message_of_several_parts_is_dropped_and_counted(bench: ZmqBench) -> None:
    server = bench.serve(lambda frame: frame)
    dealer = bench.dealer(server)
    dealer.send(b"before")
    dealer.send_multipart([b"x" * 1000] * 500)
    dealer.send_multipart([b"", b"two"])
    dealer.send(b"after")
    assert server.wait_frames(2) == [b"before", b"after"]
    assert server.listener.counters.dropped_multipart == 2
    assert [dealer.recv(), dealer.recv()] == [b"before", b"after"]


def test_a_dialer_drops_messages_of_several_parts_too(bench: ZmqBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    server.reply = lambda _: server.listener._socket.send_multipart([peer, b"two", b"parts"])  # type: ignore[attr-defined]
    client.dialer.send(b"now")
    wait_until(lambda: client.dialer.counters.dropped_multipart == 1)
    server.reply = lambda _: b"whole"
    client.dialer.send(b"again")
    assert client.wait_frames(1) == [b"whole"]


@contextmanager
def stalling_proxy(address: str, forward_bytes: int) -> Iterator[str]:
    """Forward to a listener; of what goes there only the first bytes."""
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = address.removeprefix("tcp://").split(":")
    with listening, socket.create_connection((host, int(port))) as inner:

        def there(outer: socket.socket) -> None:
            left = forward_bytes
            with suppress(OSError):
                while data := outer.recv(65536):
                    inner.sendall(data[:left])
                    left -= len(data[:left])

        def back(outer: socket.socket) -> None:
            with suppress(OSError):
                while data := inner.recv(65536):
                    outer.sendall(data)
                outer.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            outer, _ = listening.accept()
            with outer:
                threads = [threading.Thread(target=each, args=(outer,)) for each in (there, back)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        inner.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_message_of_endless_parts_is_cut_before_it_fills_the_memory(
    bench: ZmqBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ZeroMQ hands a message over with its last part, so here is one whose last part never comes.
    monkeypatch.setattr("cicd.transport.zmq_listener.Connections", lambda: Connections(4_000_000))
    server = bench.serve(lambda frame: frame)
    neighbour = bench.join(server, BOB)
    with stalling_proxy(server.listener.address, 8_000_000) as address:
        dealer = bench.dealer(address, RECONNECT_IVL=-1)
        dealer.send(b"hello")
        peer = server.peer("alice")
        dealer.send_multipart([b"x" * 65536] * 300)
        server.wait_event(peer, PeerState.GONE)
        assert server.listener._connections.cut == 1  # type: ignore[attr-defined]
        dealer.close()
    neighbour.dialer.send(b"still there")
    assert neighbour.wait_frames(1) == [b"still there"]
    assert server.frames == [b"hello", b"still there"]


def test_reading_on_keeps_a_connection_from_being_cut(bench: ZmqBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cicd.transport.zmq_listener.Connections", lambda: Connections(100_000))
    server = bench.serve(lambda frame: frame[:1])
    client = bench.join(server)
    connections = server.listener._connections  # type: ignore[attr-defined]
    for size in (0, 1, 221, 222, 223, 5000, 65536):
        for _ in range(40):
            client.dialer.send(b"x" * size)
    server.wait_frames(280)
    connections.next_check_s = 0.0
    client.dialer.send(b"wake")
    wait_until(lambda: connections.next_check_s > 1.0)
    client.dialer.send(b"more")
    server.wait_frames(282)
    assert connections.cut == 0


def test_the_size_of_frames_on_the_wire_is_known_exactly(bench: ZmqBench) -> None:
    from cicd.transport.zmq_connections import received_bytes

    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    server.peer("alice")
    (fd,) = server.listener._connections._delivered  # type: ignore[attr-defined]
    before = received_bytes(fd)
    assert before is not None
    sizes = [0, 1, 221, 222, 223, 224, 1000, 65536]
    for size in sizes:
        client.dialer.send(b"x" * size)
    server.wait_frames(1 + len(sizes))
    assert received_bytes(fd) == before + sum(wire_bytes(size) for size in sizes)


def test_a_frame_over_the_limit_costs_its_sender_the_connection_and_nobody_else(bench: ZmqBench) -> None:
    server = bench.serve(lambda frame: frame)
    neighbour = bench.join(server, BOB)
    dealer = bench.dealer(server)
    dealer.send(b"hello")
    peer = server.peer("alice")
    dealer.send(b"x" * (FRAME_LIMIT_BYTES + 1))
    server.wait_event(peer, PeerState.GONE)
    neighbour.dialer.send(b"still there")
    assert neighbour.wait_frames(1) == [b"still there"]
    assert server.frames == [b"hello", b"still there"]


def test_a_peer_that_names_itself_is_not_heard(bench: ZmqBench) -> None:
    server = bench.serve(lambda frame: frame)
    dealer = bench.dealer(server, ROUTING_ID=b"mallory")
    dealer.send(b"hello")
    wait_until(lambda: extra(server, "dropped_named") == 1)
    server.listener.send(b"mallory", b"for another one")  # type: ignore[arg-type]
    wait_until(lambda: server.listener.counters.dropped_gone == 1)
    assert server.frames == []
    assert not dealer.poll(50)


def test_routing_ids_differ_from_process_to_process() -> None:
    program = """
from cicd.testing.transport_bench import *
from cicd.transport.zmq_transport import ZmqTransport
bench = TransportBench(ZmqTransport(CLOCK, ring()), "tcp://127.0.0.1:*")
server = bench.serve()
bench.join(server).dialer.send(b"hello")
print(server.peer("alice").hex())
bench.close()
"""
    found = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    }
    assert len(found) == 2, found


@contextmanager
def connected(address: str, number: int) -> Iterator[list[socket.socket]]:
    host, port = address.removeprefix("tcp://").split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(number)]
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def test_peers_that_say_nothing_or_nonsense_disturb_nobody(bench: ZmqBench) -> None:
    server = bench.serve(lambda frame: frame)
    with connected(server.listener.address, 40) as sockets:
        greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"CURVE".ljust(20, b"\0")
        for number, each in enumerate(sockets):
            each.sendall(
                [b"", b"GET / HTTP/1.1\r\n\r\n", greeting[:11], greeting + bytes(32), os.urandom(300)][number % 5]
            )
        client = bench.join(server)
        client.dialer.send(b"hello")
        assert client.wait_frames(1) == [b"hello"]
        # Within the handshake interval the listener has thrown all of them out.
        for each in sockets:
            each.settimeout(20)
            while True:
                try:
                    if not each.recv(4096):
                        break
                except ConnectionResetError:
                    break
    assert server.frames == [b"hello"]
    # Those that never said a whole greeting end without a word in the monitor.
    wait_until(lambda: extra(server, "handshake_failed") >= 16)


def send_for_ever(to: socket.socket) -> None:
    while True:
        to.sendall(b"x" * 65536)


def test_an_announced_giant_makes_nobody_reserve_memory(bench: ZmqBench) -> None:
    server = bench.serve()
    before = psutil.Process().memory_info().rss
    greeting = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    command = b"\x06" + (1 << 40).to_bytes(8, "big")
    with connected(server.listener.address, 8) as sockets:
        for each in sockets:
            each.sendall(greeting + command)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                send_for_ever(each)
    assert psutil.Process().memory_info().rss - before < 32 * 1024 * 1024


def test_a_connection_that_takes_over_a_descriptor_is_not_taken_for_the_old_one(bench: ZmqBench) -> None:
    server = bench.serve(lambda frame: frame)
    for number in range(20):
        client = bench.join(server)
        client.dialer.send(b"%d" % number)
        assert client.wait_frames(1) == [b"%d" % number]
        client.dialer.close()
    stays = bench.join(server)
    stays.dialer.send(b"stays")
    stays.wait_frames(1)
    peer = server.peer("alice")
    gone = {event.peer for event in server.events if event.state is PeerState.GONE}
    wait_until(lambda: len({event.peer for event in server.events}) == 20)
    assert peer not in gone
    stays.dialer.send(b"yes")
    assert stays.wait_frames(2)[-1] == b"yes"
    assert stays.states == [LinkState.CONNECTED]


def test_a_first_frame_that_is_read_before_the_news_of_its_connection(bench: ZmqBench) -> None:
    server = bench.serve()
    monitor = server.listener._monitor  # type: ignore[attr-defined]
    entered, go = threading.Event(), threading.Event()

    def hold(_: bytes) -> None:
        entered.set()
        go.wait(20)

    server.reply = hold
    old = bench.join(server)
    old.dialer.send(b"old")
    entered.wait(20)
    # While the loop is held a connection ends and another begins; then the loop looks for news too early.
    old.dialer.close()
    new = bench.join(server, BOB)
    new.dialer.send(b"new")
    wait_until(lambda: new.dialer.counters.sent == 1)
    drain, early = monitor.drain, [True]
    monitor.drain = lambda: [] if early and early.pop() else drain()
    server.reply = lambda _: None
    go.set()
    peer = server.peer("bob")
    server.wait_event(server.peer("alice"), PeerState.GONE)
    new.dialer.send(b"still here")
    server.wait_frames(3)
    assert peer not in {event.peer for event in server.events}


def test_silent_connections_are_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number, once they had a moment to say something; in a rush at once. Who has spoken stays."""
    monkeypatch.setattr("cicd.transport.zmq_connections.resource.getrlimit", lambda _: (20 * 8, 1000))
    cut: list[int] = []
    connections = Connections()
    monkeypatch.setattr(connections, "cut_off", cut.append)
    for fd in range(30):
        connections.opened(fd, 100.0)
    connections.delivered(0, 10)
    connections.check(100.1)
    assert cut == [], "they have only just come"
    connections.check(100.3)
    assert cut == list(range(1, 10))
    for fd in range(30, 60):
        connections.opened(fd, 100.4)
    connections.check(100.4)
    assert cut == list(range(1, 30)), "a rush leaves twice as many, and none that had its time"
    connections.closed(59)
    connections.check(100.5)
    assert len(cut) == 29
