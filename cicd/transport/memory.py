"""Listeners and dialers inside one process, under the contract of the real ones: for tests and clusters in memory.

Theory of operation. A hub knows who listens where. Every listener and every dialer has a thread of its own that runs
its callbacks, and a bounded inbox that others append to; so a callback may send, close, or block, and harms only
itself. All of the hub's state is under one lock, which is never held while a callback runs. A dialer that is not
connected looks every 20 ms for its listener: there is no jitter in memory.
"""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cicd.clock import Clock
from cicd.codec import FRAME_LIMIT_BYTES
from cicd.errors import UserError
from cicd.transport.base import (
    Counters,
    Delivery,
    LinkState,
    OnBatch,
    OnDeath,
    OnFrames,
    OnLink,
    OnPeer,
    PeerEvent,
    PeerId,
    PeerState,
)
from cicd.transport.curve import KeyPair
from cicd.transport.policy import Policy, deny_all
from cicd.transport.tap import Tap

QUEUE_FRAMES = 1000
_RECONNECT_S = 0.02
_JOIN_S = 10.0


class MemoryHub:
    """The network.

    Args:
        clock: gives the time of arrival.
        policy: who gets in; nobody until one is given.
        tap: mirrors what passes.
        queue_limit: most frames that wait for one peer, in either direction.
    """

    def __init__(
        self, clock: Clock, policy: Policy = deny_all, *, tap: Tap | None = None, queue_limit: int = QUEUE_FRAMES
    ) -> None:
        self.clock = clock
        self.policy = policy
        self.tap = tap
        self.queue_limit = queue_limit
        self.lock = threading.Lock()
        self.listeners: dict[str, MemoryListener] = {}
        self._numbers = itertools.count(1)

    def set_policy(self, policy: Policy) -> None:
        """Replace who gets in; see `Transport`."""
        self.policy = policy

    def listener(self, address: str, server_keys: KeyPair, domain: str, *, name: str = "") -> MemoryListener:
        """Return a listener; a `*` in its address becomes a number that is free. See `Transport`."""
        with self.lock:
            address = address.replace("*", str(next(self._numbers)))
            if address in self.listeners:
                raise UserError(f"cannot listen on {address}: address already in use")
            made = MemoryListener(self, address, server_keys, domain, name or "listener")
            self.listeners[address] = made
        return made

    def dialer(self, address: str, server_public: str, client_keys: KeyPair, *, name: str = "") -> MemoryDialer:
        """Return a dialer; see `Transport`."""
        return MemoryDialer(self, address, server_public, client_keys, name or "dialer")

    def name_peer(self, peer: bytes, name: str) -> None:
        """Do nothing: a tap of the memory transport has no names."""

    def cut(self, address: str) -> None:
        """Break every connection of a listener; dialers come back by themselves."""
        with self.lock:
            listener = self.listeners.get(address)
            dialers = list(listener.peers.values()) if listener is not None else []
        for dialer in dialers:
            dialer.unplug()

    def new_peer(self) -> PeerId:
        """Return a name that was never used in this hub."""
        return PeerId(b"m" + next(self._numbers).to_bytes(8, "big"))

    def close(self) -> None:
        """Do nothing: listeners and dialers are closed by themselves."""


class _Endpoint(ABC):
    """A thread that works off an inbox of calls."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.counters = Counters()
        self._hub = hub
        self._name = name
        self._news: deque[Callable[[], None]] = deque()
        self._turn = threading.Condition(hub.lock)
        self._closing = False
        self._thread: threading.Thread | None = None

    def _begin(self, on_death: OnDeath) -> None:
        if self._thread is not None or self._closing:
            raise RuntimeError(f"{self._name}: start is called once")
        self._thread = threading.Thread(target=self._main, args=(on_death,), name=f"cicd-memory-{self._name}")
        self._thread.start()

    def _main(self, on_death: OnDeath) -> None:
        death: BaseException | None = None
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001  whatever it is ends the process, by on_death
            death = error
        self._closing = True
        self._release()
        if death is not None:
            on_death(death)

    @abstractmethod
    def _step(self) -> bool:
        """Wait for work, do it, and return whether to go on."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what the end holds."""

    def close(self) -> None:
        """End; see `Listener.close`."""
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        thread = self._thread
        if thread is None:
            self._release()
        elif thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _count(self, what: str) -> None:
        self.counters.extra[what] = self.counters.extra.get(what, 0) + 1


