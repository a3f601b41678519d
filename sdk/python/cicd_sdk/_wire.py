"""A codec for the protobuf wire format, as much of it as our messages need.

Theory of operation. A message class lists its fields in a table (`Message.FIELDS`), which `proto/generate.py` writes
from the .proto. Encoding walks the table and leaves out what equals the default; decoding reads tag after tag, looks
the number up and skips what it does not know, so that newer peers can say more. A known number with an unexpected wire
type counts as unknown. A singular message that comes twice is merged, any other singular value is replaced: what the
official runtime does, against which the tests compare. Whatever is wrong with the input raises `WireError`, only that.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, ClassVar, Self

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)

_MAX_SHIFT = 63  # a varint has at most ten bytes
_MAX_GROUP_DEPTH = 100
_U64 = (1 << 64) - 1
_DOUBLE = struct.Struct("<d")
_ZERO = bytes(8)

_RANGES = {
    "bool": (0, 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "enum": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, _U64),
}


class WireError(ValueError):
    """Bytes that are no message of the expected type, or a value that has no encoding."""


class Field:
    """One field of a message.

    Args:
        number: its number on the wire.
        name: the attribute that holds it.
        kind: a protobuf scalar type, "enum" or "message".
        label: "one", "optional" (None when absent), "many" or "map" (its keys are strings).
        type: the class, for enums and messages.
    """

    __slots__ = ("kind", "label", "name", "number", "type")

    def __init__(self, number: int, name: str, kind: str, label: str = "one", type: type[Any] | None = None) -> None:  # noqa: A002 - the descriptor's word
        self.number = number
        self.name = name
        self.kind = kind
        self.label = label
        self.type = type


class Message:
    """Base of every message: equality, text form, `encode` and `decode`, all driven by `FIELDS`."""

    __slots__: tuple[str, ...] = ()
    FIELDS: ClassVar[tuple[Field, ...]] = ()

    def encode(self) -> bytes:
        """Return the message as bytes.

        Raises:
            WireError: a number is out of its type's range.
        """
        out = bytearray()
        _encode(self, out)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message from the whole of `data`.

        Raises:
            WireError: `data` is malformed.
        """
        message = cls()
        _merge(message, memoryview(data))
        return message

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable, so not to be a key

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__ if getattr(self, name))
        return f"{type(self).__name__}({shown})"


# --- encoding


def _encode(message: Message, out: bytearray) -> None:
    for field in message.FIELDS:
        value = getattr(message, field.name)
        if field.label == "oneof":
            if type(value) is field.type:
                _put_field(out, field, value)
        elif value is None:
            continue
        elif field.label == "map":
            for key, item in value.items():
                entry = bytearray()
                _put_length(entry, 1, _utf8(key))
                _put_entry_value(entry, field, item)
                _put_length(out, field.number, entry)
        elif field.label == "many":
            _put_many(out, field, value)
        elif field.label == "optional" or field.kind == "message" or not _is_default(field.kind, value):
            _put_field(out, field, value)


def _put_many(out: bytearray, field: Field, values: Any) -> None:
    if field.kind in ("message", "string", "bytes"):
        for value in values:
            _put_field(out, field, value)
    elif values:
        packed = bytearray()
        for value in values:
            _put_scalar(packed, field, value)
        _put_length(out, field.number, packed)


def _put_entry_value(entry: bytearray, field: Field, item: Any) -> None:
    _put_field(entry, Field(2, field.name, field.kind, type=field.type), item)


def _put_field(out: bytearray, field: Field, value: Any) -> None:
    kind = field.kind
    if kind == "message":
        body = bytearray()
        _encode(value, body)
        _put_length(out, field.number, body)
    elif kind == "string":
        _put_length(out, field.number, _utf8(value))
    elif kind == "bytes":
        _put_length(out, field.number, value)
    else:
        _put_varint(out, field.number << 3 | (FIXED64 if kind == "double" else VARINT))
        _put_scalar(out, field, value)


def _put_scalar(out: bytearray, field: Field, value: Any) -> None:
    if field.kind == "double":
        out += _DOUBLE.pack(value)
        return
    low, high = _RANGES[field.kind]
    if not low <= value <= high:
        raise WireError(f"{field.name}: {value} is no {field.kind}")
    _put_varint(out, int(value) & _U64)


def _put_length(out: bytearray, number: int, data: bytes | bytearray) -> None:
    _put_varint(out, number << 3 | LENGTH)
    _put_varint(out, len(data))
    out += data


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _utf8(text: str) -> bytes:
    # Names of files may hold surrogates. An escape in the text is better than a result that cannot be sent.
    return text.encode("utf-8", "backslashreplace")


