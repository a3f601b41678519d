"""What a plan comes to, as a checksum: of the values in it, however they came about.

Encoding the records as they are would not do: msgspec leaves a field out that *is* its default, and whether a 0.0 is
that very object depends on where it came from.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect
from msgspec.structs import astuple

from cicd.core.plan import Plan
from cicd.errors import CicdError

_ENCODER = msgspec.msgpack.Encoder()


def digest_of(plan: Plan) -> int:
    """Return a checksum of everything that a plan stores and sends, in order; it fits into 32 bits."""
    parts: list[Any] = []
    for name in plan.__dataclass_fields__:
        value = getattr(plan, name)
        if value:
            parts += (name, _flat(value))
    return zlib.crc32(_ENCODER.encode(parts)) if parts else 0


def _flat(value: Any) -> Any:
    """Return a value without structs and dataclasses: their fields in order, all of them."""
    if isinstance(value, msgspec.Struct):
        fields = list(astuple(value))
        for index in _places_of_structs(type(value)):
            fields[index] = _flat(fields[index])
        return fields
    if isinstance(value, dict):
        return [(key, _flat(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    if isinstance(value, CicdError):
        return (value.code, value.message)
    names = getattr(value, "__dataclass_fields__", None)
    if names is not None:  # an effect
        fields = [getattr(value, name) for name in names]
        return [type(value).__name__, *(type(field).__name__ for field in fields), *map(_flat, fields)]
    return value


@cache
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
