"""A ROUTER with CURVE behind the `Listener` contract.

Theory of operation. One thread loops: poll (socket, its monitor, wake-up), read the monitor, read a batch, hand it
over, hand out what `send` has queued, tell the news.

A peer is known from its first frame on. That frame says which descriptor its connection has; the monitor says when
that descriptor is closed. Both are brought together after the monitor was read dry once more, so that whatever
happened to the descriptor before this connection had it is past. A connection's end is told after the socket was read
dry: its last frames come first. (A frame may still come late by some microseconds; its peer is then told to be gone
again.)

A peer that chose a routing id itself is not heard: it could wait for the id of another one to become free. The user
is read from every frame, not remembered by routing id, for the same reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import zmq

from cicd.clock import Clock
from cicd.codec import FRAME_LIMIT_BYTES
from cicd.errors import UserError
from cicd.transport.base import Delivery, OnBatch, OnDeath, OnPeer, PeerEvent, PeerId, PeerState
from cicd.transport.curve import KeyPair
from cicd.transport.tap import Tap
from cicd.transport.zmq_connections import Connections, wire_bytes
from cicd.transport.zmq_loop import CLOSE_S, READ_BATCH, SocketLoop
from cicd.transport.zmq_monitor import Monitor
from cicd.transport.zmq_options import harden_listener, scatter_routing_ids
from cicd.transport.zmq_sender import QUEUE_BYTES, QUEUE_FRAMES, Sender

# Not ACCEPT_FAILED: without a descriptor left, libzmq tries again at once, for ever, and tells each time (measured: our
# thread did nothing but read that, and no minion got in).
_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


@dataclass(slots=True)
class _Peer:
    user: str
    fd: int
    heard: bool


class ZmqListener(SocketLoop):
    """Bound as soon as it is made; accepts from `start` on.

    Args:
        context: holds the ZAP handler; without one nobody gets in.
        address: `tcp://host:port` (`*` for a free port) or `ipc://path`, whose socket file gets mode 0600.
        server_keys: the pair that peers pin.
        zap_domain: what the policy is asked with.
        clock: gives the time of arrival.
        tap: mirrors what passes; None: nothing.
        name: of the socket, in taps and as the thread's name.
        queue_limit: most frames that wait for one peer.
        queue_limit_bytes: most bytes that wait for one peer.

    Raises:
        UserError: it cannot listen there.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        server_keys: KeyPair,
        zap_domain: str,
        *,
        clock: Clock,
        tap: Tap | None = None,
        name: str = "listener",
        queue_limit: int = QUEUE_FRAMES,
        queue_limit_bytes: int = QUEUE_BYTES,
    ) -> None:
        super().__init__(f"cicd-{name}")
        self._socket_name = name
        self._linger_ms = 0
        self._clock = clock
        self._tap = tap
        self._peers: dict[PeerId, _Peer] = {}
        self._by_fd: dict[int, PeerId] = {}
        self._leaving: list[PeerId] = []
        self._news: dict[PeerEvent, None] = {}
        self._cuts: deque[str] = deque()
        self._connections = Connections()
        scatter_routing_ids()
        self._socket = context.socket(zmq.ROUTER)
        self._monitor = Monitor(context, self._socket, _EVENTS)
        self._sender = Sender(
            self._socket,
            self.counters,
            is_known=self._is_known,
            on_sent=self._mirror if tap is not None else None,
            on_lost=self._lost,
            limit=queue_limit,
            limit_bytes=queue_limit_bytes,
        )
        try:
            harden_listener(self._socket, server_keys, zap_domain)
            self._socket.bind(address)
            self._address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
            if self._address.startswith("ipc://"):
                Path(self._address.removeprefix("ipc://")).chmod(0o600)
        except zmq.ZMQError as error:
            self._release()
            self._wake.close()
            raise UserError(f"cannot listen on {address}: {error.strerror}") from error
        except BaseException:
            self._release()
            self._wake.close()
            raise

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        return self._address

    def start(self, on_batch: OnBatch, on_peer: OnPeer, on_death: OnDeath) -> None:
        """Begin to accept; see `Listener`."""
        self._on_batch = on_batch
        self._on_peer = on_peer
        self._begin(on_death)

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame for a peer; see `Listener`. Frames over the limit are dropped and counted."""
        self._sender.put(peer, frame)
        self._wake.notify()

    def cut(self, user: str) -> None:
        """End every connection of a user; see `Listener`."""
        self._cuts.append(user)
        self._wake.notify()

    # ---- the loop --------------------------------------------------------------------------------------

    def _loop(self) -> None:
        poller = zmq.Poller()
        wake_fd = self._wake.fileno()
        for pollable in (self._socket, self._monitor.socket, wake_fd):
            poller.register(pollable, zmq.POLLIN)  # the default would include POLLOUT: a ROUTER is always writable
        while not self._closing:
            self._wake.park()
            idle = not (self._sender.has_work or self._closing or self._cuts)
            ready = dict(poller.poll(self._nap_ms() if idle else 0))
            self._wake.unpark(woken=wake_fd in ready)
            now = self._clock.boot_s()
            if self._monitor.socket in ready:
                self._read_monitor()
            if self._socket in ready or self._leaving:
                self._read(now)
            while self._cuts:
                self._cut(self._cuts.popleft())
            self._connections.check(now)
            if self._connections.cut:
                self.counters.extra["cut"] = self._connections.cut
            self._sender.run(now)
            self._tell()
        self._drain()

    def _nap_ms(self) -> int | None:
        ends = [end for end in (self._sender.retry_s, self._connections.next_check_s) if end is not None]
        return max(0, int((min(ends) - self._clock.boot_s()) * 1000) + 1) if ends else None

    def _read_monitor(self) -> None:
        for event, value in self._monitor.drain():
            if event == zmq.EVENT_ACCEPTED:
                self._connections.opened(value, self._clock.boot_s())
            elif event == zmq.EVENT_DISCONNECTED:
                self._connections.closed(value)
                peer = self._by_fd.pop(value, None)
                if peer is not None:
                    self._leaving.append(peer)
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self.counters.denied += 1
            elif event != zmq.EVENT_CLOSED:
                self._count("handshake_failed")

    def _read(self, now: float) -> None:
        batch: list[Delivery] = []
        receive = self._socket.recv
        dry = False
        for _ in range(READ_BATCH):
            try:
                peer = PeerId(receive(zmq.NOBLOCK))
            except zmq.Again:
                dry = True
                break
            frame = receive(zmq.NOBLOCK, copy=False)
            known = self._identify(peer, frame)
            if frame.more:
                self._skip(frame, known)
                continue
            data = frame.bytes
            self._connections.delivered(known.fd, wire_bytes(len(data)))
            if not known.heard:
                self._count("dropped_named")
            elif len(data) > FRAME_LIMIT_BYTES:
                self._count("dropped_oversize")
            else:
                batch.append(Delivery(peer, known.user, data, now))
        if batch:
            self.counters.received += len(batch)
            if self._tap is not None:
                for delivery in batch:
                    self._tap.record(self._socket_name, "in", delivery.peer, delivery.frame)
            self._on_batch(batch)
        if dry and self._leaving:
            self._dismiss()

    def _identify(self, peer: PeerId, frame: zmq.Frame) -> _Peer:
        user = str(frame.get("User-Id"))
        known = self._peers.get(peer)
        if known is not None and known.user == user:
            return known
        known = _Peer(user, int(frame.get(zmq.SRCFD)), heard=not frame.get("Identity"))
        # Read dry, or an older connection's end could be taken for the end of this one: descriptors are used again.
        self._read_monitor()
        before = self._by_fd.pop(known.fd, None)
        if before is not None and before != peer:
            self._leaving.append(before)
        self._peers[peer] = known
        if self._connections.is_open(known.fd):
            self._by_fd[known.fd] = peer
        else:
            self._leaving.append(peer)
        return known

    def _cut(self, user: str) -> None:
        """Shut down a user's connections: ZeroMQ then frees what it held, and tells us through the monitor."""
        self._read_monitor()
        for fd, peer in self._by_fd.items():
            known = self._peers.get(peer)
            if known is not None and known.user == user:
                self._connections.cut_off(fd)

    def _skip(self, frame: zmq.Frame, known: _Peer) -> None:
        size = wire_bytes(len(frame))
        while frame.more:
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            size += wire_bytes(len(frame))
        self._connections.delivered(known.fd, size)
        self.counters.dropped_multipart += 1

    def _dismiss(self) -> None:
        leaving, self._leaving = self._leaving, []
        for peer in leaving:
            self._forget(peer)

    def _forget(self, peer: PeerId) -> None:
        known = self._peers.pop(peer, None)
        if known is not None and self._by_fd.get(known.fd) == peer:
            del self._by_fd[known.fd]
        self._sender.forget(peer)
        if known is None or known.heard:
            self._news[PeerEvent(peer, PeerState.GONE)] = None

    def _is_known(self, peer: PeerId) -> bool:
        known = self._peers.get(peer)
        return known is not None and known.heard

    def _lost(self, peer: PeerId, state: PeerState) -> None:
        if state is PeerState.GONE:
            self._forget(peer)
        else:
            self._news[PeerEvent(peer, state)] = None

    def _mirror(self, peer: PeerId, frame: bytes) -> None:
        if self._tap is not None:
            self._tap.record(self._socket_name, "out", peer, frame)

    def _tell(self) -> None:
        news, self._news = self._news, {}
        for event in news:
            self._on_peer(event)

    def _count(self, what: str) -> None:
        self.counters.extra[what] = self.counters.extra.get(what, 0) + 1

    # ---- the end ---------------------------------------------------------------------------------------

    def _drain(self) -> None:
        now = self._clock.boot_s()
        end = now + CLOSE_S
        self._sender.run(now)
        while (retry_s := self._sender.retry_s) is not None and now < end:
            self._monitor.socket.poll(max(1, int((retry_s - now) * 1000)), zmq.POLLIN)
            self._monitor.drain()
            self._socket.getsockopt(zmq.EVENTS)  # lets ZeroMQ learn what peers have read
            now = self._clock.boot_s()
            self._sender.run(now)
        self._linger_ms = max(0, int((end - now) * 1000))

    def _release(self) -> None:
        self._monitor.close_both(self._linger_ms)
