"""Joining: how an agent gets the keys that open the master's work sockets, before anything else.

    1. The minion's own pair is made once and kept in its data folder (`minion.key`, mode 0600).
    2. With the pair that is derived from the join token the enrol socket is dialled, and the own public key handed in.
    3. Once the master has it, that is noted (`enrolled`: for which master), and the token is not needed again.

A master of the version before enrolment has no enrol socket: where nobody answers there, the control socket is tried
with the token's own pair, and if that is let in it is used, as that version did.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from cicd.clock import Clock
from cicd.codec import Codec
from cicd.errors import CicdError, ProtocolError, RefusedError
from cicd.messages.base import ErrorReply, Wire
from cicd.messages.enrol import TO_JOINER, Enrol, Enrolled, EnrolRefused
from cicd.messages.minion import Hello
from cicd.transport.base import Dialer, LinkState
from cicd.transport.curve import KeyPair, load_or_create_keys
from cicd.transport.factory import Transport
from cicd.transport.token import JoinToken

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KEY_FILE = "minion.key"
MARK_FILE = "enrolled"

ASK_AGAIN_S = 2.0
REFUSED_AGAIN_S = 5.0
SURE_S = 3.0
"""How long the enrol socket is tried once more where the control socket lets the token in."""
_LOOK_S = 0.5


class GoneError(CicdError):
    """Whoever started this process is gone, or wants its end."""


class Joining:
    """Gets the keys; used by one thread.

    Args:
        transport: makes the dialers.
        token: what the minion joins with.
        control: the master's control address.
        enrol: the master's enrol address.
        hello: says who this minion is.
        folder: the minion's data folder.
        over: whether to give up; asked about twice a second.

    Raises:
        UserError: the minion's own key cannot be read or made.
    """

    def __init__(
        self,
        transport: Transport,
        token: JoinToken,
        *,
        control: str,
        enrol: str,
        hello: Hello,
        folder: Path,
        clock: Clock,
        over: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._token = token
        self._control = control
        self._enrol = enrol
        self._clock = clock
        self._over = over
        self._own = load_or_create_keys(folder / KEY_FILE)
        self._mark = folder / MARK_FILE
        self._codec = Codec(TO_JOINER)
        ask = Enrol(
            minion=hello.minion,
            name=hello.name,
            key=self._own.public,
            hostname=hello.hostname,
            version=hello.version,
        )
        self._frame = self._codec.encode(ask)
        self._turn = threading.Condition()
        self._news: deque[_Link | Wire | BaseException] = deque()
        self._dialer: Dialer | None = None
        self._probe: Dialer | None = None
        self._connected = False
        self._is_older = True  # as long as nothing says otherwise
        self._due_s = 0.0
        self._sure_s: float | None = None
        self._said = ""

    @property
    def is_enrolled(self) -> bool:
        """Whether it is noted that this master has our key."""
        try:
            return self._mark.read_text(encoding="ascii") == self._token.server_public
        except (OSError, ValueError):
            return False

    def forget(self) -> None:
        """Note that the master does not have our key: the next start enrols anew."""
        self._mark.unlink(missing_ok=True)

    def keys(self) -> KeyPair:
        """Return the pair that opens the work sockets; waits until the master has our key.

        Raises:
            RefusedError: the master will not have this minion; the text says why.
            GoneError: `over` said so.
        """
        if self.is_enrolled:
            return self._own
        try:
            self._dial_enrol()
            while True:
                for news in self._wait():
                    if (found := self._take(news)) is not None:
                        return found
                now_s = self._clock.boot_s()
                if self._connected and now_s >= self._due_s and self._dialer is not None:
                    self._due_s = now_s + ASK_AGAIN_S
                    self._dialer.send(self._frame)
                if self._sure_s is not None and now_s >= self._sure_s:
                    log.warning("master.is_older", effect="the join token's own key is used", enrol=self._enrol)
                    return self._token.client_keys()
        finally:
            self._close()

    # ---- what comes in

    def _take(self, news: _Link | Wire | BaseException) -> KeyPair | None:
        match news:
            case BaseException():
                raise news
            case _Link("enrol"):
                self._enrol_link(news)
            case _Link():
                self._probe_link(news)
            case Enrolled():
                self._note()
                log.info("master.enrolled_us")
                return self._own
            case EnrolRefused():
                if not news.retryable:
                    raise RefusedError(f"the master refused this minion: {news.text}")
                self._complain("master.refused_us", news.text)
                self._due_s = self._clock.boot_s() + REFUSED_AGAIN_S
            case ErrorReply():
                raise RefusedError(f"the master cannot enrol this minion: {news.text}")
        return None

    def _enrol_link(self, link: _Link) -> None:
        self._connected = link.state is LinkState.CONNECTED
        if self._connected:
            self._is_older = False
            self._due_s = 0.0
            self._sure_s = None
            self._close_probe()
        elif link.state is LinkState.REFUSED:
            raise RefusedError(f"the master does not know join token {self._token.id}, or it was revoked")
        else:
            self._complain("master.not_reached", link.detail)
            if self._is_older and self._probe is None:
                self._probe = self._dial("control", self._control)

    def _probe_link(self, link: _Link) -> None:
        if link.state is LinkState.REFUSED:
            self._is_older = False
            self._close_probe()
        elif link.state is LinkState.CONNECTED and self._is_older and self._sure_s is None:
            # It may have come up just now: one more attempt at once, not when the dialer's pause is over.
            self._sure_s = self._clock.boot_s() + SURE_S
            self._dial_enrol()

    # ---- dialers

    def _dial_enrol(self) -> None:
        if self._dialer is not None:
            self._dialer.close()
        self._dialer = self._dial("enrol", self._enrol)

    def _dial(self, name: str, address: str) -> Dialer:
        dialer = self._transport.dialer(address, self._token.server_public, self._token.client_keys(), name=name)
        dialer.start(self._on_frames, lambda state, detail: self._put(_Link(name, state, detail)), self._put)
        return dialer

    def _close_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _close(self) -> None:
        self._close_probe()
        if self._dialer is not None:
            self._dialer.close()
            self._dialer = None

    def _on_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            try:
                self._put(self._codec.decode(frame))
            except ProtocolError as error:
                log.warning("master.sent_nonsense", code=error.code, error=error.message)

    def _put(self, news: _Link | Wire | BaseException) -> None:
        with self._turn:
            self._news.append(news)
            self._turn.notify()

    def _wait(self) -> Iterator[_Link | Wire | BaseException]:
        if self._over():
            raise GoneError("nobody waits for this agent any more")
        with self._turn:
            self._turn.wait_for(lambda: self._news, timeout=_LOOK_S)
            news, self._news = self._news, deque()
        yield from news

    def _complain(self, event: str, text: str) -> None:
        # The same every few seconds is no news.
        if self._said != text:
            self._said = text
            log.error(event, reason=text)

    def _note(self) -> None:
        """Keep, over a power loss too, that the master has our key."""
        new = self._mark.with_name(f".{MARK_FILE}.new")
        with new.open("w", encoding="ascii") as file:
            file.write(self._token.server_public)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._mark)


@dataclass(frozen=True)
class _Link:
    name: str
    state: LinkState
    detail: str
