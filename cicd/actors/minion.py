"""Minion: the shell of the agent's core. It feeds `cicd.core.agent` and carries its steps out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec.structs import replace

from cicd.actors.base import Actor, Inbox, Wake
from cicd.actors.crash import Die
from cicd.actors.self_health import SelfHealth
from cicd.clock import Clock
from cicd.codec import Codec
from cicd.core.agent.agent import Agent
from cicd.core.agent.steps import (
    BeatNow,
    Fetch,
    Fetched,
    Joined,
    Leave,
    Level,
    Link,
    LinkChanged,
    Note,
    Step,
    ToHost,
    ToMaster,
)
from cicd.errors import ProtocolError
from cicd.messages.base import ErrorReply, Wire
from cicd.messages.cluster import Load
from cicd.messages.minion import TO_MINION, Beat, Hello, RunJob
from cicd.transport.base import Dialer, LinkState

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LEVELS = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}
_LINKS = {LinkState.CONNECTED: Link.UP, LinkState.REFUSED: Link.REFUSED}


@dataclass(frozen=True, slots=True)
class LinkNews:
    """The control connection's state has changed."""

    state: LinkState
    detail: str


class Minion(Actor):
    """The agent's state towards the master.

    Args:
        inbox: frames, link news, the jobhost's messages, ticks of the heartbeat, fetched things.
        dialer: the control connection.
        tell_host: sends messages to the jobhost.
        fetch: asks the Courier for an attempt's plugin and source; it answers with `Fetched`.
        on_session: called with the session when it is granted (the Courier's greeting needs it).
        on_period: called with the seconds between heartbeats that the master wants.
        hello: what a Hello says of this minion that never changes while it runs.
        load: measures the machine; quick.
        health: judges it.
        leave: ends the agent: exit code and reason.
    """

    def __init__(
        self,
        *,
        inbox: Inbox[object],
        dialer: Dialer,
        tell_host: Callable[..., None],
        fetch: Callable[[RunJob], None],
        on_session: Callable[[int], None],
        on_period: Callable[[float], None],
        hello: Hello,
        load: Callable[[], Load],
        health: SelfHealth,
        clock: Clock,
        leave: Callable[[int, str], None],
        die: Die,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._dialer = dialer
        self._tell_host = tell_host
        self._fetch = fetch
        self._on_session = on_session
        self._on_period = on_period
        self._load = load
        self._health = health
        self._clock = clock
        self._leave = leave
        self._codec = Codec(TO_MINION)
        self._core = Agent(hello, clock.boot_s())

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)

    def on_receive(self, message: Any) -> Any:
        """Take in everything that has come."""
        if isinstance(message, Wake):
            for item in self._inbox.drain():
                self._take(item)

    def _take(self, item: object) -> None:
        event = self._decode(item) if isinstance(item, bytes) else item
        self._health.hear(event)
        if isinstance(event, LinkNews):
            event = LinkChanged(_LINKS.get(event.state, Link.DOWN), event.detail)
        if isinstance(event, LinkChanged | BeatNow | Fetched | Wire):
            for step in self._core.handle(event, self._clock.boot_s()):
                self._carry_out(step)

    def _decode(self, frame: bytes) -> Wire | None:
        try:
            return self._codec.decode(frame)
        except ProtocolError as error:
            log.warning("master.sent_nonsense", code=error.code, error=error.message)
            self._send(ErrorReply(code=error.code, text=error.message))
            return None

    def _send(self, message: Wire, *, urgent: bool = False) -> None:
        if isinstance(message, Hello | Beat):
            load = self._load()
            message = replace(message, load=load, health=self._health.reasons(load))
        if isinstance(message, Beat):
            self._health.sent(message)
        self._dialer.send(self._codec.encode(message), urgent=urgent)

    def _carry_out(self, step: Step) -> None:
        match step:
            case ToMaster(message, urgent):
                self._send(message, urgent=urgent)
            case ToHost(message):
                self._tell_host(message)
            case Fetch(run_job):
                self._fetch(run_job)
            case Joined(session, heartbeat_s):
                self._on_session(session)
                self._on_period(heartbeat_s)
            case Leave(code, why):
                self._leave(code, why)
            case Note(level, event, details):
                log.log(_LEVELS[level], event, **details)
