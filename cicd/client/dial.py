"""From an operator's file to a conversation over ZeroMQ."""

from __future__ import annotations

from cicd.client.connection import CONNECT_S, PATIENCE_S, Client
from cicd.client.operator import Operator
from cicd.clock import SystemClock

LONGEST_PAUSE_S = 1.0
"""Between two tries to reach a master: a person waits."""


def connect(operator: Operator, *, connect_s: float = CONNECT_S, patience_s: float = PATIENCE_S) -> Client:
    """Return a client of the operator's master. It connects in the background: the first call says how that went.

    Args:
        operator: address and keys.
        connect_s: how long the first connection is tried for once a try has failed.
        patience_s: how long streams wait for a master that is away.

    Raises:
        UserError: the operator's address or keys are malformed.
    """
    # Late: loading ZeroMQ takes longer than all that a command line does before it needs it.
    from cicd.transport.curve import KeyPair
    from cicd.transport.zmq_transport import ZmqTransport

    clock = SystemClock()
    transport = ZmqTransport(clock)
    try:
        keys = KeyPair(operator.public, operator.secret)
        dialer = transport.dialer(
            operator.address, operator.server_public, keys, name="client", longest_pause_s=LONGEST_PAUSE_S
        )
    except BaseException:
        transport.close()
        raise
    return Client(
        dialer,
        address=operator.address,
        connect_s=connect_s,
        patience_s=patience_s,
        clock=clock,
        on_close=transport.close,
    )
