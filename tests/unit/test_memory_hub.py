"""What the network in memory has beyond the contract: bounds that can be set, connections that can be cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cicd.testing.transport_bench import ALICE, CLOCK, DOMAIN, SERVER, TransportBench, ring
from cicd.testing.waiting import wait_until
from cicd.transport.base import LinkState, PeerState
from cicd.transport.memory import MemoryHub


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub(CLOCK, ring(), queue_limit=10)


@pytest.fixture
def bench(hub: MemoryHub) -> Iterator[TransportBench]:
    bench = TransportBench(hub, "memory://*")
    yield bench
    bench.close()


def test_what_a_listener_does_not_take_is_bounded_for_each_peer(bench: TransportBench, hub: MemoryHub) -> None:
    listener = hub.listener("memory://x", SERVER, DOMAIN)  # never started: nothing is taken
    clients = [bench.dial("memory://x", ALICE) for _ in range(2)]
    for client in clients:
        client.wait_state(LinkState.CONNECTED)
        for number in range(1, 11):
            client.dialer.send(b"x")
            wait_until(lambda: client.dialer.counters.sent == number)  # noqa: B023  it is called at once
        for _ in range(20):  # ten wait on this side, as many as may; the rest is dropped
            client.dialer.send(b"x")
        assert (client.dialer.counters.sent, client.dialer.counters.dropped_slow) == (10, 10)
    listener.close()


def test_connections_that_are_cut_are_told_to_both_sides_and_come_back(bench: TransportBench, hub: MemoryHub) -> None:
    server = bench.serve(lambda frame: frame)
    client = bench.join(server)
    client.dialer.send(b"one")
    client.wait_frames(1)
    first = server.peer("alice")
    hub.cut(server.listener.address)
    server.wait_event(first, PeerState.GONE)
    client.wait_state(LinkState.CONNECTED, 2)
    assert client.states == [LinkState.CONNECTED, LinkState.DISCONNECTED, LinkState.CONNECTED]
    client.dialer.send(b"two")
    assert client.wait_frames(2)[-1] == b"two"
    assert server.peer("alice") != first
    hub.cut("memory://nowhere")
