"""Measures a minion's data folder, in a process of its own and slowly: of its time it uses a tenth at the most.

Lines of JSON on stdout, as soon as there is something to say:

    {"folder": [JOB, ATTEMPT], "bytes": N, "whole": true}   whole: false: so many were counted up to now
    {"round": true, "folders": [[JOB, ATTEMPT], ...], "spool": N, "plugin": {DIGEST: [BYTES, USED_S]}, "source": {...}}

The parent closes the pipe, or ends, and so does this.
"""

# ruff: noqa: PTH118, PTH208  pathlib is not worth its import here

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from . import kernel

_SLICE_S = 0.005
_REST = 9
"""Times as long as it has worked it rests."""
_ROUND_S = 1.0
_PARTIAL_S = 0.5
_BLOCK = 512
"""Of st_blocks."""

_NICE = 19


class Pace:
    """Keeps work to a share of the time."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._began = clock()

    def begin(self) -> None:
        """Begin to work after something else."""
        self._began = self._clock()

    def step(self) -> None:
        """Rest if it is time to."""
        worked = self._clock() - self._began
        if worked >= _SLICE_S:
            self._sleep(worked * _REST)
            self._began = self._clock()


def walk(path: str) -> Iterator[int]:
    """Yield the bytes that the disk has given for each thing below a folder, the folder too; hard links count once.

    What vanishes or cannot be read meanwhile counts nothing. Other file systems below it are left out.
    """
    try:
        top = os.lstat(path)
    except OSError:
        return
    yield top.st_blocks * _BLOCK
    seen: set[int] = set()
    stack = [path]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                        is_folder = entry.is_dir(follow_symlinks=False)
                    except OSError:
                        continue
                    if status.st_dev != top.st_dev:
                        continue
                    if is_folder:
                        stack.append(entry.path)
                    elif status.st_nlink > 1:
                        if status.st_ino in seen:
                            continue
                        seen.add(status.st_ino)
                    yield status.st_blocks * _BLOCK
        except OSError:
            continue


class Meter:
    """Measures rounds.

    Args:
        folder: the minion's data folder.
        pace: holds it back.
        tell: takes what was found.
    """

    def __init__(self, folder: str, pace: Pace, tell: Callable[[dict[str, object]], None]) -> None:
        self._folder = folder
        self._pace = pace
        self._tell = tell
        self._cached: dict[str, int] = {}

    def round(self) -> None:
        """Measure all of it once."""
        self._pace.begin()
        folders = [(job, attempt) for job in self._names("work") for attempt in self._names("work", job)]
        for job, attempt in folders:
            self._measure(job, attempt)
        cache = {kind: self._cache(kind) for kind in ("plugin", "source")}
        self._tell({"round": True, "folders": folders, "spool": self._sum("spool"), **cache})

    def _measure(self, job: str, attempt: str) -> None:
        total, told = 0, time.monotonic()
        key = [job, attempt]
        for size in walk(os.path.join(self._folder, "work", job, attempt)):
            total += size
            self._pace.step()
            if time.monotonic() - told > _PARTIAL_S:
                told = time.monotonic()
                self._tell({"folder": key, "bytes": total, "whole": False})
        self._tell({"folder": key, "bytes": total, "whole": True})

    def _cache(self, kind: str) -> dict[str, tuple[int, float]]:
        """Return size and time of last use of all that is in a cache; what is in it never changes."""
        found: dict[str, tuple[int, float]] = {}
        for digest in self._names("cache", kind):
            if digest.startswith("."):
                continue
            path = os.path.join("cache", kind, digest)
            try:
                used_s = os.lstat(os.path.join(self._folder, path)).st_mtime
            except OSError:
                continue
            if path not in self._cached:
                self._cached[path] = self._sum(path)
            found[digest] = (self._cached[path], used_s)
        gone = set(self._cached) - {
            os.path.join("cache", one, digest) for one in ("plugin", "source") for digest in found
        }
        for path in gone:
            if path.startswith(os.path.join("cache", kind, "")):
                del self._cached[path]
        return found

    def _sum(self, *parts: str) -> int:
        total = 0
        for size in walk(os.path.join(self._folder, *parts)):
            total += size
            self._pace.step()
        return total

    def _names(self, *parts: str) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self._folder, *parts)))
        except OSError:
            return []


def main(folder: str, parent: str) -> NoReturn:
    """Measure again and again."""
    kernel.die_with_parent(int(parent))
    kernel.set_name("cicd-measure")
    os.nice(_NICE)

    def tell(message: dict[str, object]) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except OSError:
            os._exit(0)

    meter = Meter(folder, Pace(), tell)
    while True:
        began = time.monotonic()
        meter.round()
        time.sleep(max(_ROUND_S, _REST * (time.monotonic() - began) / 10))
