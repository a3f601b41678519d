"""Questions that the templates ask of a descriptor."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

F = FieldDescriptorProto

SCALARS = {
    F.TYPE_STRING: ("string", "str"),
    F.TYPE_BYTES: ("bytes", "bytes"),
    F.TYPE_BOOL: ("bool", "bool"),
    F.TYPE_DOUBLE: ("double", "float"),
    F.TYPE_INT32: ("int32", "int"),
    F.TYPE_INT64: ("int64", "int"),
    F.TYPE_UINT32: ("uint32", "int"),
    F.TYPE_UINT64: ("uint64", "int"),
}


def short(type_name: str) -> str:
    """Return the last part of a full name."""
    return type_name.rsplit(".", 1)[-1]


def kind_of(field: F) -> tuple[str, str]:
    """Return a field's kind for the codec, and its Python type.

    Raises:
        SystemExit: the codec cannot read or write this kind.
    """
    if field.type in (F.TYPE_MESSAGE, F.TYPE_ENUM):
        return ("message" if field.type == F.TYPE_MESSAGE else "enum"), short(field.type_name)
    if field.type not in SCALARS:
        raise SystemExit(f"{field.name}: {F.Type.Name(field.type)} is not supported by cicd_sdk/_wire.py")
    return SCALARS[field.type]


def map_value(message: DescriptorProto, field: F) -> F | None:
    """Return the value field of a map, or None for another field."""
    if field.type != F.TYPE_MESSAGE:
        return None
    for nested in message.nested_type:
        if nested.options.map_entry and nested.name == short(field.type_name):
            key, value = nested.field
            if key.type != F.TYPE_STRING or value.type not in (F.TYPE_STRING, F.TYPE_MESSAGE):
                raise SystemExit(f"{message.name}.{field.name}: only maps from string to string or message")
            return value
    return None


def is_many(field: F) -> bool:
    """Tell whether a field is repeated."""
    return field.label == F.LABEL_REPEATED


def oneof_of(message: DescriptorProto, field: F) -> str:
    """Return the name of the oneof that a field belongs to, or an empty string."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return message.oneof_decl[field.oneof_index].name


def comments(file: FileDescriptorProto) -> dict[str, str]:
    """Return the comment above each message and enum, by name."""
    names = {(4, i): m.name for i, m in enumerate(file.message_type)}
    names |= {(5, i): e.name for i, e in enumerate(file.enum_type)}
    return {
        names[tuple(location.path)]: " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if tuple(location.path) in names and location.leading_comments
    }


def by_dependency(file: FileDescriptorProto) -> list[DescriptorProto]:
    """Return the messages, each after those that it holds."""
    left = {message.name: message for message in file.message_type}
    ordered: list[DescriptorProto] = []

    def add(name: str) -> None:
        message = left.pop(name, None)
        if message is None:
            return
        for field in message.field:
            value = map_value(message, field) or field
            if value.type == F.TYPE_MESSAGE:
                add(short(value.type_name))
        ordered.append(message)

    for message in file.message_type:
        add(message.name)
    return ordered
