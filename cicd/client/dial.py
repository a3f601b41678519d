"""From an operator's file to a conversation over ZeroMQ."""

from __future__ import annotations

from cicd.client.connection import PATIENCE_S, Client
from cicd.client.operator import Operator


def connect(operator: Operator, *, patience_s: float = PATIENCE_S) -> Client:
    """Return a client of the operator's master. It connects in the background: the first call says how that went.

    Args:
        operator: address and keys.
        patience_s: how long streams wait for a master that is away.
    """
    raise NotImplementedError(f"{operator.address}, {patience_s}")
