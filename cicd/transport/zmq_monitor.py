"""What happens to a ZeroMQ socket's connections, read from its monitor."""

from __future__ import annotations

import itertools
import struct

import zmq

_HEAD = struct.Struct("=Hi")
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
        socket.monitor(endpoint, events)
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

    def wait(self, timeout_s: float) -> list[Event]:
        """Return the next events, or none after `timeout_s`."""
        return self.drain() if self.socket.poll(int(timeout_s * 1000), zmq.POLLIN) else []

    def close(self) -> None:
        """Stop watching. Again: nothing."""
        if not self.socket.closed:
            self._watched.disable_monitor()
            self.socket.close()
