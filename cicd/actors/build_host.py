"""The master's end of its build host: a child process that was started while the master still had one thread."""

from __future__ import annotations

import socket
import subprocess

from cicd.actors.base import Inbox
from cicd.actors.crash import Die
from cicd.actors.local_link import LocalLink
from cicd.messages.base import Wire
from cicd.messages.build import TO_COMPILER

_END_S = 10.0


class BuildHost:
    """Sends builds, and hands what comes back to the compiler's inbox.

    Args:
        process: the build host.
        sock: our end of its socketpair.
        die: called when it ends unasked.
    """

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, inbox: Inbox[Wire], die: Die) -> None:
        self._process = process
        self._link = LocalLink(sock, TO_COMPILER, "build host", inbox.put, lambda error: die("build host", error))

    def start(self) -> None:
        """Begin to listen."""
        self._link.start()

    def send(self, message: Wire) -> None:
        """Say something to the build host."""
        self._link.send(message)

    def close(self) -> None:
        """End the build host with everything it runs."""
        self._link.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
