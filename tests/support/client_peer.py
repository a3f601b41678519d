"""A scripted master's client socket: speaks the real conversation over the memory transport."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from cicd.client import Client
from cicd.clock import SystemClock
from cicd.codec import Codec
from cicd.messages.base import Wire
from cicd.messages.client import FROM_CLIENT, End, Item, Reply, Request
from cicd.transport.base import Batch, Listener, PeerEvent, PeerId
from cicd.transport.curve import new_keypair
from cicd.transport.factory import Transport
from cicd.transport.memory import MemoryHub
from cicd.transport.policy import CLIENT_DOMAIN, KeyRing

ADDRESS = "memory:client"
Handler = Callable[[Wire], list[Wire]]


class Peer:
    """A master's client socket: answers by a handler, and can go away and come back."""

    def __init__(self, transport: Transport | None = None, address: str = ADDRESS) -> None:
        self.keys = new_keypair()
        self.client_keys = new_keypair()
        ring = KeyRing()
        ring.add(CLIENT_DOMAIN, self.client_keys.public, "alice")
        self.transport = transport or MemoryHub(SystemClock())
        self.transport.set_policy(ring)
        self.address = address
        self.seen: list[Wire] = []
        self.handler: Handler = lambda _: []
        self._codec = Codec(FROM_CLIENT)
        self._listener: Listener | None = None
        self.last: PeerId | None = None
        self._lock = threading.Lock()

    def up(self) -> None:
        self._listener = self.transport.listener(self.address, self.keys, CLIENT_DOMAIN)
        self.address = self._listener.address
        self._listener.start(self._on_batch, self._on_peer, self._on_death)

    def down(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def send(self, *messages: Wire) -> None:
        for message in messages:
            self._listener.send(self.last, Codec(()).encode(message))

    def of(self, kind: type[Wire]) -> list[Wire]:
        with self._lock:
            return [message for message in self.seen if isinstance(message, kind)]

    def requests(self) -> list[Request]:
        return self.of(Request)

    def _on_batch(self, batch: Batch) -> None:
        for delivery in batch:
            message = self._codec.decode(delivery.frame)
            with self._lock:
                self.seen.append(message)
            self.last = delivery.peer
            self.send(*self.handler(message))

    def _on_peer(self, event: PeerEvent) -> None:
        pass

    def _on_death(self, error: BaseException) -> None:
        raise error


def connect(peer: Peer, **settings: Any) -> Client:
    dialer = peer.transport.dialer(peer.address, peer.keys.public, peer.client_keys)
    return Client(dialer, address=peer.address, **settings)


def reply(answer: Wire) -> Handler:
    return lambda message: [Reply(id=message.id, answer=answer)] if isinstance(message, Request) else []


def streaming(*answers: Wire, end: bool = True) -> Handler:
    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request):
            return []
        items = [Item(id=message.id, seq=seq, answer=answer) for seq, answer in enumerate(answers, 1)]
        return [*items, *([End(id=message.id)] if end else [])]

    return handle
