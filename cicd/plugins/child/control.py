"""The control socket between a parent (jobhost, compiler) and a reaper: a seqpacket socketpair, JSON in packets.

    parent                              reaper
                                   <-   {"reaper": PID, "pid": PID of the job's process}
                                   <-   {"prepared": true}         from the job's process: its workspace is there
                                   <-   {"error": TEXT}            from the job's process: it could not be prepared
    {"deadline": BOOT_S}           ->                              the lease; 0: none
    {"term": true}                 ->                              SIGTERM to the job's process group
    {"kill": true}                 ->                              end the whole tree
                                   <-   {"exit": {...}}            the tree is gone; `Exit` in cicd.plugins.supervised
    end of file                    ->                              as kill: the parent is gone

A packet is one object, of one kind.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

PACKET_BYTES = 128 * 1024
"""Longest packet; the kernel's default buffers hold it."""


def pack(message: dict[str, Any]) -> bytes:
    """Return a message as a packet."""
    return json.dumps(message, separators=(",", ":")).encode()


def unpack(packet: bytes) -> dict[str, Any]:
    """Return the message in a packet.

    Raises:
        ValueError: it holds none.
    """
    message = json.loads(packet)
    if not isinstance(message, dict):
        raise ValueError("not an object")  # noqa: TRY004  one error for everything that is no message
    return message


def tell(control: socket.socket, message: dict[str, Any]) -> None:
    """Send a message; a peer that is gone is no error here: its end of file tells."""
    with contextlib.suppress(OSError):
        control.send(pack(message))
