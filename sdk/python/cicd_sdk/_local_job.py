"""One attempt at a job, run by hand in a process of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from cicd_sdk import _handshake, _outcome, _processes
from cicd_sdk import _messages as m
from cicd_sdk._cancellation import Cancellation
from cicd_sdk._command import flush
from cicd_sdk._context import Context, Git
from cicd_sdk._job import Job
from cicd_sdk._marks import Marks
from cicd_sdk._param import Params
from cicd_sdk._wire import Message, WireError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ASK_AGAIN_S = 0.1
_CHUNK = 65536
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Attempt:
    """A job's process, as its parent sees it.

    Args:
        job: what to run.
        number: from 1.
        workspace: where.
        params: of the run.
        needs: the outputs of the jobs before it.
        git: where the source came from.
    """

    def __init__(
        self,
        job: Job,
        *,
        number: int,
        workspace: Path,
        params: Params,
        needs: Mapping[str, Mapping[str, str]],
        git: Git,
    ) -> None:
        self.job = job
        self.number = number
        self._workspace = workspace
        self._params = params
        self._needs = needs
        self._git = git
        self._temp = Path(tempfile.mkdtemp(prefix=f"{job.name}-"))
        self._pid = 0
        self._pidfd = self._output = self._told = -1
        self._text = bytearray()
        self._result = bytearray()
        self._dead = False
        self._reason = ""
        self._timed_out = False
        self._end_at: float | None = None

    def start(self) -> None:
        """Fork the job's process. This process has one thread."""
        self._output, output = os.pipe()
        self._told, tell = os.pipe()
        # No signal's handler of the parent may run in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        self._pid = os.fork()
        if not self._pid:
            self._be_the_job(output, tell)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        os.close(output)
        os.close(tell)
        for fd in (self._output, self._told):
            os.set_blocking(fd, False)
        self._pidfd = os.pidfd_open(self._pid)
        if self.job.timeout_s:
            self._end_at = time.monotonic() + self.job.timeout_s

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for."""
        return (self._output, self._told, self._pidfd)

    @property
    def deadline(self) -> float | None:
        """When `enforce` has something to do next, on the monotonic clock."""
        if self._reason and self._end_at is not None:
            return min(self._end_at, time.monotonic() + _ASK_AGAIN_S)
        return self._end_at

    def read(self, fd: int) -> bool:
        """Read from a descriptor that is ready; tell whether it is at its end."""
        if fd == self._pidfd:
            self._dead = True
            return True
        data = _read(fd)
        if data:
            (self._text if fd == self._output else self._result).extend(data)
        return data == b""

    def lines(self, *, last: bool = False) -> Iterator[str]:
        """Yield the lines that are complete; with `last`, the rest too."""
        *lines, rest = bytes(self._text).split(b"\n")
        self._text[:] = b"" if last else rest
        for line in [*lines, rest] if last and rest else lines:
            yield line.decode(errors="replace").removesuffix("\r")

    def has_ended(self) -> bool:
        """Tell whether the job's process is dead."""
        return self._dead

    def ask(self, reason: str, grace_s: float) -> None:
        """Ask the job to stop; again when it has been asked already, in case it did not notice."""
        if not self._reason:
            self._reason = reason
            self._end_at = time.monotonic() + grace_s
        _processes.kill([self._pid], signal.SIGTERM)

    def enforce(self, grace_s: float) -> None:
        """Do what the time asks for: stop a job that is over its timeout, kill one that was asked and goes on."""
        over = self._end_at is not None and time.monotonic() >= self._end_at
        if self._reason:
            if over:
                self.kill()
            else:
                self.ask(self._reason, grace_s)
        elif over:
            self._timed_out = True
            self.ask(f"timed out after {self.job.timeout_s:g} s", grace_s)

    def kill(self) -> None:
        """Kill the job and all that it started."""
        if self._pid:
            _processes.kill_session(self._pid)
            _processes.kill([self._pid])  # it may not lead its session yet

    def finish(self) -> m.Result:
        """Clean up after the job's process and return its result."""
        _processes.kill_session(self._pid)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        while data := _read(self._output):
            self._text += data
        while data := _read(self._told):
            self._result += data
        for fd in self.descriptors:
            os.close(fd)
        shutil.rmtree(self._temp, ignore_errors=True)
        return self._conclude(os.waitstatus_to_exitcode(status))

    def _conclude(self, code: int) -> m.Result:
        result: m.Result | None = None
        with suppress(WireError):
            result = m.Result.decode(bytes(self._result)) if self._result else None
        if self._timed_out:
            return _outcome.refused(self._reason, m.FailureKind.TIMEOUT)
        if result is not None:
            return result
        if self._reason:
            return m.Result(status=m.Status.CANCELLED, message=self._reason)
        how = f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return _outcome.refused(f"the job's process {how} before its end", m.FailureKind.CRASH)

    # --- the child

    def _be_the_job(self, output: int, tell: int) -> NoReturn:
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            signal.set_wakeup_fd(-1)
            cancellation = Cancellation()
            cancellation.listen()
            signal.signal(signal.SIGTERM, lambda _signum, _frame: cancellation.request("interrupted", 4.0))
            for signum in (signal.SIGINT, signal.SIGHUP):
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            _handshake.prepare_output()
            result = _outcome.run(self.job, self._context(cancellation), cancellation)
            flush()
            _tell(tell, result.encode())
        except BaseException as error:  # noqa: BLE001 - never back into the parent's code
            _tell(tell, _outcome.failure(error).encode())
        finally:
            os._exit(0)

    def _context(self, cancellation: Cancellation) -> Context:
        workspace = self._workspace
        if self.job.checkout == m.Checkout.EMPTY:
            workspace = self._temp / "workspace"
            workspace.mkdir()
        os.chdir(workspace)
        os.environ["TMPDIR"] = str(self._temp)
        tempfile.tempdir = None
        return Context(
            job=self.job.name,
            sink=LocalSink(),
            cancellation=cancellation,
            run_id="local",
            attempt=self.number,
            workspace=workspace,
            temp_dir=self._temp,
            params=self._params,
            needs=self._needs,
            secrets={name: os.environ[name] for name in self.job.secrets if name in os.environ},
            git=self._git,
            deadline_s=self.job.timeout_s,
        )


