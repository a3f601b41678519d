"""A client's conversation with one master: calls that are answered once, and streams that survive its restart.

The dialer's thread only fills a queue. The caller's thread empties it whenever it waits for something, so there is no
second thread to be surprised by, and Ctrl-C interrupts every wait. One caller at a time.

A call that can be asked twice without harm is asked again after a reconnect, until its time is up. Any other call whose
connection broke before its answer fails with code `unanswered`: it may or may not have been done, so look.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from cicd.client.position import position_of
from cicd.client.stream import Event, Stream
from cicd.client.stream_state import StreamState
from cicd.clock import Clock, SystemClock
from cicd.codec import Codec
from cicd.errors import CicdError, ProtocolError, UnavailableError, from_code
from cicd.ids import IdSource
from cicd.messages.base import ErrorReply, Wire
from cicd.messages.client import (
    TO_CLIENT,
    Answer,
    Call,
    CancelRun,
    CreatePipeline,
    CreateToken,
    Credit,
    DeletePipeline,
    End,
    Failure,
    Item,
    Reply,
    Request,
    ResolveJob,
    RetryRun,
    RevokeToken,
    StartRun,
    StopStream,
)
from cicd.transport.base import Dialer, LinkState

PATIENCE_S = 30.0
"""How long streams wait for a master that is away."""
CONNECT_S = 3.0
"""How long the first connection is tried for once a try has failed: a call need not wait its whole time for that."""
CALL_S = 10.0
"""How long a call waits for its answer."""

ONCE = (CreatePipeline, DeletePipeline, CancelRun, ResolveJob, CreateToken, RevokeToken)
"""Calls that mean something else the second time. A `request` makes `StartRun` and `RetryRun` safe."""

_LOOK_S = 0.25
"""How often streams are looked after while nothing arrives."""

A = TypeVar("A", bound=Wire)
_News = Sequence[bytes] | tuple[LinkState, str] | BaseException


class Client:
    """A conversation with the master that the dialer reaches; a context manager.

    Args:
        dialer: not yet started; closed with the client.
        address: for error texts.
        connect_s: how long the first connection is tried for once a try has failed.
        patience_s: how long streams wait for a master that is away.
        clock: gives boot time.
        on_close: called once, after the dialer was closed.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        address: str = "",
        connect_s: float = CONNECT_S,
        patience_s: float = PATIENCE_S,
        clock: Clock | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._dialer = dialer
        self._address = address or "the master"
        self._connect_s = connect_s
        self._patience_s = patience_s
        self._on_close = on_close
        self._clock = clock or SystemClock()
        self._ids = IdSource(self._clock)
        self._codec = Codec(TO_CLIENT)
        self._news: SimpleQueue[_News] = SimpleQueue()
        self._last_id = 0
        self._arrivals = 0
        self._away_s: float | None = self._clock.boot_s()
        self._was_connected = False
        self._link = ""
        self._refused = False
        self._pending: _Pending | None = None
        self._streams: list[Stream] = []
        dialer.start(self._news.put, lambda state, detail: self._news.put((state, detail)), self._news.put)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where the master is."""
        return self._address

    @property
    def is_connected(self) -> bool:
        """Whether the master was there when the caller last waited for something."""
        return self._away_s is None

    def call(self, call: Call, *, timeout_s: float = CALL_S) -> Answer:
        """Return the answer to a call.

        Raises:
            UnavailableError: code `unreachable`: no answer in time, or the key is refused; code `unanswered`: the
                connection broke, and what was asked for may or may not have been done.
            CicdError: what the master said instead of an answer.
        """
        if isinstance(call, (StartRun, RetryRun)) and not call.request:
            call = msgspec.structs.replace(call, request=self._ids.new())
        deadline_s = self._clock.boot_s() + timeout_s
        pending = self._pending = _Pending(call, self._new_id())
        try:
            self._ask(pending)
            while pending.answer is None and pending.error is None:
                if self._is_hopeless():
                    raise self._unreachable(self._connect_s)
                if self._clock.boot_s() >= deadline_s:
                    raise self._unreachable(timeout_s)
                self._wait(deadline_s)
        finally:
            self._pending = None
        if pending.error is not None:
            raise pending.error
        assert pending.answer is not None  # noqa: S101  the loop's condition, for the type checker
        return pending.answer

    def ask(self, call: Call, kind: type[A], *, timeout_s: float = CALL_S) -> A:
        """Return the answer to a call, which is of this kind.

        Raises:
            ProtocolError: it is of another kind.
            CicdError: as `call`.
        """
        answer = self.call(call, timeout_s=timeout_s)
        if not isinstance(answer, kind):
            raise ProtocolError(f"{type(call).__name__} was answered by {type(answer).__name__}, not {kind.__name__}")
        return answer

    def stream(self, call: Call) -> Stream:
        """Return the stream that answers a call; iterate over it, or over `events`. Close it, or use `with`."""
        stream = Stream(self, StreamState(position_of(call), self._clock.boot_s()))
        self._streams.append(stream)
        self._look_after()
        return stream

    def events(self, timeout_s: float) -> Iterator[Event]:
        """Yield what has arrived on all open streams, in order of arrival; wait up to `timeout_s` for the first.

        Ends as soon as nothing is left, so that the caller can do something else in between. A stream's end is yielded
        once, and the stream closed.
        """
        deadline_s = self._clock.boot_s() + timeout_s
        while not self._has_event() and self._clock.boot_s() < deadline_s:
            self._wait(deadline_s)
        while event := self._next_event():
            yield event

    def close(self) -> None:
        """End all streams and the connection. Again: nothing."""
        for stream in list(self._streams):
            stream.close()
        self._dialer.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    # ---- for Stream ------------------------------------------------------------------------------------

    def next_of(self, stream: Stream) -> Answer | None:
        """Wait for a stream's next answer; None: it has ended by itself."""
        while stream.state.first is None and not stream.state.ended:
            self._wait(self._clock.boot_s() + _LOOK_S)
        if stream.state.first is not None:
            return self._take(stream)
        self.forget(stream)
        if stream.state.error is not None:
            raise stream.state.error
        return None

    def forget(self, stream: Stream) -> None:
        """Look after a stream no more, and say so to the master if it still sends."""
        if stream in self._streams:
            self._streams.remove(stream)
            if not stream.state.ended:
                if stream.state.id:
                    self._send(StopStream(id=stream.state.id))
                stream.state.stop()

    # ---- events ----------------------------------------------------------------------------------------

    def _has_event(self) -> bool:
        return any(stream.state.first is not None or stream.state.ended for stream in self._streams)

    def _next_event(self) -> Event | None:
        ready = [(stream.state.first, stream) for stream in self._streams if stream.state.first is not None]
        if ready:
            stream = min(ready, key=lambda pair: pair[0] or 0)[1]
            return Event(stream, self._take(stream))
        for stream in self._streams:
            if stream.state.ended:
                self.forget(stream)
                return Event(stream, None)
        return None

    def _take(self, stream: Stream) -> Answer:
        answer = stream.state.take()
        self._credit(stream)
        return answer

    def _credit(self, stream: Stream) -> None:
        if not stream.state.ended and (seq := stream.state.credit()):
            self._send(Credit(id=stream.state.id, seq=seq))

    # ---- what arrives ----------------------------------------------------------------------------------

    def _wait(self, deadline_s: float) -> None:
        """Take in what has arrived, waiting for it at most until the deadline or the next look at the streams."""
        wait_s = min(_LOOK_S, max(0.0, deadline_s - self._clock.boot_s()))
        with contextlib.suppress(Empty):
            self._take_in(self._news.get(timeout=wait_s))
            while True:
                self._take_in(self._news.get_nowait())
        self._look_after()

    def _take_in(self, news: _News) -> None:
        if isinstance(news, BaseException):
            raise CicdError(f"the connection to {self._address} died: {news}") from news
        if isinstance(news, tuple) and news and isinstance(news[0], LinkState):
            self._on_link(news[0], str(news[1]))
            return
        for frame in news:
            if isinstance(frame, bytes):
                self._on_message(self._codec.decode(frame))

    def _on_link(self, state: LinkState, detail: str) -> None:
        now_s = self._clock.boot_s()
        self._link = f"{state.value}{': ' if detail else ''}{detail}"
        self._refused = state is LinkState.REFUSED
        pending = self._pending
        if state is LinkState.CONNECTED:
            self._away_s = None
            self._was_connected = True
            if pending:
                self._ask(pending)
        elif self._away_s is None:
            self._away_s = now_s
        if self._away_s is not None and pending and pending.asked and isinstance(pending.call, ONCE):
            pending.error = UnavailableError(
                f"the connection to {self._address} broke before it answered: {type(pending.call).__name__} may or may"
                " not have been done",
                code="unanswered",
                retryable=False,
            )
        for stream in self._streams:
            stream.state.cut(now_s)

    def _on_message(self, message: Wire) -> None:
        now_s = self._clock.boot_s()
        pending = self._pending
        match message:
            case Reply() if pending and pending.id == message.id:
                pending.answer = message.answer
            case Failure() if pending and pending.id == message.id:
                pending.error = from_code(message.code, message.text, retryable=message.retryable)
            case ErrorReply() if pending:
                pending.error = from_code(message.code, f"{self._address} did not understand: {message.text}")
            case Item() | End() | Failure():
                stream = next((s for s in self._streams if s.state.id == message.id and not s.state.ended), None)
                if stream is None:
                    return
                if isinstance(message, Item):
                    self._arrivals += 1
                    stream.state.item(message, self._arrivals, now_s)
                    self._credit(stream)
                elif isinstance(message, End):
                    stream.state.over(now_s)
                else:
                    stream.state.failed(from_code(message.code, message.text, retryable=message.retryable), now_s)
            case _:
                pass  # late: nobody waits for it any more

    # ---- what is sent ----------------------------------------------------------------------------------

    def _look_after(self) -> None:
        """Ask for streams that are not under way, and give up those that have been in trouble for too long."""
        now_s = self._clock.boot_s()
        hopeless = self._is_hopeless()
        for stream in self._streams:
            state = stream.state
            if state.ended:
                continue
            if hopeless:
                state.stop(self._unreachable(self._connect_s))
            elif self._away_s is not None and now_s - self._away_s > self._patience_s:
                state.stop(self._unreachable(self._patience_s))
            elif state.failing_s is not None and now_s - state.failing_s > self._patience_s:
                state.stop(state.failure)
            elif state.is_silent(now_s):
                state.again(now_s, pause_s=0.0)
            if self.is_connected and not state.ended and state.ask_at_s is not None and now_s >= state.ask_at_s:
                if state.id:
                    self._send(StopStream(id=state.id))
                state.asked(self._new_id(), now_s)
                self._send(Request(id=state.id, call=state.position.rest()))

    def _is_hopeless(self) -> bool:
        """Return whether there never was a connection, and the key is refused or tries have failed for too long."""
        if self._was_connected or self._away_s is None or not self._link:
            return False
        return self._refused or self._clock.boot_s() - self._away_s > self._connect_s

    def _ask(self, pending: _Pending) -> None:
        if self.is_connected and pending.error is None:
            pending.asked = True
            self._send(Request(id=pending.id, call=pending.call))

    def _send(self, message: Wire) -> None:
        if self.is_connected:
            self._dialer.send(self._codec.encode(message))

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _unreachable(self, waited_s: float | None = None) -> UnavailableError:
        if self._refused:
            text = f"the master at {self._address} refuses this operator's key: is the operator file of another master?"
        elif self.is_connected:
            text = f"the master at {self._address} has not answered for {waited_s or 0:g} s"
        else:
            why = self._link or "no word from there"
            text = f"no master at {self._address} ({why}; waited {waited_s or 0:g} s): is it running?"
        return UnavailableError(text, code="unreachable")


@dataclass(slots=True)
class _Pending:
    """The call that waits for its answer."""

    call: Call
    id: int
    asked: bool = False
    answer: Answer | None = None
    error: CicdError | None = None
