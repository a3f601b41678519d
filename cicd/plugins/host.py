"""The host of a go-plugin plugin that is executed: start it, shake hands, call it, end it and everything it started.

    launch -> reaper -> plugin: line on fd 1 -> channel (who listens is checked) -> calls -> close

`close` asks (Shutdown, 1 s), then SIGTERM, then ends the tree; nothing of it is left when it returns. Must run in a
process with one thread: it starts processes. The jobs of a minion use the same parts, but are forked from zygotes
(`attempt.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from grpclib.exceptions import GRPCError, StreamTerminatedError

from cicd.errors import CicdError
from cicd.plugins import child
from cicd.plugins.channel import PluginChannel
from cicd.plugins.child import control
from cicd.plugins.handshake import (
    COOKIE_KEY,
    COOKIE_VALUE,
    PROTOCOL_VERSION,
    SOCKET_DIR_LIMIT_BYTES,
    HandshakeReader,
    PluginError,
    socket_in,
)
from cicd.plugins.output_pipe import OutputPipe
from cicd.plugins.pb import pipeline_pb2
from cicd.plugins.pb.goplugin import GRPCControllerStub
from cicd.plugins.pb.pipeline_grpc import PipelineStub
from cicd.plugins.supervised import Exit, Supervised

CALL_ERRORS = (GRPCError, StreamTerminatedError, OSError, asyncio.TimeoutError, CicdError)
"""What a call to a plugin may raise."""

_SHUTDOWN_S = 1.0
_TERM_S = 1.0
_LAST_LINES = 20


@dataclass(frozen=True)
class PluginCommand:
    """A program to run: argv (found on env's PATH), its whole environment, its working directory."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path


class PluginProcess:
    """A plugin that runs and has said where it listens. Made by `launch`.

    Attributes:
        pid: of the plugin's process.
    """

    def __init__(self, reaper: subprocess.Popen[bytes], tree: Supervised, output: Callable[[bytes], None]) -> None:
        self.pid = 0
        self._reaper = reaper
        self._tree = tree
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)
        self._partial = b""
        self._output = output
        self._channel: PluginChannel | None = None
        self._pipe: OutputPipe | None = None

    async def describe(self, timeout_s: float) -> pipeline_pb2.Description:
        """Ask the plugin what it is.

        Raises:
            PluginError: it did not answer in time, answered with an error, or ended.
        """
        try:
            return await PipelineStub(self._connected()).Describe(pipeline_pb2.DescribeRequest(), timeout=timeout_s)
        except GRPCError as error:
            raise PluginError(error.message or f"Describe failed: {error.status.name}", code="describe") from None
        except CALL_ERRORS as error:
            raise await self._failed(f"Describe failed ({explain(error)})") from None

    async def close(self) -> Exit:
        """End the plugin and everything it started; return how it ended. May be called again."""
        if self._channel is not None:
            if not self._tree.exited.done():
                with contextlib.suppress(*CALL_ERRORS):
                    await GRPCControllerStub(self._channel).Shutdown(Empty(), timeout=_SHUTDOWN_S)
                await wait_done(self._tree.exited, _SHUTDOWN_S)
            self._channel.close()
            self._channel = None
        if not self._tree.exited.done():
            self._tree.terminate()
            await wait_done(self._tree.exited, _TERM_S)
        return await self.kill()

    async def kill(self) -> Exit:
        """End the plugin and everything it started at once."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._tree.kill()
        ended = await self._tree.exited
        self._tree.close()
        if ended.cause == "reaper":
            self._reaper.kill()
        self._reaper.wait()  # it has said its last word: this does not block
        if self._pipe is not None:
            self._pipe.finish()
        return ended

    async def _start(self, socket_dir: Path, timeout_s: float) -> None:
        address: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        reader = HandshakeReader(self._keep)

        def feed(data: bytes) -> None:
            try:
                if reader.feed(data) and not address.done() and reader.address is not None:
                    address.set_result(reader.address)
            except PluginError as error:
                if not address.done():
                    address.set_exception(error)

        pipe = self._pipe
        assert pipe is not None  # noqa: S101  `launch` has set it
        pipe.set_feed(feed)
        done, _ = await asyncio.wait(
            (address, self._tree.exited), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._tree.exited in done:
            pipe.finish()
        if not address.done():
            reader.flush()
            address.cancel()
            raise await self._failed("the plugin did not start" if done else f"no handshake within {timeout_s:g} s")
        path = socket_in(address.result(), socket_dir)
        self.pid = (await self._tree.pids)[1]
        self._channel = PluginChannel(path, self.pid)

    async def _failed(self, text: str) -> PluginError:
        await wait_done(self._tree.exited, _SHUTDOWN_S)
        ended = self._tree.exited.result() if self._tree.exited.done() else None
        if ended is not None and self._pipe is not None:
            self._pipe.finish()
        lines = b"\n".join([*self._last, self._partial]).decode(errors="replace").strip()
        parts = [describe_exit(ended) if ended is not None else "", f"last output:\n{lines}" if lines else ""]
        return PluginError(text, diagnosis="; ".join(part for part in parts if part))

    def _keep(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(b"\n")
        self._partial = self._partial[-4096:]
        self._last.extend(whole)
        self._output(data)

    def _connected(self) -> PluginChannel:
        if self._channel is None:
            raise PluginError("the plugin is closed")
        return self._channel


async def launch(
    command: PluginCommand, *, socket_dir: Path, start_timeout_s: float, output: Callable[[bytes], None]
) -> PluginProcess:
    """Start a plugin and shake hands.

    Args:
        command: what to run.
        socket_dir: an existing folder of mode 0700, of this plugin alone, whose path has at most 90 bytes. Stays.
        start_timeout_s: longest wait for the handshake.
        output: takes what the plugin prints, as it comes, without the handshake's line; called in the loop.

    Raises:
        PluginError: it ended, said something else or nothing. Nothing of it runs any more.
    """
    if len(os.fsencode(socket_dir)) > SOCKET_DIR_LIMIT_BYTES:
        raise PluginError(f"the folder for the socket has more than {SOCKET_DIR_LIMIT_BYTES} bytes: {socket_dir}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe = OutputPipe()
    bootstrap = Path(child.__file__).with_name("bootstrap.py")
    try:
        reaper = subprocess.Popen(  # noqa: ASYNC220  asyncio's own watchers start threads
            (sys.executable, "-I", "-S", str(bootstrap), "run", str(theirs.fileno())),
            stdin=subprocess.DEVNULL,
            stdout=pipe.write_fd,
            stderr=pipe.write_fd,
            pass_fds=(theirs.fileno(),),
            env={},
        )
    except OSError as error:
        ours.close()
        pipe.finish()
        raise PluginError(f"no process could be started: {error}") from None
    finally:
        theirs.close()
        pipe.release_write_end()
    plugin = PluginProcess(reaper, Supervised(ours), output)
    plugin._pipe = pipe  # noqa: SLF001  one object in two steps
    control.tell(ours, {"argv": command.argv, "env": _plugin_env(command.env, socket_dir), "cwd": str(command.cwd)})
    try:
        await plugin._start(socket_dir, start_timeout_s)  # noqa: SLF001  the same
    except BaseException:
        await plugin.kill()
        raise
    return plugin


def _plugin_env(env: dict[str, str], socket_dir: Path) -> dict[str, str]:
    return env | {
        COOKIE_KEY: COOKIE_VALUE,
        "PLUGIN_PROTOCOL_VERSIONS": str(PROTOCOL_VERSION),
        "PLUGIN_UNIX_SOCKET_DIR": str(socket_dir),
        "TMPDIR": str(socket_dir),  # go-plugin 1.0.1 knows only this one
    }


async def wait_done(future: asyncio.Future[Exit], timeout_s: float) -> bool:
    """Wait until a future is done, at most so long; return whether it is. Does not cancel it."""
    await asyncio.wait((future,), timeout=timeout_s)
    return future.done()


def describe_exit(ended: Exit) -> str:
    """Return how a process ended, in words."""
    if ended.cause == "reaper":
        return "its reaper was killed"
    if ended.signal:
        return f"killed by {signal.Signals(ended.signal).name}"
    return f"exit code {ended.code}"


def explain(error: BaseException) -> str:
    """Return what went wrong in a call, in words."""
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(error, GRPCError):
        return f"{error.status.name}: {error.message or ''}".rstrip(": ")
    return str(error) or type(error).__name__


def make_socket_dir(base: Path, name: str) -> Path:
    """Make a folder for one plugin's socket."""
    folder = base / name
    folder.mkdir(mode=0o700)
    return folder


def remove_socket_dir(folder: Path) -> None:
    """Remove such a folder and whatever a plugin left in it."""
    shutil.rmtree(folder, ignore_errors=True)
