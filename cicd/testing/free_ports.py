"""Ports for servers that are killed and started again: free now, and not taken by anybody's outgoing connection later.

The kernel gives outgoing connections ports of its ephemeral range, even the very port that they dial: a client that
dials a server which is down can connect to itself and keep the server from coming back. So these ports lie below it.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cicd.errors import UnavailableError

_LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return different ports that nobody listens on at `host`.

    Raises:
        UnavailableError: none were found.
    """
    try:
        highest = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError):  # no such file in a sandbox: the kernel's default
        highest = 32_768
    if highest < _LOWEST + 1000:
        highest = 65_536
    found: list[int] = []
    for _ in range(_TRIES):
        port = _LOWEST + int.from_bytes(os.urandom(4), "big") % (highest - _LOWEST)
        if port not in found and _is_free(host, port):
            found.append(port)
            if len(found) == count:
                return found
    raise UnavailableError(f"no {count} free ports between {_LOWEST} and {highest}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what lingers is no listener
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
