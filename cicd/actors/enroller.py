"""Enroller: the master's side of the enrol socket. Turns what minions ask there into the core's events."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cicd.actors.base import Actor, Inbox, Wake
from cicd.actors.crash import Die
from cicd.codec import Codec, UnknownKindError
from cicd.core.events import Event, MinionAskedToEnrol, Origin
from cicd.errors import ProtocolError
from cicd.messages.base import ErrorReply
from cicd.messages.enrol import FROM_JOINER, Enrol
from cicd.transport.base import Delivery, Listener, PeerEvent


class Enroller(Actor):
    """Frames in, events out; the answers go out when the core's decision is stored.

    Args:
        inbox: where the enrol socket's loop puts deliveries and news of peers.
        events: the Scheduler's inbox.
        listener: the enrol socket, for answers to what cannot be understood.
        dropped: counts what was dropped, by reason.
    """

    def __init__(
        self,
        inbox: Inbox[Delivery | PeerEvent],
        events: Inbox[Event],
        listener: Listener,
        dropped: Counter[str],
        die: Die,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._events = events
        self._listener = listener
        self._dropped = dropped
        self._codec = Codec(FROM_JOINER)

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        """Translate everything that has come in."""
        if isinstance(message, Wake):
            found = [self._frame(item) for item in self._inbox.drain() if isinstance(item, Delivery)]
            self._events.put([event for event in found if event is not None])

    def _frame(self, delivery: Delivery) -> Event | None:
        try:
            message = self._codec.decode(delivery.frame)
        except ProtocolError as error:
            self._dropped[error.code] += 1
            kind = error.kind if isinstance(error, UnknownKindError) else ""
            reply = ErrorReply(code=error.code, text=error.message, kind=kind)
            self._listener.send(delivery.peer, self._codec.encode(reply))
            return None
        if not isinstance(message, Enrol):
            return None
        return MinionAskedToEnrol(ask=message, token=delivery.user, origin=Origin(delivery.peer))
