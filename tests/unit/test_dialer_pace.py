"""How a dialer paces its attempts, and how a sleeping loop is woken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import zmq

from cicd.errors import UserError
from cicd.testing.fake_clock import FakeClock
from cicd.testing.transport_bench import ALICE, CLOCK, SERVER, TransportBench, ring
from cicd.testing.waiting import wait_until
from cicd.transport.wakeup import Wakeup
from cicd.transport.zmq_dialer import ZmqDialer
from cicd.transport.zmq_link import LinkEnd
from cicd.transport.zmq_transport import ZmqTransport


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


def waits(context: zmq.Context[zmq.Socket[bytes]], uniform: float, ends: list[tuple[LinkEnd, float]]) -> list[float]:
    """Return the pauses of a dialer whose links ended like this after so many seconds of connection."""
    clock = FakeClock()
    dialer = ZmqDialer(context, "tcp://127.0.0.1:1", SERVER.public, ALICE, clock=clock, uniform=lambda: uniform)
    dialer._on_link = lambda _state, _detail: None
    found = []
    for end, connected_s in ends:
        link = dialer._link or dialer._open()
        dialer._link = link
        if connected_s:
            link.connected = True
            dialer._changed(link, None, clock.boot_s())
            clock.advance(connected_s)
        dialer._changed(link, end, clock.boot_s())
        found.append(dialer._until_s - clock.boot_s())
    dialer.close()
    return [round(pause, 3) for pause in found]


REFUSED = (LinkEnd.REFUSED, 0.0)


def test_pauses_lie_between_a_tenth_and_a_bound_that_doubles_up_to_ten_seconds(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    assert waits(context, 0.0, [REFUSED] * 8) == [0.1] * 8
    assert waits(context, 1.0, [REFUSED] * 8) == [0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    assert waits(context, 0.5, [REFUSED] * 3) == [0.25, 0.45, 0.85]


def test_a_connection_that_held_starts_anew_and_one_that_did_not_does_not(
    context: zmq.Context[zmq.Socket[bytes]],
) -> None:
    held, dropped = (LinkEnd.BROKEN, 5.0), (LinkEnd.BROKEN, 0.5)
    assert waits(context, 1.0, [REFUSED, REFUSED, held]) == [0.4, 0.8, 0.4]
    assert waits(context, 1.0, [REFUSED, REFUSED, dropped]) == [0.4, 0.8, 1.6]


def test_a_connection_on_which_a_frame_arrived_starts_anew_however_short_it_was() -> None:
    bench = TransportBench(ZmqTransport(CLOCK, ring()), "tcp://127.0.0.1:*")
    try:
        server = bench.serve(lambda frame: frame)
        client = bench.join(server)
        client.dialer._failures = 9
        client.dialer.send(b"echo")
        client.wait_frames(1)
        wait_until(lambda: client.dialer._failures == 0)
    finally:
        bench.close()


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://", "tcp://127.0.0.1:x", "ftp://x:1"])
def test_a_malformed_address_is_a_user_error(context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
    with pytest.raises(UserError, match="cannot connect to"):
        ZmqDialer(context, address, SERVER.public, ALICE, clock=CLOCK)


def test_a_malformed_key_is_a_user_error(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with pytest.raises(UserError, match="CURVE key"):
        ZmqDialer(context, "tcp://127.0.0.1:1", "nonsense", ALICE, clock=CLOCK)


# ---- waking --------------------------------------------------------------------------------------------


def readable(wake: Wakeup) -> bool:
    try:
        os.eventfd_read(wake.fileno())
    except BlockingIOError:
        return False
    return True


def test_only_a_parked_sleeper_costs_a_system_call_and_only_once() -> None:
    wake = Wakeup()
    wake.notify()
    assert not readable(wake)
    wake.park()
    wake.notify()
    wake.notify()
    assert os.eventfd_read(wake.fileno()) == 1
    wake.unpark(woken=False)
    wake.notify()
    assert not readable(wake)
    wake.close()


def test_a_closed_wakeup_does_nothing_and_holds_nothing() -> None:
    wake = Wakeup()
    fd = wake.fileno()
    wake.park()
    wake.close()
    wake.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    wake.notify()


def test_no_wake_up_is_lost() -> None:
    """A sleeper that looks at its queue after parking sees each thing that senders put there."""
    wake, seen = Wakeup(), 0
    queue: list[int] = []
    poller = zmq.Poller()
    poller.register(wake.fileno(), zmq.POLLIN)
    taken = threading.Semaphore(0)

    def send() -> None:
        for _ in range(1000):
            queue.append(1)
            wake.notify()
            taken.acquire(timeout=20)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    lost = False
    while seen < 3000 and not lost:
        wake.park()
        asleep = len(queue) == seen
        ready = poller.poll(10_000 if asleep else 0)
        lost = asleep and not ready
        wake.unpark(woken=bool(ready))
        arrived = len(queue) - seen
        seen += arrived
        if arrived:
            taken.release(arrived)
    taken.release(3000)
    for thread in threads:
        thread.join()
    wake.close()
    assert not lost
