"""What happens to a ZeroMQ socket's connections, read from its monitor."""

from __future__ import annotations

import itertools
import struct

import zmq

_HEAD = struct.Struct("=Hi")
_PATIENCE_MS = 5000
_NUMBERS = itertools.count()

Event = tuple[int, int]
"""(one of zmq.EVENT_*, its value: a descriptor, a status code or an errno)."""


class Monitor:
    """Reads a socket's events; belongs to the thread that owns the socket.

    Args:
        context: of the socket.
        socket: to watch.
        events: mask of zmq.EVENT_*.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], events: int) -> None:
        # Numbered by us: pyzmq's own name contains a descriptor, which may be taken again before the old name is free.
        endpoint = f"inproc://cicd.monitor.{next(_NUMBERS)}"
        self._watched = socket
        socket.monitor(endpoint, events | zmq.EVENT_MONITOR_STOPPED)
        self.socket = context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        # No bound: ZeroMQ's I/O thread blocks when this queue is full, and would hold a lock that `close` needs.
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(endpoint)

    def drain(self) -> list[Event]:
        """Return all events up to now, oldest first."""
        events: list[Event] = []
        try:
            while True:
                head, *_ = self.socket.recv_multipart(zmq.NOBLOCK)
                events.append(_HEAD.unpack(head))
        except zmq.Again:
            return events

    def close_both(self, linger_ms: int) -> None:
        """Close the watched socket, and return when it is gone: its address is free, its descriptors are closed.

        That takes `linger_ms` at the most, less if all that was queued is sent before. Again: nothing.
        """
        if self.socket.closed:
            return
        self._watched.close(linger_ms)
        # The I/O thread would block for ever on an event that nobody can read: so wait for the last one.
        patience_ms = linger_ms + _PATIENCE_MS
        while self.socket.poll(patience_ms, zmq.POLLIN):
            if any(event == zmq.EVENT_MONITOR_STOPPED for event, _ in self.drain()):
                break
        self.socket.close()
