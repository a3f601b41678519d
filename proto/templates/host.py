"""The host's modules: messages for the official protobuf runtime, and services for grpclib."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from templates.descriptors import by_dependency, is_many, kind_of, map_value, oneof_of, short

NOTE = "Written by `proto/generate.py` from `proto/cicd/plugin/v1/pipeline.proto`; edits are lost."


def messages(file: FileDescriptorProto) -> str:
    """Return the module of messages, built by the runtime from the descriptor when it is imported."""
    bare = FileDescriptorProto.FromString(file.SerializeToString())
    bare.ClearField("source_code_info")
    data = bare.SerializeToString(deterministic=True)
    chunks = "\n".join(f"    {data[at : at + 70]!r}" for at in range(0, len(data), 70))
    lines = [
        f'"""{NOTE}"""\n',
        "from google.protobuf import descriptor_pool, message_factory",
        "from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper\n",
        f"DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(\n{chunks}\n)\n",
    ]
    for enum in file.enum_type:
        lines.append(f'{enum.name} = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["{enum.name}"])')
        lines += [f"{value.name} = {value.number}" for value in enum.value]
    for message in file.message_type:
        lines.append(
            f'{message.name} = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["{message.name}"])'
        )
    return "\n".join(lines) + "\n"


def types(file: FileDescriptorProto) -> str:
    """Return the types of the module of messages."""
    lines = [
        f'"""{NOTE}"""\n',
        "from collections.abc import Iterable, Mapping",
        "from typing import Any, Literal\n",
        "from google.protobuf.descriptor import FileDescriptor",
        "from google.protobuf.internal import containers",
        "from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper",
        "from google.protobuf.message import Message\n",
        "DESCRIPTOR: FileDescriptor\n",
    ]
    for enum in file.enum_type:
        lines.append(f"{enum.name}: _EnumTypeWrapper[int]")
        lines += [f"{value.name}: int" for value in enum.value]
    for message in by_dependency(file):
        lines += _class(message)
    return "\n".join(lines) + "\n"


def _class(message: DescriptorProto) -> list[str]:
    lines = [f"\nclass {message.name}(Message):"]
    arguments = []
    oneofs: dict[str, list[str]] = {}
    for field in message.field:
        value = map_value(message, field)
        kind, python = kind_of(value or field)
        python = "int" if kind == "enum" else python
        if value is not None:
            container = "MessageMap" if kind == "message" else "ScalarMap"
            hint, given = f"containers.{container}[str, {python}]", f"Mapping[str, {python}]"
        elif is_many(field):
            container = "RepeatedCompositeFieldContainer" if kind == "message" else "RepeatedScalarFieldContainer"
            hint, given = f"containers.{container}[{python}]", f"Iterable[{python}]"
        else:
            hint = given = python
        lines.append(f"    {field.name}: {hint}")
        arguments.append(f"{field.name}: {given} | None = ...")
        if oneof_of(message, field):
            oneofs.setdefault(oneof_of(message, field), []).append(field.name)
    lines.append(f"    def __init__(self, {'*, ' + ', '.join(arguments) if arguments else ''}) -> None: ...")
    for oneof, names in oneofs.items():
        choices = ", ".join(f'"{name}"' for name in names)
        lines.append(
            f'    def WhichOneof(self, oneof_group: Literal["{oneof}"] | Any) -> Literal[{choices}] | None: ...'
        )
    return lines


def services(file: FileDescriptorProto) -> str:
    """Return the module of services: a stub for clients and a base class for servers."""
    lines = [
        f'"""{NOTE}"""\n',
        "import abc",
        "from typing import TYPE_CHECKING\n",
        "from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod",
        "from grpclib.const import Cardinality, Handler\n",
        "from cicd.plugins.pb import pipeline_pb2\n",
        "if TYPE_CHECKING:\n    from grpclib.server import Stream\n",
    ]
    for service in file.service:
        full = f"/{file.package}.{service.name}"
        stub = [
            f"\nclass {service.name}Stub:",
            f'    """A client of {file.package}.{service.name}."""\n',
            "    def __init__(self, channel: Channel) -> None:",
        ]
        base = [
            f"\nclass {service.name}Base(abc.ABC):",
            f'    """A server of {file.package}.{service.name}."""\n',
        ]
        mapping = ["    def __mapping__(self) -> dict[str, Handler]:", "        return {"]
        for method in service.method:
            asks, answers = (
                f"pipeline_pb2.{short(method.input_type)}",
                f"pipeline_pb2.{short(method.output_type)}",
            )
            shape = "Stream" if method.server_streaming else "Unary"
            stub.append(
                f'        self.{method.name} = Unary{shape}Method(channel, "{full}/{method.name}", {asks}, {answers})'
            )
            base += [
                "    @abc.abstractmethod",
                f'    async def {method.name}(self, stream: "Stream[{asks}, {answers}]") -> None: ...\n',
            ]
            mapping.append(
                f'            "{full}/{method.name}": '
                f"Handler(self.{method.name}, Cardinality.UNARY_{shape.upper()}, {asks}, {answers}),"
            )
        lines += [*stub, *base, *mapping, "        }"]
    return "\n".join(lines) + "\n"
