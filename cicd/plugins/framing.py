"""Frames on a local stream (a socketpair, a pipe): a 4-byte big-endian length, then that many bytes.

Spoken between processes of one machine that trust each other but not their bugs: a length over the limit
means that the stream is not what it should be, and nothing after it can be read. What a frame holds is the
codec's business.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

from cicd.errors import ProtocolError

LIMIT_BYTES = 1024 * 1024
"""Longest frame, without its length."""

_HEADER = struct.Struct(">I")


def encode_frame(data: bytes) -> bytes:
    """Return `data` with its length in front.

    Raises:
        ProtocolError: code `too_large`: longer than `LIMIT_BYTES`.
    """
    if len(data) > LIMIT_BYTES:
        raise _too_large(len(data))
    return _HEADER.pack(len(data)) + data


class FrameReader:
    """Takes bytes as they come and hands out whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more bytes; iterate over this object for the frames that are whole now."""
        self._buffer += data

    def __iter__(self) -> Iterator[bytes]:
        """Yield the frames that are whole, in order; each is handed out once.

        Raises:
            ProtocolError: code `too_large`: a length over the limit. The stream is of no further use.
        """
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > LIMIT_BYTES:
                raise _too_large(length)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield frame

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that has not ended; not 0 at the end of the stream means it was cut."""
        return len(self._buffer)


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next frame of an asyncio stream; None: the stream ended between two frames.

    Raises:
        ProtocolError: code `too_large`, or `truncated`: the stream ended inside a frame.
    """
    try:
        (length,) = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if length > LIMIT_BYTES:
            raise _too_large(length)
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if not error.partial and error.expected == _HEADER.size:
            return None
        raise ProtocolError("the stream ended inside a frame", code="truncated") from None


async def write_frame(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write one frame and wait until the stream takes more."""
    writer.write(encode_frame(data))
    await writer.drain()


def recv_frame(sock: socket.socket) -> bytes | None:
    """Return the next frame of a blocking socket; None: it ended between two frames.

    Raises:
        ProtocolError: code `too_large`, or `truncated`: the stream ended inside a frame.
    """
    header = _recv_exactly(sock, _HEADER.size, may_end=True)
    if header is None:
        return None
    (length,) = _HEADER.unpack(header)
    if length > LIMIT_BYTES:
        raise _too_large(length)
    return _recv_exactly(sock, length, may_end=False)


def send_frame(sock: socket.socket, data: bytes) -> None:
    """Write one frame to a blocking socket."""
    sock.sendall(encode_frame(data))


def _recv_exactly(sock: socket.socket, length: int, *, may_end: bool) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            if may_end and not data:
                return None
            raise ProtocolError("the stream ended inside a frame", code="truncated")
        data += piece
    return bytes(data)


def _too_large(length: int) -> ProtocolError:
    return ProtocolError(f"frame of {length} bytes is over the limit of {LIMIT_BYTES}", code="too_large")
