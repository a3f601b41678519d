"""What tests of transports share: listeners and dialers that record what they see, over either transport."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from cicd.clock import SystemClock
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, Dialer, LinkState, Listener, PeerEvent, PeerId, PeerState
from cicd.transport.curve import KeyPair, new_keypair
from cicd.transport.factory import Transport
from cicd.transport.policy import KeyRing

DOMAIN = "cicd.minion"
SERVER = new_keypair()
ALICE = new_keypair()
BOB = new_keypair()
STRANGER = new_keypair()
CLOCK = SystemClock()


def ring() -> KeyRing:
    """Return a policy that knows Alice and Bob."""
    keys = KeyRing()
    keys.add(DOMAIN, ALICE.public, "alice")
    keys.add(DOMAIN, BOB.public, "bob")
    return keys


class Server:
    """A listener that keeps what arrives; `reply` answers each frame."""

    def __init__(self, listener: Listener, reply: Callable[[bytes], bytes | None] = lambda _: None) -> None:
        self.listener = listener
        self.batches: list[list[Delivery]] = []
        self.events: list[PeerEvent] = []
        self.deaths: list[BaseException] = []
        self.reply = reply
        listener.start(self._batch, self.events.append, self.deaths.append)

    def _batch(self, batch: Sequence[Delivery]) -> None:
        self.batches.append(list(batch))
        for delivery in batch:
            answer = self.reply(delivery.frame)
            if answer is not None:
                self.listener.send(delivery.peer, answer)

    @property
    def deliveries(self) -> list[Delivery]:
        """All that arrived, in order."""
        return [delivery for batch in list(self.batches) for delivery in batch]

    @property
    def frames(self) -> list[bytes]:
        """All frames that arrived, in order."""
        return [delivery.frame for delivery in self.deliveries]

    def peer(self, user: str) -> PeerId:
        """Return the newest peer of a user, once it has said something."""

        def seen() -> list[PeerId]:
            return [each.peer for each in self.deliveries if each.user == user]

        return wait_until(seen, what=f"a frame from {user}")[-1]

    def wait_frames(self, number: int) -> list[bytes]:
        """Return the frames once there are at least `number`."""
        wait_until(lambda: len(self.frames) >= number, what=f"{number} frames at the listener")
        return self.frames

    def wait_event(self, peer: PeerId, state: PeerState) -> None:
        """Return once this news was told."""
        wait_until(lambda: PeerEvent(peer, state) in self.events, what=f"{state} of {peer!r}")


class Client:
    """A dialer that keeps what arrives. While `gate` is closed, its callback does not return."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self.frames: list[bytes] = []
        self.links: list[tuple[LinkState, str]] = []
        self.deaths: list[BaseException] = []
        self.gate = threading.Event()
        self.gate.set()
        dialer.start(self._frames, lambda state, detail: self.links.append((state, detail)), self.deaths.append)

    def _frames(self, frames: Sequence[bytes]) -> None:
        self.frames.extend(frames)
        self.gate.wait(60)

    @property
    def states(self) -> list[LinkState]:
        """The link's states so far."""
        return [state for state, _ in list(self.links)]

    def wait_state(self, state: LinkState, times: int = 1) -> None:
        """Return once the link has had this state so many times."""
        wait_until(lambda: self.states.count(state) >= times, 20, f"{times} times {state}, saw {self.links}")

    def wait_frames(self, number: int) -> list[bytes]:
        """Return the frames once there are at least `number`."""
        wait_until(lambda: len(self.frames) >= number, 20, f"{number} frames at the dialer")
        return self.frames


class TransportBench:
    """Makes ends over one transport and closes them all.

    Args:
        transport: `MemoryHub` or `ZmqTransport`.
        address: where a listener is bound unless the test says another.
    """

    def __init__(self, transport: Transport, address: str) -> None:
        self.transport = transport
        self.address = address
        self.servers: list[Server] = []
        self.clients: list[Client] = []

    def serve(
        self, reply: Callable[[bytes], bytes | None] = lambda _: None, address: str = "", domain: str = DOMAIN
    ) -> Server:
        """Return a listener that was started."""
        made = Server(self.transport.listener(address or self.address, SERVER, domain), reply)
        self.servers.append(made)
        return made

    def dial(self, server: Server | str, keys: KeyPair = ALICE, server_public: str = SERVER.public) -> Client:
        """Return a dialer that was started."""
        address = server if isinstance(server, str) else server.listener.address
        made = Client(self.transport.dialer(address, server_public, keys))
        self.clients.append(made)
        return made

    def join(self, server: Server, keys: KeyPair = ALICE) -> Client:
        """Return a dialer that is connected."""
        client = self.dial(server, keys)
        client.wait_state(LinkState.CONNECTED)
        return client

    def close(self) -> None:
        """Close everything.

        Raises:
            AssertionError: a socket loop had died.
        """
        for client in self.clients:
            client.gate.set()
            client.dialer.close()
        for server in self.servers:
            server.listener.close()
        self.transport.close()
        deaths = [death for end in self.clients for death in end.deaths]
        deaths += [death for end in self.servers for death in end.deaths]
        if deaths:
            raise AssertionError(f"a socket loop died: {deaths}")
