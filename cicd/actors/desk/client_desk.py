"""ClientDesk: the master's side of the client socket. Answers people's calls and keeps their streams going.

What is stored is read here, through views of its own; what has to be decided goes to its owner (runs and minions: the
Scheduler; pipelines: the PipelineCompiler) and is answered when it is durable. How each call is answered stands in
`calls.py` and the files it names, what streams show in `streams.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from cicd.actors.archive import LogNews
from cicd.actors.base import Actor, Inbox, Tick, Wake
from cicd.actors.crash import Die
from cicd.actors.desk.calls import Calls
from cicd.actors.desk.streams import Stream
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.codec import Codec, UnknownKindError
from cicd.core.events import Asker
from cicd.core.plan import Plan
from cicd.core.plan import Reply as CoreReply
from cicd.errors import CicdError, ProtocolError, UnavailableError
from cicd.messages.base import PROTOCOL_VERSION, ErrorReply, Wire
from cicd.messages.client import (
    FROM_CLIENT,
    STREAM_IDLE_S,
    STREAM_WINDOW,
    Answer,
    Credit,
    End,
    Failure,
    Item,
    Reply,
    Request,
    StopStream,
)
from cicd.messages.pipeline import PipelineRecord
from cicd.transport.base import Delivery, Listener, PeerEvent, PeerId, PeerState

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

TICK_S = 0.1
MAX_STREAMS_OF_PEER = 20_000


@dataclass(slots=True)
class _Open:
    """A stream on its way: what was sent, what the client has consumed."""

    stream: Stream
    peer: PeerId
    id: int
    sent: int = 0
    acked: int = 0
    heard_boot_s: float = 0.0


News = Delivery | PeerEvent | CoreReply | Plan | LogNews | PipelineRecord


class ClientDesk(Actor):
    """Calls in, answers out.

    Args:
        inbox: deliveries and news of peers from the socket loop, replies and saved plans from the Scheduler, news of
            logs from the
            Archive, ended builds from the PipelineCompiler.
        calls: answers calls.
        dropped: counts what was dropped, by reason.
    """

    def __init__(
        self,
        inbox: Inbox[News],
        listener: Listener,
        calls: Calls,
        clock: Clock,
        die: Die,
        *,
        dropped: Counter[str] | None = None,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._listener = listener
        self._calls = calls
        self._clock = clock
        self._codec = Codec(FROM_CLIENT)
        self._streams: dict[tuple[PeerId, int], _Open] = {}
        self._pending: dict[Asker, tuple[PeerId, int, Callable[[Any], Answer]]] = {}
        self._askers = 0
        self._ticker: Ticker | None = None
        self.dropped: Counter[str] = Counter() if dropped is None else dropped

    def on_start(self) -> None:
        """Open the desk."""
        self._inbox.attach(self.actor_ref)
        self._ticker = Ticker(self.actor_ref, TICK_S, "desk")
        self._ticker.start()

    def on_stop(self) -> None:
        """Close the desk."""
        if self._ticker is not None:
            self._ticker.stop()

    def on_receive(self, message: Any) -> Any:
        """Take a batch of news, then move every stream that it concerns."""
        if isinstance(message, Wake):
            touched: dict[tuple[PeerId, int], None] = {}
            for item in self._inbox.drain():
                self._take(item, touched)
            for key in touched:
                self._pump(key)
        elif isinstance(message, Tick):
            self._tick()

    def _take(self, item: News, touched: dict[tuple[PeerId, int], None]) -> None:
        if isinstance(item, Delivery):
            self._frame(item, touched)
        elif isinstance(item, PeerEvent):
            if item.state is PeerState.GONE:
                self._forget(item.peer)
        elif isinstance(item, CoreReply):
            self._core_reply(item)
        else:
            for key, opened in self._streams.items():
                if opened.stream.notice(item):
                    touched[key] = None

    def _tick(self) -> None:
        now = self._clock.boot_s()
        for key, opened in list(self._streams.items()):
            if opened.sent > opened.acked and now - opened.heard_boot_s > STREAM_IDLE_S:
                del self._streams[key]
                self._fail(opened.peer, opened.id, CicdError("the stream was not read", code="idle", retryable=True))
            elif opened.stream.polls:
                self._pump(key)

    # ---- frames

    def _frame(self, delivery: Delivery, touched: dict[tuple[PeerId, int], None]) -> None:
        peer = delivery.peer
        try:
            message = self._codec.decode(delivery.frame)
        except ProtocolError as error:
            self.dropped[error.code] += 1
            kind = error.kind if isinstance(error, UnknownKindError) else ""
            self._send(peer, ErrorReply(code=error.code, text=error.message, kind=kind))
            return
        if isinstance(message, Request):
            self._request(peer, delivery.user, message, touched)
        elif isinstance(message, Credit):
            opened = self._streams.get((peer, message.id))
            if opened is not None:
                opened.acked = max(opened.acked, min(message.seq, opened.sent))
                opened.heard_boot_s = self._clock.boot_s()
                touched[peer, message.id] = None
        elif isinstance(message, StopStream):
            self._streams.pop((peer, message.id), None)

    def _request(self, peer: PeerId, user: str, request: Request, touched: dict[tuple[PeerId, int], None]) -> None:
        try:
            if request.protocol != PROTOCOL_VERSION:
                raise ProtocolError(f"this master speaks protocol {PROTOCOL_VERSION}, you {request.protocol}")
            asker = self._next_asker()
            answer = self._calls.answer(request.call, user, asker)
        except CicdError as error:
            self._fail(peer, request.id, error)
            return
        except OSError as error:
            # The disk, most likely: nothing else of a call touches the system.
            log.exception("call.failed", call=type(request.call).__name__, error=str(error))
            self._fail(peer, request.id, UnavailableError(f"the master's disk: {error}", code="disk"))
            return
        if isinstance(answer, Stream):
            if sum(key[0] == peer for key in self._streams) >= MAX_STREAMS_OF_PEER:
                self._fail(peer, request.id, ProtocolError("too many streams on one connection"))
                return
            opened = _Open(stream=answer, peer=peer, id=request.id, heard_boot_s=self._clock.boot_s())
            self._streams[peer, request.id] = opened
            touched[peer, request.id] = None
        elif callable(answer):
            self._pending[asker] = (peer, request.id, answer)
        else:
            self._send(peer, Reply(id=request.id, answer=answer))

    def _next_asker(self) -> Asker:
        self._askers += 1
        return Asker(self._askers)

    def _core_reply(self, reply: CoreReply) -> None:
        waiting = self._pending.pop(reply.asker, None)
        if waiting is None:
            return
        peer, request_id, render = waiting
        if isinstance(reply.result, CicdError):
            self._fail(peer, request_id, reply.result)
            return
        try:
            self._send(peer, Reply(id=request_id, answer=render(reply.result)))
        except CicdError as error:
            self._fail(peer, request_id, error)

    def _forget(self, peer: PeerId) -> None:
        for key in [key for key in self._streams if key[0] == peer]:
            del self._streams[key]

    # ---- streams

    def _pump(self, key: tuple[PeerId, int]) -> None:
        """Send of a stream what there is, as far as the client's credit goes."""
        opened = self._streams.get(key)
        if opened is None:
            return
        try:
            while opened.sent - opened.acked < STREAM_WINDOW:
                answer = opened.stream.next()
                if answer is None:
                    if opened.stream.ended:
                        del self._streams[key]
                        self._send(opened.peer, End(id=opened.id))
                    return
                if opened.sent == opened.acked:
                    opened.heard_boot_s = self._clock.boot_s()
                opened.sent += 1
                self._send(opened.peer, Item(id=opened.id, seq=opened.sent, answer=answer))
        except CicdError as error:
            self._streams.pop(key, None)
            self._fail(opened.peer, opened.id, error)

    def _fail(self, peer: PeerId, id_: int, error: CicdError) -> None:
        self._send(peer, Failure(id=id_, code=error.code, text=error.message, retryable=error.retryable))

    def _send(self, peer: PeerId, message: Wire) -> None:
        self._listener.send(peer, self._codec.encode(message))
