"""The debug tap: mirrors what crosses the process's sockets as typed, redacted records on a PUB socket.

Sockets hand over each frame by `record`, which returns at once while nobody listens and otherwise appends to a
bounded queue: what a slow reader or a busy tap cannot take is dropped and counted, and nothing else waits. All
decoding happens on the tap's own thread and reads an allow-list of fields only; of a frame no more than its first 2
KiB is kept. A reader subscribes to `socket/kind`.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple, Protocol

import zmq

from cicd.clock import Clock
from cicd.codec import Codec, peek
from cicd.errors import UserError
from cicd.messages.tap import TapRecord
from cicd.transport.base import OnDeath
from cicd.transport.tap_latency import Latencies
from cicd.transport.wakeup import Wakeup

QUEUE_RECORDS = 4096
HEAD_BYTES = 2048
_PUBLISHED_RECORDS = 1000
_NAMES = 20_000


class Tap(Protocol):
    """What sockets know of a tap."""

    def record(self, socket: str, direction: str, peer: bytes, frame: bytes) -> None:
        """Mirror a frame; never blocks, never raises.

        Args:
            socket: name of the socket.
            direction: `in` or `out`.
            peer: routing id; empty: the socket has one peer.
            frame: what passed.
        """
        ...


class _Seen(NamedTuple):
    time_s: float
    socket: str
    direction: str
    peer: bytes
    head: bytes
    size_bytes: int


class TapPublisher:
    """Publishes from the moment it is made.

    Args:
        context: to make the socket in.
        address: `ipc://path`; the socket file gets mode 0600, its folder is made with mode 0700 if it is not there.
        clock: gives the records' time.
        on_death: told when the thread dies.

    Raises:
        UserError: it cannot publish there.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        *,
        clock: Clock,
        on_death: OnDeath | None = None,
        queue_limit: int = QUEUE_RECORDS,
    ) -> None:
        self.dropped = 0
        """Records that did not fit into the queue."""
        self.address = address
        self._clock = clock
        self._on_death = on_death
        self._limit = queue_limit
        self._closing = False
        self._topics: set[bytes] = set()
        self._active = False
        self._queue: deque[_Seen] = deque()
        self._names: dict[bytes, str] = {}
        self._latencies = Latencies()
        self._codec = Codec((TapRecord,))
        self._wake = Wakeup()
        # XPUB tells who subscribes: while nobody does, a tap that is on costs as little as one that is off.
        self._socket = context.socket(zmq.XPUB)
        try:
            self._bind(address)
        except (zmq.ZMQError, OSError) as error:
            self._socket.close()
            self._wake.close()
            raise UserError(f"cannot open the tap at {address}: {error.strerror}") from error
        except BaseException:
            self._socket.close()
            self._wake.close()
            raise
        self._thread = threading.Thread(target=self._main, name="cicd-tap")
        self._thread.start()

    def _bind(self, address: str) -> None:
        if not address.startswith("ipc://"):
            raise UserError(
                f"the tap's address must be ipc://path, not {address}: it has no keys, only the file's mode"
            )
        path = Path(address.removeprefix("ipc://"))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, _PUBLISHED_RECORDS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, HEAD_BYTES)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 2000)
        self._socket.bind(address)
        path.chmod(0o600)

    def record(self, socket: str, direction: str, peer: bytes, frame: bytes) -> None:
        """Mirror a frame; see `Tap`. From any thread."""
        if not self._active:
            return
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        self._queue.append(_Seen(self._clock.wall_s(), socket, direction, peer, frame[:HEAD_BYTES], len(frame)))
        self._wake.notify()

    def name(self, peer: bytes, name: str) -> None:
        """Say whose routing id this is; an empty name forgets it. From any thread."""
        if not name:
            self._names.pop(peer, None)
        elif len(self._names) < _NAMES or peer in self._names:
            self._names[peer] = name

    def close(self) -> None:
        """Stop. Again: nothing."""
        self._active = False
        self._closing = True
        self._wake.notify()
        self._thread.join()
        self._wake.close()

    def _main(self) -> None:
        death: BaseException | None = None
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001  whatever it is ends the process, by on_death
            death = error
        self._active = False
        self._socket.close()
        if death is not None and self._on_death is not None:
            self._on_death(death)

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake.fileno(), zmq.POLLIN)
        while True:
            self._wake.park()
            if self._closing:
                return
            ready = dict(poller.poll(0 if self._queue else None))
            self._wake.unpark(woken=self._wake.fileno() in ready)
            if self._socket in ready:
                self._subscribed(self._socket.recv_multipart())
            for _ in range(len(self._queue)):
                self._publish(self._queue.popleft())

    def _subscribed(self, parts: list[bytes]) -> None:
        head, topic = parts[0][:1], parts[0][1:]
        if head == b"\1":
            self._topics.add(topic)
        elif head == b"\0":
            self._topics.discard(topic)
        self._active = bool(self._topics)

    def _publish(self, seen: _Seen) -> None:
        kind, ids = peek(seen.head)
        record = TapRecord(
            time_s=seen.time_s,
            socket=seen.socket,
            direction=seen.direction,
            peer=self._names.get(seen.peer) or seen.peer.hex(),
            kind=kind,
            size_bytes=seen.size_bytes,
            ids=ids,
            latency_s=self._latencies.of(seen.socket, seen.peer, kind, ids, seen.time_s),
        )
        self._socket.send_multipart([f"{seen.socket}/{kind}".encode(), self._codec.encode(record)], zmq.NOBLOCK)
