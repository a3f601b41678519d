"""The jobhost's knowledge of its disk: sizes from a helper process (`child.measure`), made into reports.

The helper works slowly and by itself; here only its lines are read, as they come. If it ends it is started again with
the next pulse. Reports go to the agent when a round has ended and something has changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from cicd.clock import Clock
from cicd.core import retention
from cicd.messages.base import Digest, JobId
from cicd.messages.disk import AttemptDisk, Deletion, DiskUse
from cicd.messages.jobhost import CacheItem, DiskReport
from cicd.plugins.journal import Key
from cicd.plugins.python_runtime import BOOTSTRAP, INTERPRETER

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LINE_LIMIT_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 64 * 1024
_CACHED_LIMIT = 500
_DELETIONS = 10


class DiskWatch:
    """Watches one data folder. Needs a running loop.

    Args:
        folder: the minion's data.
        clock: for the time in reports.
        adopt: takes each helper that is started, to reap it.
        about: returns the pipeline of an attempt and whether it has ended; None: nothing is known of it.
        needed: returns the digests that are in use.
        outgrown: called with an attempt and the bytes that were counted, each time.
        report: takes a report.
        allowed_bytes: what the minion may keep, for the report.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        adopt: Callable[[subprocess.Popen[bytes]], None],
        about: Callable[[Key], tuple[str, bool] | None],
        needed: Callable[[], tuple[Digest, ...]],
        sized: Callable[[Key, int], None],
        report: Callable[[DiskReport], None],
        allowed_bytes: int = 0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._folder = folder
        self._clock = clock
        self._adopt = adopt
        self._about = about
        self._needed = needed
        self._sized = sized
        self._report = report
        self._allowed_bytes = allowed_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._sizes: dict[Key, int] = {}
        self._deletions: tuple[Deletion, ...] = ()
        self.last: DiskReport | None = None

    def keep_up(self) -> None:
        """See to it that the helper runs."""
        if self._process is not None:
            return
        argv = (*INTERPRETER, BOOTSTRAP, "measure", str(self._folder), str(os.getpid()))
        try:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={}, cwd="/")
        except OSError as error:
            log.warning("disk.not_measured", error=str(error))
            return
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        os.set_blocking(self._process.stdout.fileno(), False)
        self._loop.add_reader(self._process.stdout.fileno(), self._readable)
        self._adopt(self._process)

    def close(self) -> None:
        """Let the helper go: it ends with its pipe."""
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            self._loop.remove_reader(process.stdout.fileno())
            process.stdout.close()
            process.kill()

    def deleted(self, kind: str, name: str, reason: str, size_bytes: int = 0) -> None:
        """Note that something was deleted by rule."""
        log.info("disk.deleted", kind=kind, name=name, reason=reason, bytes=size_bytes)
        done = Deletion(at_s=self._clock.wall_s(), kind=kind, name=name, reason=reason, size_bytes=size_bytes)
        self._deletions = (done, *self._deletions)[:_DELETIONS]

    def size_of(self, key: Key) -> int:
        """Return the size of an attempt's folder as far as it is known."""
        return self._sizes.get(key, 0)

    def _readable(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        data = os.read(process.stdout.fileno(), _PIECE_BYTES)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if not data or len(self._buffer) > _LINE_LIMIT_BYTES:
            self._buffer = b""
            self.close()

    def _take(self, message: dict[str, Any]) -> None:
        if "folder" in message:
            job, attempt = message["folder"]
            if attempt.isdigit():
                key = (JobId(job), int(attempt))
                if message["whole"] or message["bytes"] > self._sizes.get(key, 0):
                    self._sizes[key] = message["bytes"]
                self._sized(key, message["bytes"])
        else:
            self._round(message)

    def _round(self, message: dict[str, Any]) -> None:
        there = {(JobId(job), int(attempt)) for job, attempt in message["folders"] if attempt.isdigit()}
        self._sizes = {key: size for key, size in self._sizes.items() if key in there}
        folders = [self._folder_of(key, size) for key, size in self._sizes.items()]
        attempts, pipelines = retention.largest(folders)
        plugins, sources = message["plugin"], message["source"]
        use = DiskUse(
            workspaces=len(folders),
            workspaces_bytes=sum(folder.size_bytes for folder in folders),
            plugins=len(plugins),
            plugins_bytes=sum(size for size, _ in plugins.values()),
            sources=len(sources),
            sources_bytes=sum(size for size, _ in sources.values()),
            spool_bytes=message["spool"],
            allowed_bytes=self._allowed_bytes,
            attempts=attempts,
            pipelines=pipelines,
            deletions=self._deletions,
            measured_s=self._clock.wall_s(),
        )
        cached = [
            CacheItem(kind=kind, digest=Digest(digest), size_bytes=size, used_s=used_s)
            for kind, found in (("plugin", plugins), ("source", sources))
            for digest, (size, used_s) in found.items()
        ]
        cached.sort(key=lambda item: item.used_s)
        self.last = DiskReport(use=use, cached=tuple(cached[:_CACHED_LIMIT]), needed=self._needed())
        self._report(self.last)

    def _folder_of(self, key: Key, size_bytes: int) -> AttemptDisk:
        pipeline, ended = self._about(key) or ("", True)
        return AttemptDisk(job=key[0], attempt=key[1], size_bytes=size_bytes, pipeline=pipeline, ended=ended)
