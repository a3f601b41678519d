"""The shapes of all messages that cross a socket between machines, as plain values that can be kept and compared.

    python tests/support/wire_shapes.py > tests/support/wire_shapes_1.json

makes the record of the version that is installed: done at each release, for the one after it.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from msgspec import inspect

CONVERSATIONS = {
    "minion to master": ("cicd.messages.minion", "FROM_MINION"),
    "master to minion": ("cicd.messages.minion", "TO_MINION"),
    "bulk to master": ("cicd.messages.bulk", "TO_MASTER"),
    "bulk to minion": ("cicd.messages.bulk", "TO_MINION"),
    "client to master": ("cicd.messages.client", "FROM_CLIENT"),
    "master to client": ("cicd.messages.client", "TO_CLIENT"),
    "joiner to master": ("cicd.messages.enrol", "FROM_JOINER"),
    "master to joiner": ("cicd.messages.enrol", "TO_JOINER"),
}
RECORD = Path(__file__).with_name("wire_shapes_1.json")

Shapes = dict[str, Any]


def shapes() -> Shapes:
    """Return the kinds of each conversation, the fields of every struct in them, the words of every enum."""
    found: Shapes = {"conversations": {}, "structs": {}, "enums": {}}
    for name, (module, attribute) in CONVERSATIONS.items():
        try:
            kinds = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError:  # a version that did not have it yet
            continue
        found["conversations"][name] = sorted(kind.__name__ for kind in kinds)
        for kind in kinds:
            _shape(inspect.type_info(kind), found)
    return found


def _shape(info: inspect.Type, found: Shapes) -> Any:
    match info:
        case inspect.StructType(cls=cls):
            if cls.__name__ not in found["structs"]:
                fields: dict[str, Any] = {}
                found["structs"][cls.__name__] = fields
                for field in info.fields:
                    fields[field.encode_name] = {"type": _shape(field.type, found), "required": field.required}
            return cls.__name__
        case inspect.EnumType(cls=cls):
            found["enums"][cls.__name__] = sorted(member.value for member in cls)
            return cls.__name__
        case inspect.UnionType():
            return sorted(str(_shape(each, found)) for each in info.types)
        case inspect.VarTupleType() | inspect.ListType():
            return ["list", _shape(info.item_type, found)]
        case inspect.DictType():
            return ["dict", _shape(info.key_type, found), _shape(info.value_type, found)]
    return type(info).__name__.removesuffix("Type").lower()


if __name__ == "__main__":
    json.dump(shapes(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
