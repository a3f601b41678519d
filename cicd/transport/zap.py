"""The authenticator: answers ZeroMQ's question for every handshake, "who has this key?", by asking a policy.

One per context, at the address that ZeroMQ fixes, on a thread of its own. Whatever goes wrong is a denial: a policy
that raises, a malformed question. When the thread is stopped or dead, nobody answers, and as all listeners enforce
their domain, nobody gets in.
Source: https://rfc.zeromq.org/spec/27/
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Sequence

import zmq

from cicd.errors import CicdError
from cicd.transport.base import OnDeath
from cicd.transport.curve import KEY_BYTES, to_z85
from cicd.transport.policy import Policy, deny_all
from cicd.transport.wakeup import Wakeup

_ADDRESS = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_QUESTION_FRAMES = 7
"""version, request id, domain, address, routing id, mechanism, key."""


class ZapHandler:
    """Answers from the moment it is made.

    Args:
        context: whose listeners it guards.
        policy: who gets in; nobody until one is given.
        on_death: told when the thread dies.

    Raises:
        CicdError: the context has one already.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        policy: Policy = deny_all,
        on_death: OnDeath | None = None,
    ) -> None:
        self.policy = policy
        """Who gets in; may be replaced at any time, from any thread."""
        self.denied: Counter[str] = Counter()
        """How many handshakes were denied, by domain."""
        self.allowed: Counter[str] = Counter()
        """How many were let in, by domain."""
        self.policy_errors = 0
        """How often the policy raised; each was denied."""
        self._on_death = on_death
        self._closing = False
        self._wake = Wakeup()
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(_ADDRESS)
        except zmq.ZMQError as error:
            self._socket.close()
            self._wake.close()
            raise CicdError(f"cannot answer handshakes: {error.strerror}") from error
        self._thread = threading.Thread(target=self._main, name="cicd-zap")
        self._thread.start()

    def close(self) -> None:
        """Stop: from now on nobody gets in. Again: nothing."""
        self._closing = True
        self._wake.notify()
        self._thread.join()
        self._wake.close()

    def _main(self) -> None:
        death: BaseException | None = None
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001  whatever it is ends the process, by on_death
            death = error
        # At once: a closed socket holds its address until libzmq's own thread comes to it.
        with contextlib.suppress(zmq.ZMQError):
            self._socket.unbind(_ADDRESS)
        self._socket.close()
        if death is not None and self._on_death is not None:
            self._on_death(death)

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake.fileno(), zmq.POLLIN)
        while True:
            self._wake.park()
            if self._closing:
                return
            ready = dict(poller.poll())
            self._wake.unpark(woken=self._wake.fileno() in ready)
            if self._socket in ready:
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def _answer(self, question: Sequence[bytes]) -> list[bytes]:
        request = question[1] if len(question) > 1 else b""
        user: str | None = None
        domain = "?"
        try:
            if len(question) == _QUESTION_FRAMES and question[0] == _VERSION:
                domain = question[2].decode()
                mechanism, key = question[5:]
                if mechanism == b"CURVE" and len(key) == KEY_BYTES:
                    user = self.policy(domain, to_z85(key))
            encoded = (user or "").encode()
        except Exception:  # noqa: BLE001  a policy that fails, in whatever way, has denied
            self.policy_errors += 1
            encoded = b""
        if encoded:
            self.allowed[domain] += 1
            return [_VERSION, request, b"200", b"OK", encoded, b""]
        self.denied[domain] += 1
        return [_VERSION, request, b"400", b"denied", b"", b""]