@dataclass(slots=True)
class _Waiting:
    """What waits in a listener's inbox."""

    delivery: Delivery | None = None
    event: PeerEvent | None = None


class MemoryListener(_Endpoint):
    """See `Listener`; made by `MemoryHub.listener`."""

    def __init__(self, hub: MemoryHub, address: str, keys: KeyPair, domain: str, name: str) -> None:
        super().__init__(hub, name)
        self.address = address
        self.public = keys.public
        self.domain = domain
        self.peers: dict[PeerId, MemoryDialer] = {}
        self._inbox: deque[_Waiting] = deque()
        self._waiting: dict[PeerId, int] = {}

    def start(self, on_batch: OnBatch, on_peer: OnPeer, on_death: OnDeath) -> None:
        """Begin to accept; see `Listener`."""
        self._on_batch = on_batch
        self._on_peer = on_peer
        self._begin(on_death)

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame for a peer; see `Listener`."""
        with self._turn:
            if len(frame) > FRAME_LIMIT_BYTES:
                self._count("dropped_oversize")
                return
            dialer = self.peers.get(peer)
            if dialer is None:
                self.counters.dropped_gone += 1
                self.tell(PeerEvent(peer, PeerState.GONE))
            elif not dialer.take(frame):
                self.counters.dropped_slow += 1
                self.tell(PeerEvent(peer, PeerState.SLOW))
            else:
                self.counters.sent += 1
                if self._hub.tap is not None:
                    self._hub.tap.record(self._name, "out", peer, frame)

    def cut(self, user: str) -> None:
        """End every connection of a user; see `Listener`."""
        with self._turn:
            dialers = [dialer for dialer in self.peers.values() if dialer.user == user]
        for dialer in dialers:
            dialer.unplug()

    def tell(self, event: PeerEvent) -> None:
        """Put news into the inbox; the hub's lock is held."""
        self._inbox.append(_Waiting(event=event))
        self._turn.notify_all()

    def is_full_for(self, peer: PeerId) -> bool:
        """Return whether a peer has as many frames here as may wait; the hub's lock is held."""
        return self._waiting.get(peer, 0) >= self._hub.queue_limit

    def take(self, peer: PeerId, user: str, frame: bytes) -> bool:
        """Put a frame into the inbox unless its peer has too many there; the hub's lock is held."""
        if self.is_full_for(peer):
            return False
        self._waiting[peer] = self._waiting.get(peer, 0) + 1
        self._inbox.append(_Waiting(delivery=Delivery(peer, user, frame, self._hub.clock.boot_s())))
        if self._hub.tap is not None:
            self._hub.tap.record(self._name, "in", peer, frame)
        self._turn.notify_all()
        return True

    def _step(self) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._inbox or self._closing)
            if self._closing:
                return False
            inbox = list(self._inbox)
            self._inbox.clear()
            self._waiting.clear()
            for dialer in self.peers.values():
                dialer.wake()  # it may hold frames back until there is room here
            self.counters.received += sum(1 for waiting in inbox if waiting.delivery is not None)
        for is_event, group in itertools.groupby(inbox, lambda waiting: waiting.event is not None):
            if is_event:
                for waiting in group:
                    if waiting.event is not None:
                        self._on_peer(waiting.event)
            else:
                self._on_batch([waiting.delivery for waiting in group if waiting.delivery is not None])
        return True

    def _release(self) -> None:
        with self._turn:
            if self._hub.listeners.get(self.address) is self:
                del self._hub.listeners[self.address]
            dialers = list(self.peers.values())
        for dialer in dialers:
            dialer.unplug()


