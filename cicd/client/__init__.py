"""The client's side of the client conversation: how a master is spoken to by all who are no minions."""

from cicd.client.connection import Client
from cicd.client.dial import connect
from cicd.client.operator import (
    Operator,
    OperatorFileError,
    read_operator,
    readdress_operator,
    write_operator,
)
from cicd.client.stream import Event, Stream

__all__ = [
    "Client",
    "Event",
    "Operator",
    "OperatorFileError",
    "Stream",
    "connect",
    "read_operator",
    "readdress_operator",
    "write_operator",
]
