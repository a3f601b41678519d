"""A gRPC channel to a plugin: over a unix socket whose listener is checked, with messages of bounded size."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol, Stream

from cicd.errors import ProtocolError
from cicd.plugins.handshake import PluginError

MESSAGE_LIMIT_BYTES = 4 * 1024 * 1024
"""Longest message that is read; also what Go plugins take."""

_CONFIG = Configuration(http2_connection_window_size=1 << 20, http2_stream_window_size=1 << 20)
_CREDENTIALS = struct.Struct("3i")


class _BoundedStream(Stream):
    async def recv_data(self, size: int) -> bytes:
        if size > MESSAGE_LIMIT_BYTES:
            raise ProtocolError(f"message of {size} bytes is over the limit of {MESSAGE_LIMIT_BYTES}", code="too_large")
        data: bytes = await super().recv_data(size)
        return data


class PluginChannel(Channel):
    """Connects to a plugin at the first call; does not connect a second time.

    Args:
        path: of the unix socket.
        pid: process that must be listening there.
    """

    def __init__(self, path: str, pid: int) -> None:
        super().__init__(path=path, config=_CONFIG)
        self._socket_path = path
        self._pid = pid
        self._used = False

    async def _create_connection(self) -> H2Protocol:
        # grpclib has no hook between connecting and speaking, so its own step is replaced as a whole.
        if self._used:
            raise ConnectionResetError("the plugin closed its connection")
        self._used = True
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, self._socket_path)
            pid, _uid, _gid = _CREDENTIALS.unpack(
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            self._check(pid)
            _transport, protocol = await loop.create_unix_connection(self._protocol_factory, sock=sock)
        except BaseException:
            sock.close()
            raise
        connection = protocol.processor.connection

        def create_stream(**options: Any) -> _BoundedStream:
            return _BoundedStream(connection, connection._connection, connection._transport, **options)  # noqa: SLF001  as grpclib's own

        connection.create_stream = create_stream  # type: ignore[method-assign]  # the only place to bound a message
        return protocol

    def _check(self, pid: int) -> None:
        if pid != self._pid:
            raise PluginError(f"process {pid} listens on the plugin's socket, not the plugin ({self._pid})")
