"""The server's side of gRPC on one HTTP/2 connection, without any I/O.

Theory of operation. Bytes go in by `receive` and come out by `take`; h2 does HTTP/2, this adds gRPC's framing on top.
A request is complete when its stream ends: then `on_call` gets the `Call`, which answers with messages and a status
at any later time. What a call has to say waits in its buffer until the peer's windows let it go, so that `buffered`
tells whoever produces to stop for a while.

    headers -> (wrong path: status at once) -> data ... -> end of stream -> on_call -> send* -> finish
    reset by the peer, or connection lost at any time -> call.gone -> on_gone

A peer that breaks HTTP/2 loses its connection; a request that breaks gRPC is answered with a status. GOAWAY from a
client is taken as the end of the
connection: clients send it when they close.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from enum import IntEnum

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

MAX_REQUEST = 4 * 1024 * 1024
MAX_OUT = 256 * 1024  # bytes taken out of the streams' buffers before the socket has to take some

# What a bulk call leaves of the connection's window: a client that does not read it still hears of its Cancel.
_RESERVE = 8 * 1024
_PREFIX = 5  # a flag and four bytes of length before each message
_MAX_STATUS_TEXT = 2048
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MAX_TIMEOUT_DIGITS = 8


class Code(IntEnum):
    """The codes of gRPC that are used here."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class Call:
    """One call of a client.

    Attributes:
        path: the method, as "/package.Service/Method".
        request: the bytes of its message.
        deadline: on the monotonic clock, or None.
        bulk: it has much to say, and must leave room for the answers of other calls.
        gone: nobody waits for the answer any more.
        on_gone: called once when that happens before `finish`.
        on_room: called when the buffer has been emptied by half.
    """

    def __init__(self, connection: Connection, stream: int, path: str, deadline: float | None) -> None:
        self.path = path
        self.request = b""
        self.deadline = deadline
        self.bulk = False
        self.gone = False
        self.done = False
        self.on_gone: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self._connection = connection
        self._stream = stream
        self._started = False
        self._body = bytearray()  # of the request, until it is complete
        self._whole = False  # the request has ended
        self._out = bytearray()
        self._trailers: list[tuple[str, str]] | None = None

    @property
    def buffered(self) -> int:
        """How many bytes wait for the peer."""
        return len(self._out)

    def start(self) -> None:
        """Send the headers of the answer, when it may take long to the first message."""
        if not self._started and not self.gone:
            self._started = True
            headers = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-accept-encoding", "identity")]
            self._connection.send_headers(self._stream, headers)

    def send(self, message: bytes) -> None:
        """Send a message."""
        if self.gone or self.done:
            return
        self.start()
        self._out += b"\0" + len(message).to_bytes(4, "big")
        self._out += message

    def reply(self, message: bytes) -> None:
        """Send the one message of a unary call, and OK."""
        self.send(message)
        self.finish()

    def finish(self, code: Code = Code.OK, text: str = "") -> None:
        """End the call with a status, after what has been sent."""
        if self.gone or self.done:
            return
        self.done = True
        trailers = [("grpc-status", str(int(code)))]
        if text:
            trailers.append(("grpc-message", _percent_encoded(text)))
        if not self._started:
            trailers = [(":status", "200"), ("content-type", "application/grpc"), *trailers]
        self._trailers = trailers

    def lose(self) -> None:
        """Nobody waits any more."""
        if self.gone:
            return
        self.gone = True
        self._out.clear()
        if not self.done and self.on_gone is not None:
            self.on_gone()


