"""MinionRegistry: the master's side of the control socket. Turns frames into the core's events.

A connection is nobody's until the core has accepted its Hello (`Bind`). Before that only Hello is heard; after that
what it says is the bound minion's word and nobody else's, whatever ids a frame claims. A key that is a minion's own
speaks for that minion only, in its Hello too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import structlog

from cicd.actors.base import Actor, Inbox, Wake
from cicd.actors.crash import Die
from cicd.actors.drops import is_news
from cicd.actors.routes import Routes
from cicd.codec import Codec, UnknownKindError
from cicd.core.events import (
    Event,
    MinionBeat,
    MinionDisconnected,
    MinionFinishedJob,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionStartedJob,
    Origin,
)
from cicd.errors import ProtocolError
from cicd.messages.base import ErrorReply, MinionId, Wire
from cicd.messages.minion import FROM_MINION, Beat, Goodbye, Hello, JobFinished, JobStarted
from cicd.transport.base import Delivery, Listener, PeerEvent, PeerState
from cicd.transport.policy import minion_of_user

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class MinionRegistry(Actor):
    """Frames in, events out.

    Args:
        inbox: where the control socket's loop puts deliveries and news of peers.
        events: the Scheduler's inbox.
        listener: the control socket, for answers to what cannot be understood.
        routes: which connection speaks for whom.
        dropped: counts what was dropped, by reason.
    """

    def __init__(
        self,
        inbox: Inbox[Delivery | PeerEvent],
        events: Inbox[Event],
        listener: Listener,
        routes: Routes,
        die: Die,
        *,
        dropped: Counter[str] | None = None,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._events = events
        self._listener = listener
        self._routes = routes
        self._codec = Codec(FROM_MINION)
        self.dropped: Counter[str] = Counter() if dropped is None else dropped

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        """Translate everything that has come in."""
        if isinstance(message, Wake):
            events: list[Event] = []
            for item in self._inbox.drain():
                event = self._peer_event(item) if isinstance(item, PeerEvent) else self._frame(item)
                if event is not None:
                    events.append(event)
            if events:
                self._events.put(events)

    def _peer_event(self, news: PeerEvent) -> Event | None:
        if news.state is not PeerState.GONE:
            return None
        minion = self._routes.unbind(news.peer)
        return MinionDisconnected(minion=minion) if minion is not None else None

    def _frame(self, delivery: Delivery) -> Event | None:
        minion = self._routes.minion_of(delivery.peer)
        try:
            message = self._codec.decode(delivery.frame)
        except ProtocolError as error:
            self.dropped[error.code] += 1
            if minion is not None:
                kind = error.kind if isinstance(error, UnknownKindError) else ""
                self._answer(delivery, ErrorReply(code=error.code, text=error.message, kind=kind))
            return None
        own = minion_of_user(delivery.user)
        claimed = message.minion if isinstance(message, Hello) else minion
        if own is not None and claimed is not None and claimed != own:
            self.dropped["spoofed"] += 1
            if is_news(self.dropped["spoofed"]):
                count, kind = self.dropped["spoofed"], type(message).__name__
                log.warning("minion.spoofed", minion=own, claimed=claimed, kind=kind, count=count)
            return None
        if isinstance(message, Hello):
            return MinionSaidHello(
                hello=message,
                origin=Origin(delivery.peer),
                user=delivery.user,
                received_boot_s=delivery.received_boot_s,
                enrolled=own is not None,
            )
        if minion is None:
            self.dropped["hello_first"] += 1
            if not isinstance(message, ErrorReply):
                text = "this connection speaks for no minion: say Hello"
                self._answer(delivery, ErrorReply(code="hello_first", text=text, kind=type(message).__name__))
            return None
        return self._of_minion(minion, message, delivery)

    def _of_minion(self, minion: MinionId, message: Wire, delivery: Delivery) -> Event | None:
        if isinstance(message, Beat):
            return MinionBeat(minion=minion, beat=message, received_boot_s=delivery.received_boot_s)
        if isinstance(message, JobStarted):
            return MinionStartedJob(minion=minion, started=message)
        if isinstance(message, JobFinished):
            return MinionFinishedJob(minion=minion, finished=message)
        if isinstance(message, Goodbye):
            return MinionSaidGoodbye(minion=minion, goodbye=message)
        if isinstance(message, ErrorReply):
            self.dropped["error_reply"] += 1
            if is_news(count := self.dropped["error_reply"]):
                log.warning(
                    "minion.refused_a_message", minion=minion, code=message.code, kind=message.kind, count=count
                )
        return None

    def _answer(self, delivery: Delivery, message: ErrorReply) -> None:
        self._listener.send(delivery.peer, self._codec.encode(message))
