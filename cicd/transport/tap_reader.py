"""Reads a tap: what `cicd tap` prints."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Self

import zmq

from cicd.codec import Codec
from cicd.errors import ProtocolError, UserError
from cicd.messages.tap import TapRecord


@dataclass(frozen=True, slots=True)
class TapFilter:
    """Which records are wanted; an empty field wants all.

    Attributes:
        sockets: `control`, `bulk`, `client`.
        kinds: of messages; of a client's `Request` also the kind of its call.
        peers: names or routing ids.
        direction: `in` or `out`.
        ids: values that the record must carry, by name.
    """

    sockets: Collection[str] = ()
    kinds: Collection[str] = ()
    peers: Collection[str] = ()
    direction: str = ""
    ids: tuple[tuple[str, str], ...] = ()

    def wants(self, record: TapRecord) -> bool:
        """Return whether the record passes."""
        kinds = {record.kind, record.ids.get("call", ""), record.ids.get("answer", "")}
        return (
            (not self.sockets or record.socket in self.sockets)
            and (not self.kinds or not kinds.isdisjoint(self.kinds))
            and (not self.peers or record.peer in self.peers)
            and (not self.direction or record.direction == self.direction)
            and all(record.ids.get(name) == value for name, value in self.ids)
        )


class TapReader:
    """Iterates over records, for ever; belongs to one thread. Also a context manager.

    Args:
        context: to make the socket in.
        address: of the tap.
        wanted: which records.

    Raises:
        UserError: the address is malformed.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, wanted: TapFilter | None = None) -> None:
        self._wanted = wanted or TapFilter()
        self._codec = Codec((TapRecord,))
        self._socket = context.socket(zmq.SUB)
        try:
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.setsockopt(zmq.RCVHWM, 10_000)
            self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
            for name in self._wanted.sockets or ("",):
                self._socket.setsockopt(zmq.SUBSCRIBE, f"{name}/".encode() if name else b"")
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close()
            raise UserError(f"cannot read the tap at {address}: {error.strerror}") from error

    def read(self, timeout_s: float | None = None) -> TapRecord | None:
        """Return the next record that is wanted, or None after `timeout_s` without any record; None waits for ever."""
        while self._socket.poll(None if timeout_s is None else int(timeout_s * 1000), zmq.POLLIN):
            parts = self._socket.recv_multipart()
            try:
                record = self._codec.decode(parts[-1])
            except ProtocolError:
                continue  # a newer master's tap; the next record may be one we know
            if isinstance(record, TapRecord) and self._wanted.wants(record):
                return record
        return None

    def __iter__(self) -> Iterator[TapRecord]:
        while (record := self.read()) is not None:
            yield record

    def close(self) -> None:
        """Stop reading. Again: nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