class Connection:
    """One connection of a client.

    Args:
        on_call: gets each call whose request is complete.
        methods: the paths that exist.
    """

    def __init__(self, on_call: Callable[[Call], None], methods: Collection[str]) -> None:
        self._on_call = on_call
        self._methods = methods
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self._h2.initiate_connection()
        self._calls: dict[int, Call] = {}
        self.open = True

    @property
    def calls(self) -> list[Call]:
        """The calls that have not ended."""
        return list(self._calls.values())

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; `open` tells afterwards whether the connection still is."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.open = False  # h2 has written the GOAWAY that says why
            return
        except Exception:  # noqa: BLE001 - whatever hostile bytes do to a parser, it ends their connection only
            self.open = False
            return
        for event in events:
            self._handle(event)

    def take(self, room: int = MAX_OUT) -> bytes:
        """Return bytes for the peer: what HTTP/2 itself has to say, and of the calls about as much as there is room."""
        out = bytearray(self._h2.data_to_send())
        progress = self.open
        while progress and len(out) < room:  # a frame of each call in turn, so that none waits for another
            progress = False
            for stream, call in tuple(self._calls.items()):
                progress |= self._send_frame(stream, call)
            out += self._h2.data_to_send()
        return bytes(out)

    def lost(self) -> None:
        """The peer is away: nobody waits for any call."""
        self.open = False
        for call in self.calls:
            call.lose()
        self._calls.clear()

    def send_headers(self, stream: int, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        """Queue headers or trailers."""
        self._h2.send_headers(stream, headers, end_stream=end)

    # --- what comes in

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._request(event)
        elif isinstance(event, h2.events.DataReceived):
            self._data(event)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended(self._calls.get(event.stream_id or 0))
        elif isinstance(event, h2.events.StreamReset):
            call = self._calls.pop(event.stream_id or 0, None)
            if call is not None:
                call.lose()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.open = False

    def _request(self, event: h2.events.RequestReceived) -> None:
        headers = {bytes(name): bytes(value) for name, value in event.headers or ()}
        stream = event.stream_id or 0
        if headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(b"application/grpc"):
            status = "405" if headers.get(b":method") != b"POST" else "415"
            self.send_headers(stream, [(":status", status)], end=True)
            return
        path = headers.get(b":path", b"").decode("latin-1")
        timeout = _timeout_s(headers.get(b"grpc-timeout", b"").decode("latin-1"))
        call = Call(self, stream, path, None if timeout is None else time.monotonic() + timeout)
        self._calls[stream] = call
        if path not in self._methods:
            call.finish(Code.UNIMPLEMENTED, f"there is no method {path}")

    def _data(self, event: h2.events.DataReceived) -> None:
        stream, data = event.stream_id or 0, event.data or b""
        if event.flow_controlled_length:
            self._acknowledge(event.flow_controlled_length, stream)
        call = self._calls.get(stream)
        if call is None or call.done:
            return
        body = call._body  # noqa: SLF001 - the two classes are one protocol
        body += data
        if len(body) >= _PREFIX:
            length = int.from_bytes(body[1:_PREFIX], "big")
            if body[0]:
                call.finish(Code.UNIMPLEMENTED, "compressed requests are not supported")
            elif length > MAX_REQUEST:
                call.finish(
                    Code.RESOURCE_EXHAUSTED, f"a request has at most {MAX_REQUEST} bytes, this one has {length}"
                )
            elif len(body) > _PREFIX + length:
                call.finish(Code.INTERNAL, "a call has one request, this one has more")

    def _acknowledge(self, length: int, stream: int) -> None:
        try:
            self._h2.acknowledge_received_data(length, stream)
        except h2.exceptions.ProtocolError:
            self.open = False

    def _ended(self, call: Call | None) -> None:
        if call is None:
            return
        call._whole = True  # noqa: SLF001 - as above
        if call.done:
            return
        body = call._body  # noqa: SLF001 - as above
        if len(body) < _PREFIX or len(body) != _PREFIX + int.from_bytes(body[1:_PREFIX], "big"):
            call.finish(Code.INTERNAL, "the request ends before its message does")
            return
        call.request = bytes(body[_PREFIX:])
        body.clear()
        self._on_call(call)

    # --- what goes out

    def _send_frame(self, stream: int, call: Call) -> bool:
        waiting = call._out  # noqa: SLF001 - as above
        if waiting:
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(waiting))
            if call.bulk:
                size = min(size, self._h2.outbound_flow_control_window - _RESERVE)
            if size <= 0:
                return False
            self._h2.send_data(stream, bytes(waiting[:size]))
            del waiting[:size]
            if call.on_room is not None:
                call.on_room()
            return True
        if call._trailers is None:  # noqa: SLF001 - as above
            return False
        self.send_headers(stream, call._trailers, end=True)  # noqa: SLF001 - as above
        if not call._whole:  # noqa: SLF001 - as above
            # An early answer: the rest of the request is of no use.
            self._h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
        self._calls.pop(stream, None)
        return True


def _timeout_s(text: str) -> float | None:
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not digits.isascii() or not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS:
        return None
    return int(digits) * _UNITS_S[unit]


def _percent_encoded(text: str) -> str:
    data = text[:_MAX_STATUS_TEXT].encode("utf-8", "backslashreplace")
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in data)  # noqa: PLR2004 - printable, but for %
