"""The open connections of a TCP listener, and a bound on what each may make ZeroMQ hold.

ZeroMQ bounds a frame, and the number of messages in a queue; a message of endless many parts is neither: nothing of
it is handed to us until its last part, so a peer with a valid key could fill the memory (measured: 4000 parts, 260
MB). The kernel knows how much a connection has received and we know how much of that came out; where the difference
is more than the queues can explain, the connection is shut down. ZeroMQ then frees what it held and tells us through
the monitor.

Connections that have said nothing yet are bounded in number too: over a share of the process's descriptors the oldest
of them go. Who means well says Hello as soon as it is connected; who only sits there would leave no descriptor for
files, and an actor that cannot open its file ends the process.

The descriptors are ZeroMQ's. One that was closed a moment ago may be another socket by now, but hardly one with as
much unread data.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from collections.abc import Callable

from cicd.transport.zmq_options import CURVE_OVERHEAD_BYTES

UNREAD_LIMIT_BYTES = 64 * 1024 * 1024
"""More than the kernel's buffer (6 MiB by default), ZeroMQ's queue (64 frames of 256 KiB) and one batch together."""

SILENT_SHARE = 8
"""One in so many of the process's descriptors may be held by a listener's silent connections; in a rush, twice that."""
_SILENT_LEAST = 16
_SILENT_S = 0.25
"""How long a connection may be silent in any case, unless there is a rush."""

_CHECK_S = 1.0
_CHECK_S_PER_CONNECTION = 0.0005
_BYTES_RECEIVED_OFFSET = 128
"""Of tcpi_bytes_received in `struct tcp_info`. Source: include/uapi/linux/tcp.h"""
_TCP_INFO_BYTES = _BYTES_RECEIVED_OFFSET + 8
_SHORT_FRAME_BYTES = 255


def wire_bytes(frame_bytes: int) -> int:
    """Return how many bytes a frame takes on a TCP connection with CURVE.

    Source: https://rfc.zeromq.org/spec/23/
    """
    body = frame_bytes + CURVE_OVERHEAD_BYTES
    return body + (2 if body <= _SHORT_FRAME_BYTES else 9)


def received_bytes(fd: int) -> int | None:
    """Return how much a TCP connection has received; None: it is none, or closed."""
    return _with(fd, _read_counter)


class Connections:
    """Belongs to the listener's thread. Descriptors are those that the monitor names.

    Args:
        limit_bytes: most unread bytes of a connection.
    """

    def __init__(self, limit_bytes: int = UNREAD_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._delivered: dict[int, int] = {}
        self._silent: dict[int, float] = {}
        self.next_check_s: float | None = None
        """When `check` is due; None: nothing is connected."""
        self.cut = 0

    def opened(self, fd: int, now_s: float) -> None:
        """Note a new connection."""
        self._delivered[fd] = 0
        self._silent.pop(fd, None)  # to the end: the oldest comes first
        self._silent[fd] = now_s
        if self.next_check_s is None:
            self.next_check_s = now_s + _CHECK_S

    def closed(self, fd: int) -> None:
        """Note the end of a connection."""
        self._delivered.pop(fd, None)
        self._silent.pop(fd, None)
        if not self._delivered:
            self.next_check_s = None

    def is_open(self, fd: int) -> bool:
        """Return whether the descriptor is a connection now."""
        return fd in self._delivered

    def delivered(self, fd: int, size_bytes: int) -> None:
        """Note bytes that came out of a connection."""
        if fd in self._delivered:
            self._delivered[fd] += size_bytes
            self._silent.pop(fd, None)

    def check(self, now_s: float) -> None:
        """Shut down silent connections that are too many; if it is time, those that have more unread than they may."""
        if len(self._silent) > _SILENT_LEAST:
            self._bound_silent(now_s)
        if self.next_check_s is None or now_s < self.next_check_s:
            return
        self.next_check_s = now_s + _CHECK_S + len(self._delivered) * _CHECK_S_PER_CONNECTION
        for fd, delivered in self._delivered.items():
            received = received_bytes(fd)
            if received is not None and received - delivered > self._limit_bytes:
                self.cut_off(fd)

    def _bound_silent(self, now_s: float) -> None:
        limit = max(_SILENT_LEAST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SILENT_SHARE)
        while len(self._silent) > limit:
            fd, since_s = next(iter(self._silent.items()))
            if now_s - since_s < _SILENT_S and len(self._silent) <= 2 * limit:
                return
            del self._silent[fd]
            self.cut_off(fd)

    def cut_off(self, fd: int) -> None:
        """Shut a connection down."""
        _with(fd, lambda connection: connection.shutdown(socket.SHUT_RDWR))
        self.cut += 1


def _read_counter(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_OFFSET)
    return int(received)


def _with(fd: int, use: Callable[[socket.socket], int | None]) -> int | None:
    with contextlib.suppress(OSError, struct.error):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
        try:
            return use(connection)
        finally:
            connection.detach()  # the descriptor stays ZeroMQ's
    return None
