"""A process under a reaper, as seen by the one who had it started (`cicd.plugins.child.control` is what they say).

The control socket is the bond: closing it, by any death of this process, ends the tree.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TypeVar

from cicd.plugins.child import control

T = TypeVar("T")


@dataclass(frozen=True)
class Exit:
    """How a supervised tree ended; nothing of it is left.

    Attributes:
        code: the main process's exit code; None: a signal ended it.
        signal: the number of that signal, or 0.
        cause: who ended it: "" itself, "lease" its deadline, "killed" this process asked, "orphaned" its starter was
            gone, "reaper" the reaper is gone and with it what it knew.
        user_s: processor time of the whole tree.
        system_s: the same, in the kernel.
        max_rss_bytes: memory of the largest process.
    """

    code: int | None = None
    signal: int = 0
    cause: str = ""
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_bytes: int = 0


class Supervised:
    """Speaks with one reaper. Needs a running loop.

    Args:
        link: our end of the control socket; owned from now on.

    Attributes:
        pids: becomes (reaper, main process).
        prepared: becomes the main process's word that its workspace is there; or the reason why not, else "".
        exited: becomes the end of the tree.
        gone: done when the reaper, which may have folders to remove after that, has ended too.
    """

    def __init__(self, link: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        link.setblocking(False)  # noqa: FBT003  the standard library's signature
        self._link = link
        self._loop = loop
        self.pids: asyncio.Future[tuple[int, int]] = loop.create_future()
        self.prepared: asyncio.Future[str] = loop.create_future()
        self.exited: asyncio.Future[Exit] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(link.fileno(), self._readable)

    def set_deadline(self, deadline_boot_s: float) -> None:
        """Tell the reaper the lease; 0: none."""
        control.tell(self._link, {"deadline": deadline_boot_s})

    def terminate(self) -> None:
        """Send SIGTERM to the main process's group."""
        control.tell(self._link, {"term": True})

    def kill(self) -> None:
        """Have the whole tree killed."""
        control.tell(self._link, {"kill": True})

    def close(self) -> None:
        """Let go of the tree; what is left of it is killed."""
        if self._link.fileno() >= 0:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
        self._lost()

    def _readable(self) -> None:
        while True:
            try:
                packet = self._link.recv(control.PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.close()
                return
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._hear(control.unpack(packet))

    def _hear(self, message: dict[str, object]) -> None:
        if "pid" in message:
            self._set(self.pids, (int(str(message["reaper"])), int(str(message["pid"]))))
        elif "prepared" in message:
            self._set(self.prepared, "")
        elif "error" in message:
            self._set(self.prepared, str(message["error"]))
        elif isinstance(report := message.get("exit"), dict):
            self._set(self.exited, Exit(**report))

    def _lost(self) -> None:
        self._set(self.exited, Exit(cause="reaper"))
        self._set(self.prepared, "the process ended before it was ready")
        self._set(self.pids, (0, 0))
        self._set(self.gone, None)

    @staticmethod
    def _set(future: asyncio.Future[T], value: T) -> None:
        if not future.done():
            future.set_result(value)
