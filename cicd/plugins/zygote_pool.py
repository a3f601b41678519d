"""The jobhost's side of zygotes: one warm interpreter per plugin, started when it is needed, dropped when it idles.

A zygote that ends, for whatever reason, costs nothing but warmth: attempts that it forked hang on their own control
sockets, a request that it did not take is answered by an end of file there, and the next attempt starts a new one.
An import that does not end is cut off; from then on this plugin's zygotes leave the user's code to their children.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from cicd.plugins.child import control
from cicd.plugins.python_runtime import BOOTSTRAP, INTERPRETER
from cicd.plugins.supervised import Supervised

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PRELOAD_S = 20.0
_DIAGNOSIS_BYTES = 8 * 1024


class Zygote:
    """One zygote's process. Needs a running loop.

    Args:
        artifact_dir: the plugin.
        env: its whole environment.
        preload: whether to import the user's code.
        ended: called when its process has been reaped.
    """

    def __init__(
        self, artifact_dir: Path, env: dict[str, str], *, preload: bool, ended: Callable[[Zygote], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = ended
        self.artifact_dir = artifact_dir
        self.ready = False
        self.attempts = 0
        self._stderr = os.memfd_create("zygote-stderr", os.MFD_CLOEXEC)
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = (*INTERPRETER, BOOTSTRAP, "zygote", str(os.getpid()), str(theirs.fileno()), str(artifact_dir))
        try:
            self._process = subprocess.Popen(
                (*argv, "1" if preload else "0"),
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=(theirs.fileno(),),
                env=env,
                cwd="/",
            )
        except OSError:
            self._link.close()
            os.close(self._stderr)
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._link.setblocking(False)  # noqa: FBT003  the standard library's signature
        self._loop.add_reader(self._pidfd, self._reap)
        self._loop.add_reader(self._link.fileno(), self._hear)

    def fork(self, settings: dict[str, Any], output_fd: int) -> Supervised:
        """Ask for an attempt's processes; `Supervised` tells what became of it.

        Args:
            settings: as `cicd.plugins.child.job` and `zygote` want them.
            output_fd: becomes stdout and stderr; stays ours.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.attempts += 1
        with theirs, contextlib.suppress(OSError):  # an end of file on `ours` tells
            socket.send_fds(self._link, [control.pack(settings)], [output_fd, theirs.fileno()])
        return Supervised(ours)

    def diagnosis(self) -> str:
        """Return the last of what it wrote before it was ready."""
        size = os.fstat(self._stderr).st_size
        return (
            os.pread(self._stderr, _DIAGNOSIS_BYTES, max(0, size - _DIAGNOSIS_BYTES)).decode(errors="replace").strip()
        )

    def drop(self) -> None:
        """Let it end: it takes no more requests."""
        if self._link.fileno() >= 0:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self.drop()

    def _hear(self) -> None:
        try:
            packet = self._link.recv(control.PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self.ready = True
        else:
            self.drop()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()  # its pidfd was readable: this does not block
        self.drop()
        self._ended(self)
        os.close(self._stderr)


class ZygotePool:
    """All zygotes of a jobhost.

    Args:
        idle_s: how long one is kept without an attempt.
        environment: gives the environment of an artifact's zygote.
    """

    def __init__(self, idle_s: float, environment: Callable[[Path], dict[str, str]]) -> None:
        self._idle_s = idle_s
        self._environment = environment
        self._live: dict[Path, Zygote] = {}
        self._processes: dict[int, Zygote] = {}
        self._no_preload: set[Path] = set()
        self._idle: dict[Path, asyncio.TimerHandle] = {}
        self._failures: dict[Path, str] = {}

    @property
    def pids(self) -> set[int]:
        """Process ids of all zygotes that have not been reaped."""
        return set(self._processes)

    def fork(self, artifact_dir: Path, settings: dict[str, Any], output_fd: int, *, fresh: bool = False) -> Supervised:
        """Start an attempt's processes in the zygote of its plugin, which is started if need be.

        Args:
            artifact_dir: the plugin.
            settings: see `Zygote.fork`.
            output_fd: the same.
            fresh: whether to start a new zygote: the one that is there did not take the request.

        Raises:
            OSError: no process can be started.
        """
        if fresh:
            self._drop(artifact_dir)
        zygote = self._live.get(artifact_dir)
        if zygote is None:
            zygote = self._start(artifact_dir)
        if handle := self._idle.pop(artifact_dir, None):
            handle.cancel()
        handle = asyncio.get_running_loop().call_later(self._idle_s, self._drop, artifact_dir)
        self._idle[artifact_dir] = handle
        return zygote.fork(settings, output_fd)

    @property
    def loaded(self) -> tuple[Path, ...]:
        """The plugins that a process has loaded."""
        return tuple({*self._live, *(zygote.artifact_dir for zygote in self._processes.values())})

    def failure(self, artifact_dir: Path) -> str:
        """Return what the last zygote of a plugin said when it ended before it was ready; "" if it did not."""
        return self._failures.get(artifact_dir, "")

    def close(self) -> None:
        """End all zygotes; they are reaped by the loop."""
        for handle in self._idle.values():
            handle.cancel()
        self._idle.clear()
        self._live.clear()
        for zygote in list(self._processes.values()):
            zygote.kill()

    def _start(self, artifact_dir: Path) -> Zygote:
        preload = artifact_dir not in self._no_preload
        zygote = Zygote(artifact_dir, self._environment(artifact_dir), preload=preload, ended=self._ended)
        self._live[artifact_dir] = zygote
        self._processes[zygote.pid] = zygote
        asyncio.get_running_loop().call_later(_PRELOAD_S, self._check_ready, zygote)
        log.info("zygote.started", pid=zygote.pid, plugin=artifact_dir.name, preload=preload)
        return zygote

    def _check_ready(self, zygote: Zygote) -> None:
        if zygote.pid in self._processes and not zygote.ready:
            log.warning("zygote.import_hangs", pid=zygote.pid, plugin=zygote.artifact_dir.name)
            self._no_preload.add(zygote.artifact_dir)
            zygote.kill()

    def _drop(self, artifact_dir: Path) -> None:
        if handle := self._idle.pop(artifact_dir, None):
            handle.cancel()
        if zygote := self._live.pop(artifact_dir, None):
            zygote.drop()

    def _ended(self, zygote: Zygote) -> None:
        self._processes.pop(zygote.pid, None)
        if self._live.get(zygote.artifact_dir) is zygote:
            del self._live[zygote.artifact_dir]
        self._failures[zygote.artifact_dir] = "" if zygote.ready else zygote.diagnosis()
        log.info("zygote.ended", pid=zygote.pid, attempts=zygote.attempts, ready=zygote.ready)
