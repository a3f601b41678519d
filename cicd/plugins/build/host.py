"""The build host: `python -m cicd.plugins.build.host --fd N`, a process of the master with one thread.

    master                       build host
    settings (JSON)        ->
    Build, StopBuild       ->
                           <-    Built | BuildFailed, one for each Build
    end of file            ->    everything is ended, and then this process

One build at a time per pipeline: a newer one ends the older, which is answered with BuildFailed(code `stopped`), as
is one that StopBuild ends. More builds than may run at a time wait for their turn. What an earlier host left half
done in `<data_dir>/tmp` is removed at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

from cicd.clock import Clock, SystemClock
from cicd.codec import Codec
from cicd.errors import CicdError, ProtocolError
from cicd.messages.base import PipelineId, Wire
from cicd.messages.build import TO_BUILD_HOST, Build, BuildFailed, StopBuild
from cicd.plugins.build.pipeline_build import TMP_PREFIX, PipelineBuild
from cicd.plugins.build.settings import BuildSettings, decode_settings
from cicd.plugins.build.step import one_line
from cicd.plugins.framing import LIMIT_BYTES, encode_frame, read_frame


class BuildHost:
    """Runs builds and answers them.

    Args:
        settings: what the master said first.
        writer: where the answers go.
        clock: for times in logs and records.
    """

    def __init__(self, settings: BuildSettings, writer: asyncio.StreamWriter, clock: Clock) -> None:
        self._settings = settings
        self._writer = writer
        self._clock = clock
        self._codec = Codec(TO_BUILD_HOST, LIMIT_BYTES)
        self._turns = asyncio.Semaphore(max(1, settings.max_parallel_builds))
        self._running: dict[PipelineId, tuple[Build, asyncio.Task[Wire]]] = {}
        self._tasks: set[asyncio.Task[Wire]] = set()

    def take(self, frame: bytes) -> None:
        """Take a message.

        Raises:
            ProtocolError: it is none of this conversation.
        """
        message = self._codec.decode(frame)
        if isinstance(message, Build):
            build, _ = self._running.get(message.pipeline, (None, None))
            if build is not None and build.number >= message.number:
                return  # said twice
            self._stop(message.pipeline)
            task = asyncio.create_task(self._build(message))
            self._running[message.pipeline] = (message, task)
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._done, message))
        elif isinstance(message, StopBuild):
            self._stop(message.pipeline)

    async def end(self) -> None:
        """End every build with everything it started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stop(self, pipeline: PipelineId) -> None:
        _, task = self._running.pop(pipeline, (None, None))
        if task is not None:
            task.cancel()

    async def _build(self, build: Build) -> Wire:
        async with self._turns:
            return await PipelineBuild(build, self._settings, self._clock, os.environ).run()

    def _done(self, build: Build, task: asyncio.Task[Wire]) -> None:
        """Answer a build, whatever became of it; a task cancelled before its first step runs nothing of its own."""
        self._tasks.discard(task)
        if self._running.get(build.pipeline, (None, None))[0] is build:
            del self._running[build.pipeline]
        if task.cancelled():
            answer: Wire = _failed(build, "stopped", "stopped")
        elif (bug := task.exception()) is not None:
            answer = _failed(build, "internal", f"{type(bug).__name__}: {bug}")
        else:
            answer = task.result()
        if self._writer.is_closing():
            return
        try:
            frame = self._codec.encode(answer)
        except ProtocolError as error:
            # A pipeline of very many jobs with long texts.
            frame = self._codec.encode(_failed(build, "describe", f"too large a pipeline: {error.message}"))
        self._writer.write(encode_frame(frame))


def _failed(build: Build, code: str, text: str) -> BuildFailed:
    return BuildFailed(pipeline=build.pipeline, number=build.number, code=code, error=one_line(text))


def clean(data_dir: Path) -> None:
    """Remove what builds that were interrupted have left."""
    for path in (data_dir / "tmp").glob(f"{TMP_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


async def serve(sock: socket.socket, clock: Clock) -> None:
    """Serve a master until the end of file.

    Raises:
        ProtocolError: the master said what this conversation does not have.
    """
    reader, writer = await asyncio.open_connection(sock=sock)
    host: BuildHost | None = None
    try:
        first = await read_frame(reader)
        if first is None:
            return
        settings = decode_settings(first)
        clean(Path(settings.data_dir))
        host = BuildHost(settings, writer, clock)
        while (frame := await read_frame(reader)) is not None:
            host.take(frame)
    except ConnectionError:
        return
    finally:
        if host is not None:
            await host.end()
        writer.close()


def main(arguments: list[str] | None = None) -> int:
    """Be the build host."""
    parser = argparse.ArgumentParser(prog="python -m cicd.plugins.build.host")
    parser.add_argument("--fd", type=int, required=True, help="our end of the master's socketpair")
    sock = socket.socket(fileno=parser.parse_args(arguments).fd)
    sock.set_inheritable(False)
    # A terminal's Ctrl-C goes to the whole group; the master ends this process by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(serve(sock, SystemClock()))
    except CicdError as error:
        sys.stderr.write(f"build host: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
