"""Every socket option that safety rests on, in one place.

- A CURVE server whose ZAP handler is missing lets every key in, unless it has a domain and enforces it.
- Without MAXMSGSIZE an unauthenticated peer makes the server buffer hundreds of megabytes.
- With the default handshake interval of 30 s idle connections use up all descriptors.
- A ROUTER that is not MANDATORY drops in silence.
- ZMTP heartbeats only clean up dead connections: faster than every 10 s they are expensive and cut living ones.
"""

from __future__ import annotations

import ctypes
import os

import zmq

from cicd.codec import FRAME_LIMIT_BYTES
from cicd.transport.curve import KeyPair

CURVE_OVERHEAD_BYTES = 33
"""What CURVE adds to a frame: command name, nonce, authenticator, flags. Source: https://rfc.zeromq.org/spec/26/"""

HANDSHAKE_MS = 2000
CONNECT_MS = 5000
HEARTBEAT_MS = 15_000
NEVER_MS = 24 * 3600 * 1000
BACKLOG = 1024
HIGH_WATER_MARK = 64
"""Frames that ZeroMQ itself keeps per connection and direction; behind it our own queues say when they are full."""


def harden_listener(socket: zmq.Socket[bytes], keys: KeyPair, zap_domain: str) -> None:
    """Set all options of a ROUTER before it is bound.

    Args:
        socket: the ROUTER.
        keys: the server's pair.
        zap_domain: never empty: without one the authenticator is not asked.

    Raises:
        ValueError: the domain is empty.
    """
    if not zap_domain:
        raise ValueError("a listener without a ZAP domain would let anybody in")
    _harden(socket)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, zap_domain.encode())
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.BACKLOG, BACKLOG)


def harden_dialer(socket: zmq.Socket[bytes], server_public: str, keys: KeyPair) -> None:
    """Set all options of a DEALER before it connects.

    It has no routing id of its own: the listener gives it a fresh one.
    """
    _harden(socket)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_public.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_MS)
    # The dialer reconnects by itself, with a new socket each time: ZeroMQ's own delays start at the shortest again
    # after every refused handshake, and its jitter covers that shortest delay only. So ZeroMQ's is put off for ever.
    # Not by -1, and without IMMEDIATE: both make it throw away what has arrived and was not read when a connection ends
    # (measured: a listener's last 50 frames were cut in 50 of 60 runs). What IMMEDIATE is for, queueing nothing for a
    # connection that does not exist, the dialer does by sending on a connected link only.
    socket.setsockopt(zmq.IMMEDIATE, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, NEVER_MS)


def scatter_routing_ids() -> None:
    """Make the next ROUTER count its routing ids up from a random number; called right before it is made.

    ZeroMQ takes that number from the C library's `rand`. As nobody seeds that, the ids were the same in every process
    (measured: three runs, three times 00e43c9869), and a peer could guess another one's.
    """
    ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4)))


def _harden(socket: zmq.Socket[bytes]) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_LIMIT_BYTES + CURVE_OVERHEAD_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
