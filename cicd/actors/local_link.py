"""One end of a socketpair to another process of ours: messages out from any thread, in on a thread of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Sequence

from cicd.codec import Codec
from cicd.errors import CicdError
from cicd.messages.base import Wire
from cicd.plugins.framing import LIMIT_BYTES, FrameReader, encode_frame

_READ_BYTES = 256 * 1024
_JOIN_S = 5.0

OnMessages = Callable[[Sequence[Wire]], None]
OnEnd = Callable[[BaseException], None]


class LocalLink:
    """Frames of messages over a socketpair.

    Args:
        sock: our end; owned from now on.
        kinds: messages that may arrive.
        on_messages: called on the link's thread with what arrived; quick.
        on_end: called once when the peer is gone or speaks nonsense, unless we closed.
    """

    def __init__(
        self, sock: socket.socket, kinds: Iterable[type[Wire]], name: str, on_messages: OnMessages, on_end: OnEnd
    ) -> None:
        self._sock = sock
        self._codec = Codec(kinds, LIMIT_BYTES)
        self._name = name
        self._on_messages = on_messages
        self._on_end = on_end
        self._lock = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def send(self, *messages: Wire) -> None:
        """Send messages, in order. If the peer is gone they are dropped; `on_end` says so."""
        data = b"".join(encode_frame(self._codec.encode(message)) for message in messages)
        with self._lock, contextlib.suppress(OSError):
            self._sock.sendall(data)

    def close(self) -> None:
        """End; `on_end` is not called."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=_JOIN_S)
        self._sock.close()

    def _read(self) -> None:
        reader = FrameReader()
        end: BaseException = CicdError(f"{self._name}: the other process has ended")
        try:
            while data := self._sock.recv(_READ_BYTES):
                reader.feed(data)
                messages = [self._codec.decode(frame) for frame in reader]
                if messages:
                    self._on_messages(messages)
        except Exception as error:  # noqa: BLE001  whatever it is, the link is over and its owner must know
            end = error
        if not self._closing:
            self._on_end(end)
