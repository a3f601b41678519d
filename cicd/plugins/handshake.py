"""go-plugin's handshake: the first line of a plugin's output says where to connect.

    1|<app version>|unix or tcp|<address>|grpc|<server certificate>|<multiplexing>

The line comes from a program that is not trusted. Only a unix socket directly inside the folder that was made for this
one process is accepted, and who listens on it is checked at the connection (`channel.py`).

Source: https://github.com/hashicorp/go-plugin/blob/main/docs/internals.md
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

from cicd.errors import CicdError

COOKIE_KEY = "CICD_PLUGIN"
COOKIE_VALUE = "c5bf1b1cbd3f7a2f9d7c0f0b8e6f1f5e3a4d2c1b"
PROTOCOL_VERSION = 1

LIMIT_BYTES = 64 * 1024
"""Most output before the line."""

SOCKET_DIR_LIMIT_BYTES = 90
"""Longest folder: a socket's path of more than 107 bytes cannot be bound, and plugins choose the name inside."""

_LINE = re.compile(rb"(\d+)\|(\d+)\|(unix|tcp)\|([^|\n]*)\|([^|\n\r]*)(?:\|[^\n]*)?\r?$")
_LIKELY = re.compile(rb"\d+\|\d+\|[^|\n]*\|[^|\n]*\|(?:grpc|netrpc)")


class PluginError(CicdError):
    """A plugin process did not do its part. The text says how it ended and what it wrote last.

    Attributes:
        diagnosis: exit code or signal and the last lines of output, for people.
    """

    code = "plugin"

    def __init__(self, message: str, *, diagnosis: str = "", code: str | None = None) -> None:
        super().__init__(f"{message}: {diagnosis}" if diagnosis else message, code=code)
        self.diagnosis = diagnosis


class HandshakeReader:
    """Finds the handshake's line in output; everything else is handed on.

    Args:
        output: takes what is not the line.
    """

    def __init__(self, output: Callable[[bytes], None]) -> None:
        self._output = output
        self._line = bytearray()
        self._seen = 0
        self.address: bytes | None = None

    def feed(self, data: bytes) -> bool:
        """Take output; return whether the line has been found (from then on everything is handed on).

        Raises:
            PluginError: more than `LIMIT_BYTES` without the line, or a line of a kind that is not accepted.
        """
        if self.address is not None:
            self._output(data)
            return True
        self._seen += len(data)
        self._line += data
        while (end := self._line.find(b"\n")) >= 0:
            line = bytes(self._line[:end])
            del self._line[: end + 1]
            match = _LINE.search(line)
            if match is None:
                if _LIKELY.search(line):
                    raise PluginError(f"not a handshake that this host accepts: {line[:200].decode(errors='replace')}")
                self._output(line + b"\n")
                continue
            if match.start():
                self._output(line[: match.start()])  # printed without a newline before it
            self.address = self._checked(match)
            self.flush()
            return True
        if self._seen > LIMIT_BYTES:
            self.flush()
            raise PluginError(f"more than {LIMIT_BYTES} bytes of output and no handshake")
        return False

    def flush(self) -> None:
        """Hand on what is held back; after this nothing is."""
        if self._line:
            self._output(bytes(self._line))
            self._line.clear()

    @staticmethod
    def _checked(match: re.Match[bytes]) -> bytes:
        core, app, network, address, protocol = match.groups()
        if int(core) != PROTOCOL_VERSION or int(app) != PROTOCOL_VERSION:
            raise PluginError(f"the plugin speaks protocol {app.decode()}, this host {PROTOCOL_VERSION}")
        if network != b"unix" or protocol != b"grpc":
            raise PluginError("the plugin offers no gRPC over a unix socket")
        return address


def socket_in(address: bytes, socket_dir: Path) -> str:
    """Return the socket's path, if it is one directly inside the folder.

    Raises:
        PluginError: it is not.
    """
    path = address.decode("utf-8", "surrogateescape")
    folder, _, name = path.rpartition("/")
    if folder != str(socket_dir) or name in {"", ".", ".."}:
        raise PluginError(f"the plugin's socket is outside its folder: {path!r}")
    try:
        mode = Path(path).lstat().st_mode
    except OSError as error:
        raise PluginError(f"the plugin's socket cannot be reached: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise PluginError(f"the plugin's address is no socket: {path!r}")
    return path
