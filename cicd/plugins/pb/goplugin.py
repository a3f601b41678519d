"""Clients of go-plugin's own services, as far as a host needs them.

go-plugin's .proto files are not part of this project: only the names of its services and the numbers of two fields are
needed, and they stand here. Health (service name "plugin") is the standard one: `grpclib.health.v1.health_grpc.HealthStub`.

Source: https://github.com/hashicorp/go-plugin, docs/internals.md and the services that its plugins serve.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.empty_pb2 import Empty
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod

STDOUT = 1
STDERR = 2


def _stdio_data() -> Any:
    # A pool of its own: a program that also loads go-plugin's generated modules must not clash with this.
    file = descriptor_pb2.FileDescriptorProto(name="cicd/goplugin_stdio.proto", package="plugin", syntax="proto3")
    data = file.message_type.add(name="StdioData")
    field = descriptor_pb2.FieldDescriptorProto
    data.field.add(name="channel", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    data.field.add(name="data", number=2, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("plugin.StdioData"))


StdioData = _stdio_data()
"""A piece of output: `channel` (STDOUT or STDERR) and `data`."""


class GRPCControllerStub:
    """Ends a plugin. An answer, UNAVAILABLE and a closed connection all mean that it ends."""

    def __init__(self, channel: Channel) -> None:
        self.Shutdown = UnaryUnaryMethod(channel, "/plugin.GRPCController/Shutdown", Empty, Empty)


class GRPCStdioStub:
    """The output of a plugin that keeps its stdout and stderr to itself, as Go ones do; one reader at a time."""

    def __init__(self, channel: Channel) -> None:
        self.StreamStdio = UnaryStreamMethod(channel, "/plugin.GRPCStdio/StreamStdio", Empty, StdioData)
