"""Heartbeat actors of both sides.

The master's `HeartbeatMonitor` lets time pass for the core, which judges silence. The minion's `Heartbeat` beats,
urgently, as long as its jobhost is alive too: an agent must not keep a lease for a jobhost that hangs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from cicd.actors.base import Actor, Inbox, Tick
from cicd.actors.crash import Die
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.core.events import Event, Ticked

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MONITOR_PERIOD_S = 0.25
STALL_S = 2.0
"""A tick this late is worth a line in the log."""


class HeartbeatMonitor(Actor):
    """Puts `Ticked` into the Scheduler's inbox, a few times a second, and says when the master itself stood still."""

    def __init__(self, events: Inbox[Event], clock: Clock, die: Die, period_s: float = MONITOR_PERIOD_S) -> None:
        super().__init__(die)
        self._events = events
        self._clock = clock
        self._period_s = period_s
        self._last_boot_s = clock.boot_s()
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Let time pass."""
        self._ticker = Ticker(self.actor_ref, self._period_s, "monitor")
        self._ticker.start()

    def on_stop(self) -> None:
        """Stop time."""
        if self._ticker is not None:
            self._ticker.stop()

    def on_receive(self, message: Any) -> Any:
        """Pass a tick on."""
        if isinstance(message, Tick):
            now = self._clock.boot_s()
            if now - self._last_boot_s > STALL_S:
                log.warning("master.stood_still", seconds=round(now - self._last_boot_s, 1))
            self._last_boot_s = now
            self._events.put([Ticked()])


class Heartbeat(Actor):
    """Calls `beat` every `period_s`, on a thread that nothing else keeps busy.

    Args:
        beat: sends one heartbeat; quick, never blocks.
        period_s: seconds between beats; may be changed by telling a float.
    """

    def __init__(self, beat: Callable[[], None], period_s: float, die: Die) -> None:
        super().__init__(die)
        self._beat = beat
        self._period_s = period_s
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Begin to beat."""
        self._ticker = Ticker(self.actor_ref, self._period_s, "heartbeat")
        self._ticker.start()

    def on_stop(self) -> None:
        """Stop beating."""
        if self._ticker is not None:
            self._ticker.stop()

    def on_receive(self, message: Any) -> Any:
        """Beat, or take a new period."""
        if isinstance(message, Tick):
            self._beat()
        elif isinstance(message, float) and message != self._period_s:
            self._period_s = message
            if self._ticker is not None:
                self._ticker.stop()
            self._ticker = Ticker(self.actor_ref, message, "heartbeat")
            self._ticker.start()
