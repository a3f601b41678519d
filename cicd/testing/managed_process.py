"""A process that this one started: its log in a file, its end noticed, and gone at the latest when this one is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cicd.errors import CicdError
from cicd.testing import tether

_TAIL_BYTES = 16 * 1024
_FATAL = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT})


class ProcessEndedError(CicdError):
    """A process ended though it should not have."""

    code = "process_ended"


class ManagedProcess:
    """One program, which can be started again and again.

    It is in a session of its own, so that Ctrl-C on a terminal does not reach it by itself, and is killed by the kernel
    when the thread that called `start` ends.

    Args:
        name: for people.
        command: program (an absolute path) and arguments; or what returns them anew for each start.
        log: file that gets stdout and stderr, appended over all starts.
        folder: its working directory.
        env: its whole environment.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str] | Callable[[], Sequence[str]],
        *,
        log: Path,
        folder: Path,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._folder = folder
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    def start(self) -> int:
        """Start it, unless it runs, and return its pid."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = self._command() if callable(self._command) else self._command
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(tether.__file__), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._env,
                start_new_session=True,
            )
        self._wanted = True
        return self._process.pid

    @property
    def pid(self) -> int:
        """Its pid.

        Raises:
            ProcessEndedError: it does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise ProcessEndedError(f"{self.name} does not run")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_died(self) -> bool:
        """Whether it has ended though nobody here asked it to. Exit code 0 is no death: somebody else has asked it."""
        ended = self._process.poll() if self._process is not None else 1
        return self._wanted and ended is not None and ended != 0

    def check(self) -> None:
        """Do nothing while all is well.

        Raises:
            ProcessEndedError: it has died; the text holds how, and the last lines of its log.
        """
        if self.has_died:
            raise ProcessEndedError(f"{self.name} ended {self.ending()}; its last words ({self.log}):\n{self.tail()}")

    def ending(self) -> str:
        """Return in words how it ended."""
        code = self._process.poll() if self._process else None
        if code is None:
            return "not yet"
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return "(it has no log)"
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (nothing)"

    def kill(self, sig: int = signal.SIGKILL, timeout_s: float = 10.0) -> None:
        """Send a signal; of one that ends processes, wait for the end. One that does not run is no error.

        Raises:
            ProcessEndedError: code `still_there`: it has not ended in time.
        """
        if self._process is None:
            return
        if sig in _FATAL:
            self._wanted = False
        if self._process.poll() is None:
            self._process.send_signal(sig)
        if sig in _FATAL:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise ProcessEndedError(f"{self.name} has not ended for {timeout_s:g} s", code="still_there") from None

    def request_end(self) -> None:
        """Ask it to end, and do not wait."""
        self._wanted = False
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)  # a stopped process cannot hear

    def end(self, timeout_s: float) -> bool:
        """Ask it to end, kill it when it has not after `timeout_s`; return whether it ended by itself."""
        self.request_end()
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        return True