def _is_default(kind: str, value: Any) -> bool:
    # By its bits, because -0.0 equals 0.0 and is not the default.
    return _DOUBLE.pack(value) == _ZERO if kind == "double" else not value


# --- decoding


def _merge(message: Message, data: memoryview) -> None:
    known = {field.number: field for field in message.FIELDS}
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"there is no field number {number}")
        field = known.get(number)
        if field is None:
            position = _skip(data, position, number, wire, 0)
        elif wire == LENGTH:
            body, position = _length_delimited(data, position)
            _take_length_delimited(message, field, body)
        elif wire == (FIXED64 if field.kind == "double" else VARINT) and field.kind not in (
            "message",
            "string",
            "bytes",
        ):
            value, position = _scalar(field, data, position)
            _store(message, field, value)
        else:
            position = _skip(data, position, number, wire, 0)


def _take_length_delimited(message: Message, field: Field, body: memoryview) -> None:
    if field.label == "map":
        key, value = _map_entry(field, body)
        getattr(message, field.name)[key] = value
    elif field.kind == "message":
        _take_message(message, field, body)
    elif field.kind == "string":
        _store(message, field, _text(body))
    elif field.kind == "bytes":
        _store(message, field, bytes(body))
    elif field.label == "many":  # packed
        position = 0
        while position < len(body):
            value, position = _scalar(field, body, position)
            _store(message, field, value)
    # else: a singular number with this wire type is unknown to us, and has been skipped


def _take_message(message: Message, field: Field, body: memoryview) -> None:
    assert field.type is not None  # noqa: S101 - the generator gives every message field its class
    if field.label != "many":
        present = getattr(message, field.name)
        if type(present) is field.type:
            _merge(present, body)
            return
    value = field.type()
    _merge(value, body)
    _store(message, field, value)


def _map_entry(field: Field, body: memoryview) -> tuple[str, Any]:
    key = ""
    value: Any = field.type() if field.type is not None and field.kind == "message" else ""
    position = 0
    while position < len(body):
        tag, position = _varint(body, position)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise WireError("there is no field number 0")
        if number > 2 or wire != LENGTH:  # noqa: PLR2004 - a key and a value
            position = _skip(body, position, number, wire, 0)
            continue
        part, position = _length_delimited(body, position)
        if number == 1:
            key = _text(part)
        elif field.kind == "message":
            _merge(value, part)
        else:
            value = _text(part)
    return key, value


def _store(message: Message, field: Field, value: Any) -> None:
    if field.label == "many":
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _scalar(field: Field, data: memoryview, position: int) -> tuple[Any, int]:
    if field.kind == "double":
        if position + 8 > len(data):
            raise WireError("the message ends inside a double")
        return _DOUBLE.unpack_from(data, position)[0], position + 8
    value, position = _varint(data, position)
    return _number(field, value), position


def _number(field: Field, value: int) -> int | bool:
    kind = field.kind
    if kind == "bool":
        return value != 0
    if kind in ("uint32", "int32", "enum"):
        value &= (1 << 32) - 1
    if kind in ("int32", "enum") and value >= 1 << 31:
        value -= 1 << 32
    elif kind == "int64" and value >= 1 << 63:
        value -= 1 << 64
    if kind == "enum" and field.type is not None and issubclass(field.type, IntEnum):
        # A newer peer may know more values: they stay plain numbers.
        return field.type._value2member_map_.get(value, value)  # type: ignore[return-value]
    return value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    end = len(data)
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - no continuation bit
            return value & _U64, position
        shift += 7
        if shift > _MAX_SHIFT:
            raise WireError("a varint has more than ten bytes")
    raise WireError("the message ends inside a varint")


def _length_delimited(data: memoryview, position: int) -> tuple[memoryview, int]:
    length, position = _varint(data, position)
    if length > len(data) - position:
        raise WireError("the message ends inside a field")
    return data[position : position + length], position + length


def _text(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a text is not UTF-8") from error


def _skip(data: memoryview, position: int, number: int, wire: int, depth: int) -> int:
    if wire == VARINT:
        return _varint(data, position)[1]
    if wire == LENGTH:
        return _length_delimited(data, position)[1]
    if wire in (FIXED64, FIXED32):
        position += 8 if wire == FIXED64 else 4
        if position > len(data):
            raise WireError("the message ends inside a field")
        return position
    if wire != GROUP_START or depth > _MAX_GROUP_DEPTH:
        raise WireError(f"field {number} has wire type {wire}")
    while True:
        tag, position = _varint(data, position)
        if tag & 7 == GROUP_END:
            if tag >> 3 != number:
                raise WireError("a group ends that did not begin")
            return position
        if not tag >> 3:
            raise WireError("there is no field number 0")
        position = _skip(data, position, tag >> 3, tag & 7, depth + 1)