class MemoryDialer(_Endpoint):
    """See `Dialer`; made by `MemoryHub.dialer`."""

    def __init__(self, hub: MemoryHub, address: str, server_public: str, keys: KeyPair, name: str) -> None:
        super().__init__(hub, name)
        self._address = address
        self._server_public = server_public
        self._keys = keys
        self._inbox: deque[bytes] = deque()
        self._urgent: deque[bytes] = deque()
        self._normal: deque[bytes] = deque()
        self._listener: MemoryListener | None = None
        self._peer = PeerId(b"")
        self.user = ""
        self._told: tuple[LinkState, str] | None = None
        self._cut = False

    def start(self, on_frames: OnFrames, on_link: OnLink, on_death: OnDeath) -> None:
        """Begin to connect; see `Dialer`."""
        self._on_frames = on_frames
        self._on_link = on_link
        self._begin(on_death)

    def send(self, frame: bytes, *, urgent: bool = False) -> None:
        """Queue a frame; see `Dialer`."""
        with self._turn:
            queue = self._urgent if urgent else self._normal
            if len(frame) > FRAME_LIMIT_BYTES:
                self._count("dropped_oversize")
            elif self._listener is None:
                self.counters.dropped_gone += 1
            elif len(queue) >= self._hub.queue_limit:
                self.counters.dropped_slow += 1
            else:
                queue.append(frame)
                self._turn.notify_all()

    def take(self, frame: bytes) -> bool:
        """Put a frame into the inbox unless it is full; the hub's lock is held."""
        if len(self._inbox) >= self._hub.queue_limit:
            return False
        self._inbox.append(frame)
        self._turn.notify_all()
        return True

    def wake(self) -> None:
        """Look again whether frames can be passed on; the hub's lock is held."""
        self._turn.notify_all()

    def unplug(self) -> None:
        """End the connection, if there is one, and tell both sides."""
        with self._turn:
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.peers.pop(self._peer, None)
                listener.tell(PeerEvent(self._peer, PeerState.GONE))
                self._cut = True
                for queue in (self._urgent, self._normal):
                    self.counters.dropped_gone += len(queue)
                    queue.clear()
                self._turn.notify_all()

    def _step(self) -> bool:
        with self._turn:
            if self._listener is None and not self._cut:
                self._turn.wait_for(lambda: self._inbox or self._closing, timeout=_RECONNECT_S if self._told else 0)
            else:
                self._turn.wait_for(lambda: self._inbox or self._can_forward() or self._cut or self._closing)
            self._forward()
            if self._closing:
                return False
            frames = list(self._inbox)
            self._inbox.clear()
            self.counters.received += len(frames)
            was_cut, self._cut = self._cut, False
        if frames:
            self._on_frames(frames)
        if was_cut:
            self._tell(LinkState.DISCONNECTED, f"connection to {self._address} ended")
        elif self._listener is None:
            self._tell(*self._connect())
        return True

    def _can_forward(self) -> bool:
        waits = self._urgent or self._normal
        return bool(waits) and self._listener is not None and not self._listener.is_full_for(self._peer)

    def _forward(self) -> None:
        """Pass frames on while the other side takes them; the rest stays here, where an urgent one overtakes it."""
        while self._listener is not None and (queue := self._urgent or self._normal):
            if not self._listener.take(self._peer, self.user, queue[0]):
                return
            queue.popleft()
            self.counters.sent += 1

    def _connect(self) -> tuple[LinkState, str]:
        with self._turn:
            listener = self._hub.listeners.get(self._address)
        if listener is None:
            return LinkState.DISCONNECTED, f"nobody answers at {self._address}"
        if listener.public != self._server_public:
            return LinkState.DISCONNECTED, f"{self._address} has another key than the one we expect"
        try:
            user = self._hub.policy(listener.domain, self._keys.public)
        except Exception:  # noqa: BLE001  a policy that fails, in whatever way, has denied
            user = None
        with self._turn:
            if not user:
                listener.counters.denied += 1
                self.counters.denied += 1
                return LinkState.REFUSED, f"{self._address} does not let our key in"
            if self._closing or self._hub.listeners.get(self._address) is not listener:
                return LinkState.DISCONNECTED, f"nobody answers at {self._address}"
            self._listener = listener
            self.user = user
            self._peer = self._hub.new_peer()
            listener.peers[self._peer] = self
        return LinkState.CONNECTED, self._address

    def _tell(self, state: LinkState, detail: str) -> None:
        if self._told != (state, detail):
            self._told = (state, detail)
            self._on_link(state, detail)

    def _release(self) -> None:
        self.unplug()
