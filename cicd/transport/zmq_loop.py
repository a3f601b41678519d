"""The socket loop: the thread that is the only one to touch a socket, how it is woken, how it ends and how it dies.

It ends when `close` is called, or dies of the first exception, a callback's included. Either way it releases the
sockets itself, and a death is then told to `on_death`, whose duty is to end the process.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from cicd.transport.base import Counters, OnDeath
from cicd.transport.wakeup import Wakeup

READ_BATCH = 256
"""Most messages that are handed over in one callback."""
CLOSE_S = 1.0
"""How long what is queued is tried to be sent when a socket is closed."""
_JOIN_S = 10.0


class SocketLoop(ABC):
    """Base of listener and dialer.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self.counters = Counters()
        self._name = name
        self._wake = Wakeup()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._close_lock = threading.Lock()

    def _begin(self, on_death: OnDeath) -> None:
        if self._thread is not None or self._closing:
            raise RuntimeError(f"{self._name}: start is called once")
        self._thread = threading.Thread(target=self._main, args=(on_death,), name=self._name)
        self._thread.start()

    def _main(self, on_death: OnDeath) -> None:
        death: BaseException | None = None
        try:
            self._loop()
        except BaseException as error:  # noqa: BLE001  whatever it is ends the process, by on_death
            death = error
        try:
            self._closing = True
            self._release()
        except BaseException as error:  # noqa: BLE001  the same
            death = death or error
        if death is not None:
            on_death(death)

    @abstractmethod
    def _loop(self) -> None:
        """Work until `_closing`, then send what is queued for at most `CLOSE_S`."""

    @abstractmethod
    def _release(self) -> None:
        """Close all sockets; runs on the loop's thread, or in `close` when there never was one. Again: nothing."""

    def close(self) -> None:
        """End the loop and release everything. Again: nothing.

        Called by the loop's own thread (in a callback) it ends the loop after that callback.
        """
        self._closing = True
        self._wake.notify()
        thread = self._thread
        if thread is threading.current_thread():
            return
        with self._close_lock:
            if thread is None:
                self._release()
            else:
                thread.join(_JOIN_S)
            self._wake.close()
