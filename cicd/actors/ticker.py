"""A timer for actors: pykka has none."""

from __future__ import annotations

import threading
from typing import Any

import pykka

from cicd.actors.base import Tick


class Ticker:
    """Tells an actor `Tick` every `period_s` seconds from a thread of its own, until stopped.

    A tick that finds the one before it still unread is left out, so that a busy actor is not buried.
    """

    def __init__(self, actor: pykka.ActorRef[Any], period_s: float, name: str) -> None:
        self._actor = actor
        self._period_s = period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"ticker-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread is gone."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            if not self._actor.actor_inbox.empty():
                continue
            try:
                self._actor.tell(Tick())
            except pykka.ActorDeadError:
                return
