"""One suite for every transport: what `cicd.transport.base` promises."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator

import pytest

from cicd.codec import FRAME_LIMIT_BYTES
from cicd.errors import UserError
from cicd.testing.transport_bench import ALICE, BOB, CLOCK, DOMAIN, SERVER, STRANGER, Client, TransportBench, ring
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, LinkState, PeerId, PeerState
from cicd.transport.curve import new_keypair
from cicd.transport.memory import MemoryHub
from cicd.transport.zmq_transport import ZmqTransport


@pytest.fixture(params=["memory", "tcp", "ipc"])
def bench(request: pytest.FixtureRequest) -> Iterator[TransportBench]:
    with tempfile.TemporaryDirectory() as folder:
        addresses = {"memory": "memory://*", "tcp": "tcp://127.0.0.1:*", "ipc": f"ipc://{folder}/s"}
        transport = MemoryHub(CLOCK, ring()) if request.param == "memory" else ZmqTransport(CLOCK, ring())
        bench = TransportBench(transport, addresses[request.param])
        yield bench
        bench.close()


def seen_by(client: Client) -> int:
    return client.dialer.counters.sent + client.dialer.counters.dropped_slow


def numbered(number: int, size: int = 4) -> list[bytes]:
    return [index.to_bytes(4, "big").ljust(size, b".") for index in range(number)]


# ---- both directions -----------------------------------------------------------------------------------


def test_a_frame_is_echoed_and_carries_its_user(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: b"re:" + frame)
    before = CLOCK.boot_s()
    client = bench.join(server)
    client.dialer.send(b"hello")
    assert client.wait_frames(1) == [b"re:hello"]
    (delivery,) = server.deliveries
    assert delivery == Delivery(delivery.peer, "alice", b"hello", delivery.received_boot_s)
    assert before <= delivery.received_boot_s <= CLOCK.boot_s()


@pytest.mark.parametrize("size", [0, 1, 222, 223, 65536, FRAME_LIMIT_BYTES])
def test_frames_of_every_length_up_to_the_limit_pass(bench: TransportBench, size: int) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.join(server)
    client.dialer.send(b"x" * size)
    assert client.wait_frames(1) == [b"x" * size]
    assert server.frames == [b"x" * size]


def test_a_thousand_frames_each_way_arrive_in_order(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.join(server)
    expected = numbered(1000, 200)
    for frame in expected:
        client.dialer.send(frame)
    assert client.wait_frames(1000) == expected
    assert server.frames == expected
    assert client.dialer.counters.sent == client.dialer.counters.received == 1000
    assert server.listener.counters.sent == server.listener.counters.received == 1000


def test_frames_that_arrive_together_come_as_one_batch(bench: TransportBench) -> None:
    server = bench.serve()
    entered, go = threading.Event(), threading.Event()

    def hold(_: bytes) -> None:
        entered.set()
        go.wait(20)

    server.reply = hold
    client = bench.join(server)
    client.dialer.send(b"first")
    entered.wait(20)
    for frame in numbered(50):
        client.dialer.send(frame)
    wait_until(lambda: client.dialer.counters.sent == 51)
    go.set()
    server.wait_frames(51)
    assert len(server.batches) < 25


def test_two_peers_do_not_mix(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: b"re:" + frame)
    alice, bob = bench.join(server, ALICE), bench.join(server, BOB)
    for number in range(100):
        alice.dialer.send(b"a%d" % number)
        bob.dialer.send(b"b%d" % number)
    assert alice.wait_frames(100) == [b"re:a%d" % number for number in range(100)]
    assert bob.wait_frames(100) == [b"re:b%d" % number for number in range(100)]
    seen = {(each.peer, each.user, each.frame[:1]) for each in server.deliveries}
    assert seen == {(server.peer("alice"), "alice", b"a"), (server.peer("bob"), "bob", b"b")}


def test_two_connections_with_one_key_are_two_peers(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    first, second = bench.join(server), bench.join(server)
    first.dialer.send(b"1")
    second.dialer.send(b"2")
    assert (first.wait_frames(1), second.wait_frames(1)) == ([b"1"], [b"2"])
    assert len({each.peer for each in server.deliveries}) == 2


def test_send_may_be_called_from_any_thread(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.join(server)
    frames = [numbered(100, 4 + sender) for sender in range(4)]

    def send_all(mine: list[bytes]) -> None:
        for frame in mine:
            client.dialer.send(frame)

    threads = [threading.Thread(target=send_all, args=(mine,)) for mine in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.wait_frames(400)
    for mine in frames:
        assert [frame for frame in server.frames if len(frame) == len(mine[0])] == mine


# ---- peers that go away or are slow --------------------------------------------------------------------


def test_a_peer_that_leaves_is_told_at_once_and_after_its_last_frames(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    client.dialer.send(b"goodbye")
    client.dialer.close()
    server.wait_event(peer, PeerState.GONE)
    assert server.frames[-1] == b"goodbye"


def test_sending_to_a_peer_that_is_gone_is_no_error_but_news(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    client.dialer.close()
    server.wait_event(peer, PeerState.GONE)
    server.events.clear()
    server.listener.send(peer, b"too late")
    server.wait_event(peer, PeerState.GONE)
    assert server.listener.counters.dropped_gone == 1


def test_sending_to_a_peer_that_never_was_is_news_too(bench: TransportBench) -> None:
    server = bench.serve()
    server.listener.send(PeerId(b"nobody"), b"hello")
    server.wait_event(PeerId(b"nobody"), PeerState.GONE)


def test_a_slow_peer_is_told_loses_frames_and_harms_nobody(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame if frame == b"ping" else None)
    slow, quick = bench.join(server, ALICE), bench.join(server, BOB)
    slow.gate.clear()
    slow.dialer.send(b"hello")
    peer = server.peer("alice")
    frame = b"x" * 65536
    sent = 0
    while not any(event.state is PeerState.SLOW for event in server.events):
        assert sent < 10_000, "nothing bounds the queue"
        server.listener.send(peer, frame)
        sent += 1
        if sent % 100 == 0:
            quick.dialer.send(b"ping")
            quick.wait_frames(sent // 100)
    server.wait_event(peer, PeerState.SLOW)
    assert server.listener.counters.dropped_slow >= 1
    slow.gate.set()
    # What was not dropped arrives, and the way is free again.
    arrives = sent - server.listener.counters.dropped_slow
    slow.wait_frames(arrives)
    server.listener.send(peer, b"again")
    assert slow.wait_frames(arrives + 1)[-1] == b"again"


def test_the_queue_of_a_dialer_is_bounded(bench: TransportBench) -> None:
    server = bench.serve()
    entered, go = threading.Event(), threading.Event()

    def hold(_: bytes) -> None:
        entered.set()
        go.wait(60)

    server.reply = hold
    client = bench.join(server)
    client.dialer.send(b"hello")
    entered.wait(20)
    frame = b"x" * 65536
    sent = 0
    while not client.dialer.counters.dropped_slow:
        assert sent < 20_000, "nothing bounds the queue"
        client.dialer.send(frame)
        sent += 1
        if sent % 200 == 0:
            wait_until(lambda: seen_by(client) + 1000 >= sent)  # noqa: B023  it is called at once
    go.set()


def test_an_urgent_frame_overtakes(bench: TransportBench) -> None:
    server = bench.serve()
    entered, go = threading.Event(), threading.Event()

    def hold(_: bytes) -> None:
        entered.set()
        go.wait(60)

    server.reply = hold
    client = bench.join(server)
    client.dialer.send(b"hello")
    entered.wait(20)
    frame = b"x" * 65536
    sent = 0
    while not client.dialer.counters.dropped_slow:  # until all is full, the dialer's own queue last
        client.dialer.send(frame)
        sent += 1
        if sent % 200 == 0:
            wait_until(lambda: seen_by(client) + 1000 >= sent)  # noqa: B023  it is called at once
    client.dialer.send(b"beat", urgent=True)
    go.set()
    server.reply = lambda _: None
    wait_until(lambda: b"beat" in server.frames)
    counters = client.dialer.counters
    wait_until(lambda: counters.sent + counters.dropped_slow == sent + 2, 30, "every frame to be sent or dropped")
    wait_until(lambda: counters.sent == len(server.frames), 30)
    frames = server.frames
    assert frames.index(b"beat") <= len(frames) - 500, "it waited in the queue with the others"


# ---- connections ---------------------------------------------------------------------------------------


def test_frames_are_dropped_while_there_is_no_connection(bench: TransportBench) -> None:
    server = bench.serve()
    address = server.listener.address
    server.listener.close()
    client = bench.dial(address)
    client.wait_state(LinkState.DISCONNECTED)
    assert address in client.links[0][1]
    client.dialer.send(b"lost")
    client.dialer.send(b"lost", urgent=True)
    wait_until(lambda: client.dialer.counters.dropped_gone == 2)
    again = bench.serve(address=address)
    client.wait_state(LinkState.CONNECTED)
    client.dialer.send(b"hello")
    assert again.wait_frames(1) == [b"hello"]


def test_a_dialer_comes_back_when_the_listener_does(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: b"one:" + frame)
    address = server.listener.address
    client = bench.join(server)
    client.dialer.send(b"hello")
    assert client.wait_frames(1) == [b"one:hello"]
    for round_number in (2, 3):
        server.listener.close()
        client.wait_state(LinkState.DISCONNECTED, round_number - 1)
        server = bench.serve(lambda frame: b"two:" + frame, address=address)
        client.wait_state(LinkState.CONNECTED, round_number)
        client.dialer.send(b"hello")
        assert client.wait_frames(round_number)[-1] == b"two:hello"


def test_a_key_that_is_not_known_is_refused_and_nothing_passes(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.dial(server, STRANGER)
    client.wait_state(LinkState.REFUSED)
    client.dialer.send(b"let me in")
    wait_until(lambda: client.dialer.counters.dropped_gone == 1)
    wait_until(lambda: server.listener.counters.denied >= 1)
    assert LinkState.CONNECTED not in client.states
    assert (server.frames, client.frames) == ([], [])
    assert server.listener.counters.received == client.dialer.counters.sent == 0


def test_a_refused_dialer_is_let_in_once_its_key_is_known(bench: TransportBench) -> None:
    keys, newcomer = ring(), new_keypair()
    bench.transport.set_policy(keys)
    server = bench.serve(lambda frame: frame)
    client = bench.dial(server, newcomer)
    client.wait_state(LinkState.REFUSED)
    keys.add(DOMAIN, newcomer.public, "newcomer")
    client.wait_state(LinkState.CONNECTED)
    client.dialer.send(b"hello")
    assert client.wait_frames(1) == [b"hello"]
    assert server.deliveries[0].user == "newcomer"


def test_a_removed_key_opens_no_new_connection(bench: TransportBench) -> None:
    keys = ring()
    bench.transport.set_policy(keys)
    server = bench.serve(lambda frame: frame)
    open_one = bench.join(server)
    keys.remove(DOMAIN, ALICE.public)
    late = bench.dial(server)
    late.wait_state(LinkState.REFUSED)
    open_one.dialer.send(b"still here")
    assert open_one.wait_frames(1) == [b"still here"]


def test_a_key_of_another_domain_is_refused(bench: TransportBench) -> None:
    server = bench.serve(domain="cicd.client")
    client = bench.dial(server)
    client.wait_state(LinkState.REFUSED)


def test_a_policy_that_raises_has_denied_and_lives(bench: TransportBench) -> None:
    def broken(domain: str, client_public: str) -> str | None:
        raise RuntimeError("a bug in a policy")

    bench.transport.set_policy(broken)
    server = bench.serve(lambda frame: frame)
    client = bench.dial(server)
    client.wait_state(LinkState.REFUSED)
    bench.transport.set_policy(ring())
    client.wait_state(LinkState.CONNECTED)
    client.dialer.send(b"hello")
    assert client.wait_frames(1) == [b"hello"]


def test_a_listener_with_another_key_than_the_pinned_one_is_not_connected_to(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.dial(server, server_public=new_keypair().public)
    client.wait_state(LinkState.DISCONNECTED)
    client.dialer.send(b"secret")
    wait_until(lambda: client.dialer.counters.dropped_gone == 1)
    assert LinkState.CONNECTED not in client.states
    assert server.frames == []


def test_an_address_is_bound_once(bench: TransportBench) -> None:
    server = bench.serve()
    if server.listener.address.startswith("ipc"):
        return  # the last one to bind a unix socket has it
    with pytest.raises(UserError, match="cannot listen on"):
        bench.transport.listener(server.listener.address, SERVER, DOMAIN)


# ---- limits --------------------------------------------------------------------------------------------


def test_a_frame_over_the_limit_is_dropped_and_its_neighbours_arrive(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.join(server)
    too_long = b"x" * (FRAME_LIMIT_BYTES + 1)
    for frame in (b"before", too_long, b"after"):
        client.dialer.send(frame)
    assert client.wait_frames(2) == [b"before", b"after"]
    server.listener.send(server.peer("alice"), too_long)
    server.listener.send(server.peer("alice"), b"last")
    assert client.wait_frames(3)[-1] == b"last"
    assert client.dialer.counters.extra["dropped_oversize"] == server.listener.counters.extra["dropped_oversize"] == 1


# ---- death and the end ---------------------------------------------------------------------------------


def test_a_callback_that_raises_is_the_death_of_its_loop(bench: TransportBench) -> None:
    server = bench.serve(lambda _: 1 // 0)  # type: ignore[arg-type, return-value]
    client = bench.join(server)
    client.dialer.send(b"hello")
    wait_until(lambda: server.deaths)
    assert isinstance(server.deaths.pop(), ZeroDivisionError)
    client.wait_state(LinkState.DISCONNECTED)
    server.listener.close()


def test_the_same_for_a_dialer(bench: TransportBench) -> None:
    server = bench.serve()

    def broken(frames: object) -> None:
        raise KeyError("a bug")

    dialer = bench.transport.dialer(server.listener.address, SERVER.public, ALICE)
    deaths: list[BaseException] = []
    connected = threading.Event()
    dialer.start(broken, lambda state, _: connected.set() if state is LinkState.CONNECTED else None, deaths.append)
    connected.wait(20)
    dialer.send(b"hello")
    server.listener.send(server.peer("alice"), b"answer")
    wait_until(lambda: deaths)
    assert isinstance(deaths[0], KeyError)
    server.wait_event(server.peer("alice"), PeerState.GONE)
    dialer.close()


def test_what_was_sent_before_close_arrives(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    for frame in numbered(40, 100_000):
        client.dialer.send(frame)
    client.dialer.close()
    assert server.wait_frames(40) == numbered(40, 100_000)


def test_what_a_listener_sent_before_close_arrives(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    for frame in numbered(40, 100_000):
        server.listener.send(peer, frame)
    server.listener.close()
    assert client.wait_frames(40) == numbered(40, 100_000)


def test_what_had_arrived_is_read_after_the_connection_ended(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    client.gate.clear()
    server.listener.send(peer, b"first")
    client.wait_frames(1)
    for frame in numbered(50, 1000):
        server.listener.send(peer, frame)
    server.listener.close()
    client.gate.set()
    client.wait_state(LinkState.DISCONNECTED)
    assert client.frames == [b"first", *numbered(50, 1000)]


def test_close_may_be_called_again_and_sending_afterwards_is_nothing(bench: TransportBench) -> None:
    server = bench.serve()
    client = bench.join(server)
    client.dialer.send(b"hello")
    peer = server.peer("alice")
    for _ in range(2):
        client.dialer.close()
        server.listener.close()
    client.dialer.send(b"late")
    server.listener.send(peer, b"late")
    assert server.frames == [b"hello"]


def test_close_without_start_leaves_nothing(bench: TransportBench) -> None:
    listener = bench.transport.listener(bench.address, SERVER, DOMAIN)
    dialer = bench.transport.dialer(listener.address, SERVER.public, ALICE)
    dialer.close()
    listener.close()
    again = bench.serve(address=listener.address)
    client = bench.join(again)
    client.dialer.close()


def test_a_callback_may_close_its_own_end(bench: TransportBench) -> None:
    server = bench.serve()
    server.reply = lambda _: server.listener.close()
    client = bench.join(server)
    client.dialer.send(b"hello")
    client.wait_state(LinkState.DISCONNECTED)


# ---- cutting -------------------------------------------------------------------------------------------


def test_every_connection_of_a_user_is_cut_and_nobody_elses(bench: TransportBench) -> None:
    server = bench.serve(lambda frame: frame)
    mine = [bench.join(server), bench.join(server)]
    other = bench.join(server, BOB)
    for client in (*mine, other):
        client.dialer.send(b"hello")
        client.wait_frames(1)
    peers = {each.peer for each in server.deliveries if each.user == "alice"}
    server.listener.cut("nobody")
    server.listener.cut("alice")
    for peer in peers:
        server.wait_event(peer, PeerState.GONE)
    for client in mine:
        client.wait_state(LinkState.DISCONNECTED)
    other.dialer.send(b"still here")
    assert other.wait_frames(2)[-1] == b"still here"
    assert other.states == [LinkState.CONNECTED]
