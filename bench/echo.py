"""The other side of the round trips, as a process of its own: `python -m bench.echo raw|ours`.

Says on stdout where it listens, with which key, and sends back what it gets until its stdin ends.
"""

from __future__ import annotations

import sys

import zmq

from cicd.clock import SystemClock
from cicd.transport.base import Batch, PeerEvent
from cicd.transport.curve import new_keypair
from cicd.transport.policy import MINION_DOMAIN
from cicd.transport.zmq_transport import ZmqTransport


def raw() -> None:
    """Echo in a bare loop on one ROUTER with CURVE; anybody may connect."""
    keys = new_keypair()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = keys.public.encode(), keys.secret.encode()
    port = router.bind_to_random_port("tcp://127.0.0.1")
    print(f"tcp://127.0.0.1:{port}", keys.public, flush=True)
    poller = zmq.Poller()
    poller.register(router, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    while not any(source == sys.stdin.fileno() for source, _ in poller.poll()):
        router.send_multipart(router.recv_multipart())
    context.destroy(linger=0)


def ours() -> None:
    """Echo through the system's own listener."""
    keys = new_keypair()
    transport = ZmqTransport(SystemClock(), lambda _domain, _key: "bench")
    listener = transport.listener("tcp://127.0.0.1:0", keys, MINION_DOMAIN)

    def back(batch: Batch) -> None:
        for delivery in batch:
            listener.send(delivery.peer, delivery.frame)

    def ignore(_: PeerEvent) -> None:
        pass

    def die(error: BaseException) -> None:
        raise error

    listener.start(back, ignore, die)
    print(listener.address, keys.public, flush=True)
    sys.stdin.read()
    listener.close()
    transport.close()


if __name__ == "__main__":
    {"raw": raw, "ours": ours}[sys.argv[1]]()
