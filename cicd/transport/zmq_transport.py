"""The process's ZeroMQ: one context with its authenticator and, if configured, its tap."""

from __future__ import annotations

import zmq

from cicd.clock import Clock
from cicd.transport.base import OnDeath
from cicd.transport.curve import KeyPair
from cicd.transport.policy import Policy, deny_all
from cicd.transport.tap import TapPublisher
from cicd.transport.zap import ZapHandler
from cicd.transport.zmq_dialer import RECONNECT_S, ZmqDialer
from cicd.transport.zmq_listener import ZmqListener


class ZmqTransport:
    """Makes listeners and dialers that share a context.

    Args:
        clock: of all of them.
        policy: who gets in to the listeners; nobody until one is given.
        tap_address: `ipc://path` of the tap; empty: no tap.
        on_death: told when the authenticator's or the tap's thread dies.

    Raises:
        UserError: the tap cannot be opened.
    """

    def __init__(
        self,
        clock: Clock,
        policy: Policy = deny_all,
        *,
        tap_address: str = "",
        on_death: OnDeath | None = None,
    ) -> None:
        self._clock = clock
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.zap = ZapHandler(self.context, policy, on_death)
        self.tap: TapPublisher | None = None
        if tap_address:
            try:
                self.tap = TapPublisher(self.context, tap_address, clock=clock, on_death=on_death)
            except BaseException:
                self.close()
                raise

    def set_policy(self, policy: Policy) -> None:
        """Replace who gets in; see `Transport`."""
        self.zap.policy = policy

    def listener(self, address: str, server_keys: KeyPair, domain: str, *, name: str = "") -> ZmqListener:
        """Return a listener, bound; see `Transport`."""
        return ZmqListener(
            self.context, address, server_keys, domain, clock=self._clock, tap=self.tap, name=name or "listener"
        )

    def dialer(
        self,
        address: str,
        server_public: str,
        client_keys: KeyPair,
        *,
        name: str = "",
        longest_pause_s: float = RECONNECT_S[1],
    ) -> ZmqDialer:
        """Return a dialer; see `Transport`."""
        return ZmqDialer(
            self.context,
            address,
            server_public,
            client_keys,
            clock=self._clock,
            tap=self.tap,
            name=name or "dialer",
            longest_pause_s=longest_pause_s,
        )

    def name_peer(self, peer: bytes, name: str) -> None:
        """Say to the tap whose routing id this is."""
        if self.tap is not None:
            self.tap.name(peer, name)

    def close(self) -> None:
        """Release everything; frames that closed sockets still try to send get their second. Again: nothing."""
        self.zap.close()
        if self.tap is not None:
            self.tap.close()
        self.context.destroy(linger=0)  # `term` alone would wait for ever for a socket that somebody left open
