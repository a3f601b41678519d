"""A value of any type that messages are made of, with something in every field: for tests over all classes."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect


def sample(kind: type) -> Any:
    """Return an instance of a struct, with something in every field."""
    return msgspec.convert(_value(inspect.type_info(kind), 0), kind)


def _value(info: inspect.Type, depth: int) -> Any:  # noqa: C901, PLR0911  one line for each kind of type
    match info:
        case inspect.StructType():
            value = {field.encode_name: _value(field.type, depth + 1) for field in info.fields}
            return value | ({info.tag_field: info.tag} if info.tag_field else {})
        case inspect.UnionType():
            return _value(next(kind for kind in info.types if not isinstance(kind, inspect.NoneType)), depth)
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            return [_value(info.item_type, depth + 1)]
        case inspect.TupleType():
            return [_value(item, depth + 1) for item in info.item_types]
        case inspect.DictType():
            return {_value(info.key_type, depth + 1): _value(info.value_type, depth + 1)}
        case inspect.EnumType():
            return list(info.cls)[-1].value
        case inspect.LiteralType():
            return info.values[-1]
        case inspect.StrType():
            return f"text {depth} ä"
        case inspect.BytesType():
            return b"\x00\xff bytes"
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 7 + depth
        case inspect.FloatType():
            return 0.1 + depth
    raise TypeError(f"no sample of {info}")
