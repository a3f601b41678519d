"""The SDK's messages: typed classes with slots, and the tables that its codec reads.

Explicit classes, not dataclasses: thirty dataclasses cost 15 ms at each import.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from templates.descriptors import by_dependency, comments, is_many, kind_of, map_value, oneof_of

HEADER = '''"""The messages of `proto/cicd/plugin/v1/pipeline.proto`. Written by `proto/generate.py`; edits are lost."""

# ruff: noqa: A002, RUF023 - the names and the order are those of the contract

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from cicd_sdk._wire import Field, Message
'''


EMPTY = {"str": '""', "bytes": 'b""', "bool": "False", "float": "0.0", "int": "0"}


@dataclass
class Attribute:
    """An attribute of a message's class: one for each field, one for all of a oneof."""

    name: str
    hint: str
    default: str
    fresh: bool = False  # a new container for each message


def messages(file: FileDescriptorProto) -> str:
    """Return the module."""
    told = comments(file)
    zeros = {enum.name: f"{enum.name}.{_member(enum, enum.value[0].name)}" for enum in file.enum_type}
    parts = [HEADER]
    parts += [_enum(enum, told) for enum in file.enum_type]
    parts += [_message(message, told, zeros) for message in by_dependency(file)]
    return "\n\n".join(parts)


def _doc(name: str, told: dict[str, str], default: str) -> str:
    text = told.get(name, default)
    lines = textwrap.wrap(text if text.endswith((".", ")")) else text + ".", 90)
    if len(lines) == 1:
        return f'    """{lines[0]}"""\n'
    first, _, rest = text.partition(". ")
    body = textwrap.fill(rest, 100, initial_indent="    ", subsequent_indent="    ")
    return f'    """{first}.\n\n{body}\n    """\n'


def _member(enum: EnumDescriptorProto, value: str) -> str:
    # PARAM_TYPE_INT of ParamType becomes ParamType.INT.
    stem = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in enum.name).lstrip("_") + "_"
    return value.removeprefix(stem)


def _enum(enum: EnumDescriptorProto, told: dict[str, str]) -> str:
    values = "\n".join(f"    {_member(enum, value.name)} = {value.number}" for value in enum.value)
    return f"class {enum.name}(IntEnum):\n{_doc(enum.name, told, f'The enum {enum.name}.')}\n{values}\n"


def _message(message: DescriptorProto, told: dict[str, str], zeros: dict[str, str]) -> str:
    head = f"class {message.name}(Message):\n{_doc(message.name, told, f'The message {message.name}.')}\n"
    attributes = _attributes(message, zeros)
    if not attributes:
        return head + "    __slots__ = ()\n"
    slots = ", ".join(f'"{attribute.name}"' for attribute in attributes) + ("," if len(attributes) == 1 else "")
    arguments = ", ".join(
        f"{a.name}: {a.hint} | None = None" if a.fresh else f"{a.name}: {a.hint} = {a.default}" for a in attributes
    )
    lines = [
        f"    __slots__ = ({slots})",
        "    FIELDS: ClassVar[tuple[Field, ...]] = (",
        *(f"        {_table_entry(message, field)}," for field in message.field),
        "    )",
        "",
        f"    def __init__(self, *, {arguments}) -> None:",
        *(f"        {_assignment(attribute)}" for attribute in attributes),
    ]
    return head + "\n".join(lines) + "\n"


def _attributes(message: DescriptorProto, zeros: dict[str, str]) -> list[Attribute]:
    found: dict[str, Attribute] = {}
    for field in message.field:
        value = map_value(message, field)
        kind, python = kind_of(value or field)
        hint = f"{python} | int" if kind == "enum" else python  # a plain number is what a newer peer sent
        oneof = oneof_of(message, field)
        if oneof in found:
            found[oneof].hint = f"{python} | {found[oneof].hint}"
        elif oneof:
            found[oneof] = Attribute(oneof, f"{python} | None", "None")
        elif value is not None:
            found[field.name] = Attribute(field.name, f"dict[str, {hint}]", "{}", fresh=True)
        elif is_many(field):
            found[field.name] = Attribute(field.name, f"list[{hint}]", "[]", fresh=True)
        elif field.proto3_optional or kind == "message":
            found[field.name] = Attribute(field.name, f"{hint} | None", "None")
        else:
            found[field.name] = Attribute(field.name, hint, zeros.get(python) or EMPTY[python])
    return list(found.values())


def _table_entry(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    value = map_value(message, field)
    kind, python = kind_of(value or field)
    label = ""
    if oneof_of(message, field):
        label = ', "oneof"'
        others = [f for f in message.field if f is not field and f.type_name == field.type_name]
        if kind != "message" or any(oneof_of(message, other) for other in others):
            raise SystemExit(f"{message.name}.{field.name}: members of a oneof have to be messages of different types")
    elif value is not None:
        label = ', "map"'
    elif is_many(field):
        label = ', "many"'
    elif field.proto3_optional:
        label = ', "optional"'
    type_ = f", type={python}" if kind in ("message", "enum") else ""
    return f'Field({field.number}, "{oneof_of(message, field) or field.name}", "{kind}"{label}{type_})'


def _assignment(attribute: Attribute) -> str:
    name = attribute.name
    if attribute.fresh:
        return f"self.{name}: {attribute.hint} = {attribute.default} if {name} is None else {name}"
    return f"self.{name}{f': {attribute.hint}' if '|' in attribute.hint else ''} = {name}"
