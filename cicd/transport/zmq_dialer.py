"""A DEALER with CURVE behind the `Dialer` contract.

Theory of operation. One thread loops over three states: waiting for the next attempt, attempting, connected. Between
attempts it waits between 0.1 s and a bound that doubles with every attempt that failed, up to 10 s, evenly spread
over the whole range (full jitter), so that a thousand minions do not come back at the same moment. A connection that
held for 2 s, or on which a frame arrived, starts the doubling anew: a master that is killed again and again right after
its start is found as fast as one that was killed once.

Frames wait in two queues, urgent ones leave first. ZeroMQ's own queue behind them is short. What waits when a
connection ends is dropped: it was meant for that connection.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import zmq

from cicd.clock import Clock
from cicd.codec import FRAME_LIMIT_BYTES
from cicd.errors import UserError
from cicd.transport.base import LinkState, OnDeath, OnFrames, OnLink
from cicd.transport.curve import KeyPair, from_z85
from cicd.transport.tap import Tap
from cicd.transport.zmq_link import ATTEMPT_S, Link, LinkEnd
from cicd.transport.zmq_loop import CLOSE_S, READ_BATCH, SocketLoop

RECONNECT_S = (0.1, 10.0)
"""Shortest and longest wait between two attempts."""
_FIRST_BOUND_S = 0.4
_STABLE_S = 2.0
_LAST_FRAMES_MS = 10
"""The end of a connection can be told some microseconds before its last frames."""

QUEUE_FRAMES = 1000

_DETAILS = {
    LinkEnd.UNREACHABLE: "nobody answers at {address}",
    LinkEnd.HANDSHAKE: (
        "{address} answers, but ended the handshake: its key is not the one we expect (the token of another master?), "
        "it is no cicd master, or its authenticator is down"
    ),
    LinkEnd.REFUSED: "{address} does not let our key in: it is unknown there, revoked, or meant for another socket",
    LinkEnd.BROKEN: "connection to {address} ended",
}


def _unit() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32


class ZmqDialer(SocketLoop):
    """Connects from `start` on, and again and again.

    Args:
        context: to make sockets in.
        address: `tcp://host:port` or `ipc://path`.
        server_public: the listener's public key, pinned.
        client_keys: our own pair.
        clock: paces the attempts.
        tap: mirrors what passes; None: nothing.
        name: of the socket, in taps and as the thread's name.
        queue_limit: most frames that wait, urgent ones and others counted apart. Further ones are dropped and counted.
        uniform: returns a number from 0 up to 1, for the jitter.
        longest_pause_s: between two attempts; those of many peers need it long, a single one's may be short.

    Raises:
        UserError: the address or a key is malformed.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        server_public: str,
        client_keys: KeyPair,
        *,
        clock: Clock,
        tap: Tap | None = None,
        name: str = "dialer",
        queue_limit: int = QUEUE_FRAMES,
        uniform: Callable[[], float] = _unit,
        longest_pause_s: float = RECONNECT_S[1],
    ) -> None:
        from_z85(server_public)
        from_z85(client_keys.secret)
        super().__init__(f"cicd-{name}")
        self._context = context
        self._address = address
        self._server_public = server_public
        self._keys = client_keys
        self._clock = clock
        self._tap = tap
        self._socket_name = name
        self._limit = queue_limit
        self._uniform = uniform
        self._longest_pause_s = longest_pause_s
        self._urgent: deque[bytes] = deque()
        self._normal: deque[bytes] = deque()
        self._overflow = 0
        self._blocked = False
        self._failures = 0
        self._until_s = 0.0  # waiting: of the next attempt; attempting: its end; connected: since when
        self._told: tuple[LinkState, str] | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._wake.fileno(), zmq.POLLIN)
        try:
            self._link: Link | None = self._open()
        except zmq.ZMQError as error:
            self._wake.close()
            raise UserError(f"cannot connect to {address}: {error.strerror}") from error

    def start(self, on_frames: OnFrames, on_link: OnLink, on_death: OnDeath) -> None:
        """Begin to connect; see `Dialer`."""
        self._on_frames = on_frames
        self._on_link = on_link
        self._begin(on_death)

    def send(self, frame: bytes, *, urgent: bool = False) -> None:
        """Queue a frame; see `Dialer`. Frames over the limit are dropped and counted."""
        queue = self._urgent if urgent else self._normal
        if len(queue) < self._limit:
            queue.append(frame)
        else:
            self._overflow += 1
        self._wake.notify()

    # ---- the loop --------------------------------------------------------------------------------------

    def _loop(self) -> None:
        wake_fd = self._wake.fileno()
        self._until_s = self._clock.boot_s() + ATTEMPT_S
        while not self._closing:
            self._wake.park()
            busy = self._closing or ((self._urgent or self._normal) and not self._blocked)
            ready = dict(self._poller.poll(0 if busy else self._nap_ms()))
            self._wake.unpark(woken=wake_fd in ready)
            self._turn(ready)
        self._drain()

    def _nap_ms(self) -> int | None:
        if self._link is not None and self._link.connected:
            return None
        return max(0, int((self._until_s - self._clock.boot_s()) * 1000) + 1)

    def _turn(self, ready: dict[object, int]) -> None:
        now = self._clock.boot_s()
        if self._link is None and now >= self._until_s:
            self._link = self._open()
            self._until_s = now + ATTEMPT_S
        link = self._link
        if link is not None:
            if link.monitor.socket in ready:
                for end in link.events():
                    self._changed(link, end, now)
            if link is self._link and not link.connected and now >= self._until_s:
                self._changed(link, LinkEnd.HANDSHAKE, now)
            if link is self._link and link.socket in ready:
                self._read(link)
        self._send_all()

    def _open(self) -> Link:
        link = Link(self._context, self._address, self._server_public, self._keys)
        self._poller.register(link.socket, zmq.POLLIN)
        self._poller.register(link.monitor.socket, zmq.POLLIN)
        return link

    def _changed(self, link: Link, end: LinkEnd | None, now: float) -> None:
        if end is None:
            self._until_s = now
            self._tell(LinkState.CONNECTED, self._address)
            return
        if link.connected:
            while link.socket.poll(_LAST_FRAMES_MS, zmq.POLLIN) and self._read(link):
                pass
            if now - self._until_s >= _STABLE_S:
                self._failures = 0
        self._drop_link()
        bound = min(self._longest_pause_s, _FIRST_BOUND_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._until_s = now + RECONNECT_S[0] + self._uniform() * (bound - RECONNECT_S[0])
        self._discard()
        state = LinkState.REFUSED if end is LinkEnd.REFUSED else LinkState.DISCONNECTED
        self.counters.denied += end is LinkEnd.REFUSED
        self._tell(state, _DETAILS[end].format(address=self._address))

    def _tell(self, state: LinkState, detail: str) -> None:
        # The same failure every few seconds is no news.
        if self._told != (state, detail):
            self._told = (state, detail)
            self._on_link(state, detail)

    def _drop_link(self, linger_ms: int = 0) -> None:
        link, self._link = self._link, None
        self._blocked = False
        if link is not None:
            self._poller.unregister(link.socket)
            self._poller.unregister(link.monitor.socket)
            link.close(linger_ms)

    def _read(self, link: Link) -> bool:
        """Hand over one batch; return whether there was any."""
        receive = link.socket.recv
        batch: list[bytes] = []
        try:
            for _ in range(READ_BATCH):
                frame = receive(zmq.NOBLOCK, copy=False)
                if frame.more:
                    while frame.more:
                        frame = receive(zmq.NOBLOCK, copy=False)
                    self.counters.dropped_multipart += 1
                elif len(frame) > FRAME_LIMIT_BYTES:
                    self._count("dropped_oversize", 1)
                else:
                    batch.append(frame.bytes)
        except zmq.Again:
            pass
        if not batch:
            return False
        self.counters.received += len(batch)
        self._failures = 0
        if self._tap is not None:
            for data in batch:
                self._tap.record(self._socket_name, "in", b"", data)
        self._on_frames(batch)
        return True

    def _count(self, what: str, number: int) -> None:
        self.counters.extra[what] = self.counters.extra.get(what, 0) + number

    # ---- sending ---------------------------------------------------------------------------------------

    def _send_all(self) -> None:
        if self._overflow:
            self.counters.dropped_slow += self._overflow
            self._overflow = 0
        link = self._link
        if link is None or not link.connected:
            self._discard()
            return
        blocked = False
        for _ in range(len(self._urgent) + len(self._normal)):
            queue = self._urgent or self._normal
            frame = queue[0]
            if len(frame) > FRAME_LIMIT_BYTES:
                self._count("dropped_oversize", 1)
            else:
                try:
                    link.socket.send(frame, zmq.NOBLOCK)
                except zmq.Again:
                    blocked = True
                    break
                self.counters.sent += 1
                if self._tap is not None:
                    self._tap.record(self._socket_name, "out", b"", frame)
            queue.popleft()
        if blocked != self._blocked:
            self._blocked = blocked
            self._poller.register(link.socket, zmq.POLLIN | (zmq.POLLOUT if blocked else 0))

    def _discard(self) -> None:
        for queue in (self._urgent, self._normal):
            for _ in range(len(queue)):
                queue.popleft()
                self.counters.dropped_gone += 1

    # ---- the end ---------------------------------------------------------------------------------------

    def _drain(self) -> None:
        end = self._clock.boot_s() + CLOSE_S
        self._send_all()
        while self._blocked and self._link is not None and (left := end - self._clock.boot_s()) > 0:
            self._link.socket.poll(int(left * 1000) + 1, zmq.POLLOUT)
            self._send_all()
        self._drop_link(max(0, int((end - self._clock.boot_s()) * 1000)))

    def _release(self) -> None:
        self._drop_link()
