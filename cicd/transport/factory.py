"""What makes listeners and dialers: one per process, in memory (`MemoryHub`) or over ZeroMQ (`ZmqTransport`)."""

from __future__ import annotations

from typing import Protocol

from cicd.transport.base import Dialer, Listener
from cicd.transport.curve import KeyPair
from cicd.transport.policy import Policy


class Transport(Protocol):
    """Both transports, to those who use them."""

    def set_policy(self, policy: Policy) -> None:
        """Replace who gets in; holds for every handshake from now on."""
        ...

    def listener(self, address: str, server_keys: KeyPair, domain: str, *, name: str = "") -> Listener:
        """Return a listener, bound.

        Args:
            address: where; a wildcard port is chosen at once.
            server_keys: the pair that dialers pin.
            domain: what the policy is asked with.
            name: in taps: `control`, `bulk`, `client`.

        Raises:
            UserError: it cannot listen there.
        """
        ...

    def dialer(self, address: str, server_public: str, client_keys: KeyPair, *, name: str = "") -> Dialer:
        """Return a dialer; it connects once it is started.

        Args:
            address: of the listener.
            server_public: the listener's key, pinned.
            client_keys: the pair that names us.
            name: in taps.

        Raises:
            UserError: the address or a key is malformed.
        """
        ...

    def name_peer(self, peer: bytes, name: str) -> None:
        """Say to the tap whose routing id this is; an empty name forgets it."""
        ...

    def close(self) -> None:
        """Release what the transport itself holds; its listeners and dialers must be closed before. Again: nothing."""
        ...
