"""The raw limits of this machine, measured in the same run as the system: round trips, durable commits, forks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import lmdb
import zmq

from bench.figures import Figure, emit, p50_p99, timings
from cicd.clock import SystemClock
from cicd.storage.base import Write
from cicd.storage.lmdb import LmdbStorage
from cicd.transport.base import LinkState
from cicd.transport.curve import new_keypair
from cicd.transport.zmq_transport import ZmqTransport

_FRAME = b"x" * 200
_PATIENCE_S = 10.0


@contextmanager
def echo(kind: str) -> Iterator[tuple[str, str]]:
    """Run an echo process; yield its address and public key."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.echo", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address, public = process.stdout.readline().split()
        try:
            yield address, public
        finally:
            process.communicate()


def raw_round_trip(count: int) -> Figure:
    """DEALER to ROUTER and back: bare pyzmq, CURVE, tcp on loopback."""
    with echo("raw") as (address, public):
        keys = new_keypair()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.curve_serverkey = public.encode()
        dealer.curve_publickey, dealer.curve_secretkey = keys.public.encode(), keys.secret.encode()
        dealer.connect(address)

        def once() -> None:
            dealer.send(_FRAME)
            dealer.recv()

        taken = timings(once, count, warm_up=200)
        context.destroy(linger=0)
    return emit("zmq_round_trip_raw", count=count, bytes=len(_FRAME), **p50_p99(taken))


def our_round_trip(count: int) -> Figure:
    """The same through the system's dialer and listener: their threads, queues and counters."""
    arrived: SimpleQueue[Sequence[bytes]] = SimpleQueue()
    connected = Event()

    def on_link(state: LinkState, _detail: str) -> None:
        if state is LinkState.CONNECTED:
            connected.set()

    def die(error: BaseException) -> None:
        raise error

    with echo("ours") as (address, public):
        transport = ZmqTransport(SystemClock())
        dialer = transport.dialer(address, public, new_keypair())
        dialer.start(arrived.put, on_link, die)
        assert connected.wait(_PATIENCE_S)

        def once() -> None:
            dialer.send(_FRAME)
            arrived.get(timeout=_PATIENCE_S)

        taken = timings(once, count, warm_up=200)
        dialer.close()
        transport.close()
    return emit("zmq_round_trip_ours", count=count, bytes=len(_FRAME), **p50_p99(taken))


def raw_commit(count: int, puts: int) -> Figure:
    """A durable commit in bare LMDB, values of 200 bytes."""
    with tempfile.TemporaryDirectory() as folder, lmdb.open(folder, map_size=1 << 28) as env:
        number = iter(range(1 << 60))

        def once() -> None:
            with env.begin(write=True) as txn:
                for _ in range(puts):
                    txn.put(next(number).to_bytes(8, "big"), _FRAME)

        taken = timings(once, count)
    return emit("lmdb_commit_raw", count=count, puts=puts, **p50_p99(taken))


def our_commit(count: int, puts: int) -> Figure:
    """The same through the system's storage."""
    with tempfile.TemporaryDirectory() as folder:
        storage = LmdbStorage(Path(folder, "store"))
        number = iter(range(1 << 60))

        def once() -> None:
            storage.commit((), [Write(next(number).to_bytes(8, "big"), _FRAME) for _ in range(puts)])

        taken = timings(once, count)
        storage.close()
    return emit("lmdb_commit_ours", count=count, puts=puts, **p50_p99(taken))


def fork(count: int) -> Figure:
    """A fork of a warm, single-threaded process that has the SDK loaded, until the child's first byte."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.zygote", str(count)], check=True, capture_output=True, text=True
    )
    return emit("fork_warm", count=count, **p50_p99(json.loads(done.stdout)))