class LocalSink:
    """What a job says by hand: it is printed."""

    features = ("outputs", "artifacts", "summary", "mask")

    def __init__(self) -> None:
        marks = Marks("")
        self.log = marks.log
        self.mask = marks.mask
        self.group = marks.group
        self.group_end = marks.group_end

    def event(self, event: Message) -> None:
        """Print what a person wants to see."""
        if isinstance(event, m.Artifact):
            self.log("info", f"artifact: {event.name}")
        elif isinstance(event, m.Summary):
            self.log("info", event.markdown)


def git_of(folder: Path) -> Git:
    """Return where the source in a folder came from, as far as git tells."""

    def ask(*args: str) -> str:
        command = ["git", "-C", str(folder), *args]
        with suppress(OSError):
            told = subprocess.run(command, capture_output=True, text=True, check=False)
            return told.stdout.strip() if told.returncode == 0 else ""
        return ""

    if not (folder / ".git").exists():
        return Git()
    return Git(
        url=ask("remote", "get-url", "origin"),
        ref=ask("symbolic-ref", "--short", "-q", "HEAD"),
        commit=ask("rev-parse", "-q", "--verify", "HEAD"),
    )


_children_before: set[int] = set()


def adopt_orphans() -> None:
    """Become the parent of whatever a job leaves behind."""
    _children_before.update(_processes.children())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_orphans() -> None:
    """Kill and reap every process that came to this one since `adopt_orphans`."""
    deadline = time.monotonic() + 5
    while (pids := set(_processes.children()) - _children_before) and time.monotonic() < deadline:
        for pid in pids:
            _processes.kill([pid])
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _read(fd: int) -> bytes | None:
    """Return what there is: nothing at the end, None when there is nothing yet."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None


def _tell(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
