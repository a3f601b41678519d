"""Frames on a local stream: whole, in order, bounded."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.errors import ProtocolError
from cicd.plugins.framing import (
    LIMIT_BYTES,
    FrameReader,
    encode_frame,
    read_frame,
    recv_frame,
    send_frame,
    write_frame,
)


@given(frames=st.lists(st.binary(max_size=40), max_size=8), step=st.integers(min_value=1, max_value=17))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(frames: list[bytes], step: int) -> None:
    stream = b"".join(encode_frame(frame) for frame in frames)
    reader = FrameReader()
    out: list[bytes] = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        out += reader
    assert out == frames
    assert reader.pending_bytes == 0


def test_a_length_over_the_limit_is_refused_both_ways() -> None:
    with pytest.raises(ProtocolError) as caught:
        encode_frame(bytes(LIMIT_BYTES + 1))
    assert caught.value.code == "too_large"
    reader = FrameReader()
    reader.feed(b"\xff\xff\xff\xff")
    with pytest.raises(ProtocolError) as caught:
        list(reader)
    assert caught.value.code == "too_large"
    assert len(encode_frame(bytes(LIMIT_BYTES))) == LIMIT_BYTES + 4


def test_blocking_sockets_carry_frames_and_tell_an_end_from_a_cut() -> None:
    left, right = socket.socketpair()
    with left, right:
        send_frame(left, b"one")
        send_frame(left, b"")
        left.sendall(encode_frame(b"cut off")[:-1])
        left.shutdown(socket.SHUT_WR)
        assert recv_frame(right) == b"one"
        assert recv_frame(right) == b""
        with pytest.raises(ProtocolError) as caught:
            recv_frame(right)
        assert caught.value.code == "truncated"
        assert recv_frame(right) is None


def test_asyncio_streams_carry_frames_and_tell_an_end_from_a_cut() -> None:
    async def talk(cut: bytes) -> list[bytes | None]:
        left, right = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=left)
        reader, other = await asyncio.open_connection(sock=right)
        try:
            await write_frame(writer, b"one")
            await write_frame(writer, b"")
            writer.write(cut)
            writer.write_eof()
            return [await read_frame(reader), await read_frame(reader), await read_frame(reader)]
        finally:
            for each in (writer, other):
                each.close()
                await each.wait_closed()

    assert asyncio.run(talk(b"")) == [b"one", b"", None]
    for cut, code in (
        (b"\x00\x00", "truncated"),
        (b"\x00\x00\x00\x05abc", "truncated"),
        (b"\xff\xff\xff\xff", "too_large"),
    ):
        with pytest.raises(ProtocolError) as caught:
            asyncio.run(talk(cut))
        assert caught.value.code == code
