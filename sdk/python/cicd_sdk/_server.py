"""The thread that owns all sockets of a served pipeline.

Theory of operation. One loop over a selector: accept, read, run what other threads asked for, run timers, write.
Calls are handed to `on_call`, in this thread. Other threads only use `call_soon`. The job itself runs in the main
thread, where signals arrive and where some libraries insist to be, so all signals are blocked here.

The loop ends after `stop`, when what was answered has been written (or a second has passed) and the clients have closed
their connections (or a moment has passed). It sends no GOAWAY: some clients let that, or the end of the connection, end
calls whose answers arrived just before.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress

from cicd_sdk._grpc import MAX_OUT, Call, Code, Connection

_FLUSH_S = 1.0
_LINGER_S = 0.05
_READ = 65536
_PARENT_CHECK_S = 1.0


class _Peer:
    __slots__ = ("connection", "mask", "out", "socket")

    def __init__(self, peer: socket.socket, connection: Connection) -> None:
        self.socket = peer
        self.connection = connection
        self.out = bytearray()
        self.mask = selectors.EVENT_READ


class Server:
    """Listens on a unix socket and speaks gRPC there.

    Args:
        path: the socket's.
        on_call: gets each call, in the server's thread.
        methods: the paths that exist.
        on_empty: called when the last connection has ended.
        on_end: called when the loop has ended.
    """

    def __init__(
        self,
        path: str,
        *,
        on_call: Callable[[Call], None],
        methods: Collection[str],
        on_empty: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._path = path
        self._on_call = on_call
        self._methods = methods
        self._on_empty = on_empty
        self._on_end = on_end
        self._peers: dict[int, _Peer] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_made = 0
        self._stop_at: float | None = None
        self._flushed = False
        self._parent = os.getppid()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listen()
        # A process that the job forks must not hold the connections open.
        os.register_at_fork(after_in_child=self._abandon)

    def _listen(self) -> None:
        before = os.umask(0o177)
        try:
            self._listener.bind(self._path)
        finally:
            os.umask(before)
        self._listener.listen(64)
        for own in (self._listener, self._wake_in, self._wake_out):
            own.setblocking(False)  # noqa: FBT003 - its signature
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._woken)

    # --- for any thread

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="cicd-sdk", daemon=True).start()

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run a function in the server's thread."""
        self._soon.append(function)
        with suppress(BlockingIOError, OSError):  # full: it wakes anyway; closed: nothing runs any more
            self._wake_out.send(b"\0")

    # --- for the server's thread

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Run a function in the server's thread after a while."""
        self._timers_made += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._timers_made, function))

    def stop(self) -> None:
        """End the loop as soon as everything has been written."""
        if self._stop_at is None:
            self._stop_at = time.monotonic() + _FLUSH_S

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._peers)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while not self._over():
                for key, mask in self._selector.select(self._timeout_s()):
                    if isinstance(key.data, _Peer):
                        if mask & selectors.EVENT_READ:
                            self._read(key.data)
                    else:
                        key.data()
                while self._soon:
                    self._soon.popleft()()
                self._run_timers()
                for peer in tuple(self._peers.values()):
                    self._write(peer)
        finally:
            self._close()
            self._on_end()

    def _over(self) -> bool:
        if self._stop_at is None:
            if not self._peers and os.getppid() != self._parent:
                self.stop()  # the host is dead, and nobody else will end this process
            return False
        now = time.monotonic()
        if not self._flushed and not any(peer.out or peer.connection.calls for peer in self._peers.values()):
            self._flushed = True
            self._stop_at = min(self._stop_at, now + _LINGER_S)
        return not self._peers or now >= self._stop_at

    def _timeout_s(self) -> float | None:
        times = [timer[0] for timer in self._timers[:1]]
        times += [call.deadline for call in self._calls() if call.deadline is not None and not call.done]
        now = time.monotonic()
        if self._stop_at is not None:
            times.append(self._stop_at)
        elif not self._peers:
            times.append(now + _PARENT_CHECK_S)
        return max(0.0, min(times) - now) if times else None

    def _calls(self) -> list[Call]:
        return [call for peer in self._peers.values() for call in peer.connection.calls]

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        for call in self._calls():
            if call.deadline is not None and call.deadline <= now and not call.done:
                on_gone = call.on_gone
                call.finish(Code.DEADLINE_EXCEEDED, "the deadline of the call has passed")
                if on_gone is not None:
                    on_gone()

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_in.recv(_READ):
                pass

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # it has gone again, or there are no descriptors left
            return
        accepted.setblocking(False)  # noqa: FBT003 - its signature
        peer = _Peer(accepted, Connection(self._on_call, self._methods))
        self._peers[accepted.fileno()] = peer
        self._selector.register(accepted, peer.mask, peer)

    def _read(self, peer: _Peer) -> None:
        try:
            data = peer.socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            peer.connection.receive(data)
        if not data or not peer.connection.open:
            with suppress(OSError):  # why it ends, if the peer still listens
                peer.socket.send(bytes(peer.out) + peer.connection.take())
            self._drop(peer)

    def _write(self, peer: _Peer) -> None:
        peer.out += peer.connection.take(MAX_OUT - len(peer.out))
        if peer.out:
            try:
                del peer.out[: peer.socket.send(peer.out)]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(peer)
                return
            more = selectors.EVENT_WRITE
        else:
            more = 0
        # A peer that does not read what it asked for is not read either.
        mask = more | (selectors.EVENT_READ if len(peer.out) < 4 * MAX_OUT else 0)
        if more and not peer.out:
            self.call_soon(lambda: None)  # all of it went: look at once whether there is more
            mask = selectors.EVENT_READ
        if mask != peer.mask:
            peer.mask = mask
            self._selector.modify(peer.socket, mask, peer)

    def _drop(self, peer: _Peer) -> None:
        if self._peers.pop(peer.socket.fileno(), None) is None:
            return
        self._selector.unregister(peer.socket)
        peer.socket.close()
        peer.connection.lost()
        if not self._peers and self._stop_at is None:
            self._on_empty()

    def _close(self) -> None:
        for peer in tuple(self._peers.values()):
            self._drop(peer)
        with suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - no need to import pathlib for it
        self._abandon()

    def _abandon(self) -> None:
        self._selector.close()
        for peer in tuple(self._peers.values()):
            peer.socket.close()
        for own in (self._listener, self._wake_in, self._wake_out):
            own.close()
