"""What a plan comes to, as a checksum: of the values in it, however they came about.

Encoding the records as they are would not do: msgspec leaves a field out that *is* its default, and whether a 0.0 is
that very object depends on where it came from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import inspect
from msgspec.structs import astuple

from cicd.core.plan import Plan, Send
from cicd.errors import CicdError
from cicd.messages.base import Wire
from cicd.messages.minion import BeatAck

_FIELDS = tuple(Plan.__dataclass_fields__)
_ENCODER = msgspec.msgpack.Encoder()

Flatten = Callable[[Any], Any]


def digest_of(plan: Plan) -> int:
    """Return a checksum of everything that a plan stores and sends, in order; it fits into 32 bits."""
    parts: list[Any] = []
    for name in _FIELDS:
        value = getattr(plan, name)
        if not value:
            continue
        if name == "effects":
            # An answer to a heartbeat repeats what it said; that there was one is what was decided.
            told = [effect for effect in value if not (type(effect) is Send and _is_plain_ack(effect.message))]
            if not told and not parts:
                return len(value)  # heartbeats, most of the time
            parts += (len(value), _items(told))
        else:
            parts += (name, list(value), _items(value.values()) if isinstance(value, dict) else _items(value))
    return zlib.crc32(_ENCODER.encode(parts)) if parts else 0


def _is_plain_ack(message: Wire) -> bool:
    return type(message) is BeatAck and not message.leave


def _items(values: Iterable[Any]) -> list[Any]:
    return [_flattener(type(value))(value) for value in values]


_flatteners: dict[type, Flatten] = {}


def _flattener(kind: type) -> Flatten:
    """Return how to get at a value without structs and dataclasses: their fields in order, all of them.

    Found out once for each class: this stands in the way of every decision.
    """
    found = _flatteners.get(kind)
    if found is None:
        found = _flatteners[kind] = _of_struct(kind) if issubclass(kind, msgspec.Struct) else _of_other(kind)
    return found


def _of_struct(kind: type[msgspec.Struct]) -> Flatten:
    places = _places_of_structs(kind)
    return (lambda value: _with_structs(value, places)) if places else astuple


def _of_other(kind: type) -> Flatten:
    if issubclass(kind, list | tuple):
        return _items
    if issubclass(kind, dict):
        return lambda value: (list(value), _items(value.values()))
    if issubclass(kind, CicdError):
        return lambda error: (error.code, error.message)
    if kind is Send:
        return _send
    if hasattr(kind, "__dataclass_fields__"):  # another effect
        fields = tuple(kind.__dataclass_fields__)
        return lambda effect: _effect(effect, fields)
    return lambda value: value


def _with_structs(value: msgspec.Struct, places: tuple[int, ...]) -> list[Any]:
    fields = list(astuple(value))
    for place in places:
        field = fields[place]
        if field:
            fields[place] = _flattener(type(field))(field)
    return fields


def _send(effect: Send) -> tuple[Any, ...]:
    message = effect.message
    kind = type(message)
    return effect.minion, kind.__name__, _flattener(kind)(message)


def _effect(effect: Any, fields: tuple[str, ...]) -> list[Any]:
    values = [getattr(effect, name) for name in fields]
    return [type(effect).__name__, *(type(value).__name__ for value in values), *_items(values)]


def _places_of_structs(kind: type[msgspec.Struct]) -> tuple[int, ...]:
    """Return which fields of a struct may hold structs: few do, and the others are encoded as they are."""
    info = inspect.type_info(kind)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    return tuple(index for index, field in enumerate(fields) if _may_hold_structs(field.type))


def _may_hold_structs(info: inspect.Type) -> bool:
    match info:
        case inspect.StructType() | inspect.AnyType() | inspect.CustomType():
            return True
        case inspect.UnionType():
            return any(map(_may_hold_structs, info.types))
        case inspect.VarTupleType() | inspect.ListType():
            return _may_hold_structs(info.item_type)
        case inspect.TupleType():
            return any(map(_may_hold_structs, info.item_types))
        case inspect.DictType():
            return _may_hold_structs(info.value_type)
    return False
