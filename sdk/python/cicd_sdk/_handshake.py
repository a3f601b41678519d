"""go-plugin's handshake, from the plugin's side.

A host starts the program with a magic cookie in its environment (no secret: it only tells a host from a person), and
reads one line from its stdout: where to connect. Everything after that goes over the socket.

Source: https://github.com/hashicorp/go-plugin/blob/main/docs/internals.md
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

COOKIE_KEY = "CICD_PLUGIN"
COOKIE = "c5bf1b1cbd3f7a2f9d7c0f0b8e6f1f5e3a4d2c1b"

_MAX_PATH = 107  # sockaddr_un
_SOCKET_DIR = "PLUGIN_UNIX_SOCKET_DIR"


class HandshakeError(Exception):
    """The host asks for something that this plugin cannot do, or the socket cannot be."""


def wanted() -> bool:
    """Tell whether a host started this program."""
    return os.environ.get(COOKIE_KEY) == COOKIE


def check_tls() -> None:
    """Refuse a host that wants TLS.

    Raises:
        HandshakeError: it does.
    """
    if os.environ.get("PLUGIN_CLIENT_CERT"):
        raise HandshakeError("the host asks for AutoMTLS, which this version of cicd_sdk does not speak")


def socket_path(folder: str = "") -> str:
    """Return where to listen: a new path in `folder`, or else in the one that the environment names.

    Raises:
        HandshakeError: it would be too long for a unix socket.
    """
    folder = folder or os.environ.get(_SOCKET_DIR) or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as go-plugin does
    path = f"{folder}/plugin-{os.getpid()}-{os.urandom(4).hex()}"
    if len(os.fsencode(path)) > _MAX_PATH:
        raise HandshakeError(f"the path of the socket has more than {_MAX_PATH} bytes: {path}")
    return path


def announce(path: str) -> None:
    """Tell the host where to connect: the one line, on descriptor 1, in front of what was printed and still waits."""
    line = f"1|1|unix|{path}|grpc|\n".encode()
    while line:
        line = line[os.write(1, line) :]


def scrub_environment() -> None:
    """Remove what was said to this process only: a child that is a go-plugin host must not take it for its own."""
    if os.environ.get("TMPDIR") and os.environ.get("TMPDIR") == os.environ.get(_SOCKET_DIR):
        del os.environ["TMPDIR"]
    for name in tuple(os.environ):
        if name == COOKIE_KEY or name.startswith("PLUGIN_"):
            del os.environ[name]


def prepare_output() -> None:
    """Let what the job prints leave line by line, whatever characters it has."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # In two steps: a stream that began as a file and is a pipe now takes the encoding, and then complains.
            with suppress(OSError):
                reconfigure(encoding="utf-8", errors="backslashreplace")
            reconfigure(line_buffering=True, write_through=False)
