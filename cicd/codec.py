"""Typed messages to bytes and back: msgpack, for the wire and for the store. The only file that imports msgpack.

Decoding accepts or raises `ProtocolError` (a record of the store: `CorruptRecordError`); nothing else comes out of it,
whatever the bytes are. Sizes are bounded by the frame: what protects from a small frame that becomes a large object is
that the frame itself is limited and every length inside is checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import msgpack
import msgspec

from cicd.errors import CicdError, ProtocolError
from cicd.messages.base import Message, Wire

FRAME_LIMIT_BYTES = 256 * 1024
"""Longest frame on any socket; also ZeroMQ's MAXMSGSIZE."""

M = TypeVar("M", bound=Message)

_DECODE_ERRORS = (
    ValueError,
    RecursionError,
    msgpack.exceptions.UnpackException,
    msgspec.ValidationError,
    TypeError,
    OverflowError,
)

_ENCODE_ERRORS = (ValueError, OverflowError)

_SHOWN = frozenset(
    {"run", "job", "attempt", "session", "seq", "digest", "minion", "offset", "size_bytes", "length", "id", "floor"}
)
"""What `peek` shows: ids and numbers, nothing that a user wrote."""
_NESTED = frozenset({"call", "answer"})
_SHOWN_LENGTH = 128

_NOT_FINITE_MARKS = (b"\xcb\x7f", b"\xcb\xff", b"\xca\x7f", b"\xca\xff")
"""How every NaN and infinity begins in msgpack. Rarely in a frame by chance: then the values are looked through."""


class UnknownKindError(ProtocolError):
    """A well-formed message of a kind that this conversation does not have."""

    code = "unknown_kind"

    def __init__(self, kind: str) -> None:
        super().__init__(f"unknown kind of message: {kind[:64]!r}")
        self.kind = kind[:64]


class CorruptRecordError(CicdError):
    """A record of the store cannot be read: written by a newer version, or damaged."""

    code = "corrupt"


class Codec:
    """Encodes any `Wire`, decodes those of one conversation.

    Args:
        kinds: the messages that may arrive.
        limit_bytes: longest frame, in and out.
    """

    def __init__(self, kinds: Iterable[type[Wire]], limit_bytes: int = FRAME_LIMIT_BYTES) -> None:
        self._types: dict[str, type[Wire]] = {kind.__name__: kind for kind in kinds}
        self._limit = limit_bytes

    def encode(self, message: Wire) -> bytes:
        """Return a message as a frame.

        Raises:
            ProtocolError: code `too_large`: the frame would exceed the limit; `unencodable`: a text in it is no
                Unicode (a lone surrogate, as from an odd file name), or a number does not fit into 64 bits.
        """
        try:
            data = _pack(message)
        except _ENCODE_ERRORS as error:
            raise ProtocolError(
                f"{type(message).__name__} cannot be sent: {str(error)[:200]}", code="unencodable"
            ) from None
        if len(data) > self._limit:
            raise ProtocolError(
                f"{type(message).__name__} of {len(data)} bytes is over the limit of {self._limit}", code="too_large"
            )
        return data

    def decode(self, frame: bytes | memoryview) -> Wire:
        """Return the message in a frame.

        Raises:
            UnknownKindError: well-formed, but of no kind of this conversation.
            ProtocolError: anything else.
        """
        if len(frame) > self._limit:
            raise ProtocolError(f"frame of {len(frame)} bytes is over the limit of {self._limit}", code="too_large")
        try:
            fields = msgpack.unpackb(frame, raw=False, strict_map_key=True)
        except _DECODE_ERRORS as error:
            raise ProtocolError(f"not msgpack: {type(error).__name__}") from None
        if any(mark in bytes(frame) for mark in _NOT_FINITE_MARKS) and _has_not_finite(fields):
            raise ProtocolError("a number in it is not finite")
        kind = fields.get("_") if isinstance(fields, dict) else None
        if not isinstance(kind, str):
            raise ProtocolError("not a message: no kind")
        wanted = self._types.get(kind)
        if wanted is None:
            raise UnknownKindError(kind)
        try:
            return msgspec.convert(fields, wanted)
        except _DECODE_ERRORS as error:
            raise ProtocolError(f"{kind}: {str(error)[:200]}") from None


def _has_not_finite(value: object) -> bool:
    """Tell whether there is a NaN or an infinity anywhere in a decoded value."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False


def _pack(message: Message) -> bytes:
    packed: bytes = msgpack.packb(msgspec.to_builtins(message, builtin_types=(bytes,)))
    return packed


def dump(record: Message) -> bytes:
    """Return a record as bytes for the store."""
    return _pack(record)


def load(data: bytes, kind: type[M]) -> M:
    """Return the record in bytes of the store.

    Raises:
        CorruptRecordError: they hold no such record.
    """
    try:
        return msgspec.convert(msgpack.unpackb(data, raw=False, strict_map_key=True), kind)
    except _DECODE_ERRORS as error:
        raise CorruptRecordError(f"{kind.__name__}: {type(error).__name__}: {str(error)[:200]}") from None


def peek(frame: bytes) -> tuple[str, dict[str, str]]:
    """Return a message's kind and its ids as text, without decoding the rest. For the tap.

    Args:
        frame: a message, perhaps cut off at its end.

    Returns:
        The kind, `?` for what is no message, and those of an allow-list of fields that were found; of a call or an
        answer inside only its kind. Never raises.
    """
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, max_buffer_size=max(1, len(frame)))
    kind = "?"
    ids: dict[str, str] = {}
    try:
        unpacker.feed(frame)
        for _ in range(unpacker.read_map_header()):
            name = unpacker.unpack()
            if name == "_":
                kind = _shown(unpacker.unpack()) or "?"
            elif name in _SHOWN:
                ids[name] = _shown(unpacker.unpack())
            elif name in _NESTED:
                ids[name] = _nested_kind(unpacker)
            else:
                unpacker.skip()
    except _DECODE_ERRORS:
        pass  # cut off, or not ours: what was read so far stands
    return kind, {name: text for name, text in ids.items() if text}


def _nested_kind(unpacker: msgpack.Unpacker) -> str:
    kind = ""
    for _ in range(unpacker.read_map_header()):
        if unpacker.unpack() == "_":
            kind = _shown(unpacker.unpack())
        else:
            unpacker.skip()
    return kind


def _shown(value: object) -> str:
    text = str(value)[:_SHOWN_LENGTH] if isinstance(value, str | int) else ""
    return text if text.isprintable() else ""


def to_plain(value: Message | Iterable[Message]) -> Any:
    """Return a value as dicts, lists and scalars, for JSON output; defaults are included, bytes as base64."""
    if isinstance(value, Message):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return [to_plain(item) for item in value]


def _plain(value: object) -> Any:
    if isinstance(value, Message):
        return to_plain(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return msgspec.to_builtins(value)
