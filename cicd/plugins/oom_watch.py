"""Counts what the kernel killed for memory, so that a SIGKILL can be told from an out-of-memory kill.

The count is that of the minion's own memory cgroup (version 2: `memory.events`, version 1: `memory.oom_control`), else
the machine's (/proc/vmstat). A kill is one attempt's: what one has been given is not counted for the next.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_BYTES = 1 << 60
"""Version 1 says "no limit" by a huge number."""


@dataclass(frozen=True)
class OomSource:
    """Where kills for memory are counted.

    Attributes:
        scope: "cgroup" or "machine".
        read: returns the count; OSError or ValueError: not now.
        memory_bytes: what may be used there.
    """

    scope: str
    read: Callable[[], int]
    memory_bytes: int


class OomWatch:
    """Hands out kills for memory to attempts.

    Args:
        source: where they are counted; None: nowhere.
    """

    def __init__(self, source: OomSource | None) -> None:
        self._source = source
        self._claimed = 0
        self._start = self._count() or 0

    @property
    def scope(self) -> str:
        """Where they are counted; empty: nowhere."""
        return self._source.scope if self._source is not None else ""

    @property
    def memory_bytes(self) -> int:
        """What may be used there; 0: not known."""
        return self._source.memory_bytes if self._source is not None else 0

    def open_kills(self) -> int:
        """Return how many kills belong to no attempt yet: what an attempt that begins now does not count."""
        count = self._count()
        return 0 if count is None else count - self._start - self._claimed

    def since(self, begin: int) -> int | None:
        """Return how many there were since, without those that were claimed; None: cannot be counted."""
        if self._source is None or self._count() is None:
            return None
        return max(0, self.open_kills() - begin)

    def claim(self, kills: int) -> None:
        """These belong to one attempt: they count for no other."""
        self._claimed += kills

    def _count(self) -> int | None:
        if self._source is None:
            return None
        try:
            return self._source.read()
        except (OSError, ValueError):
            return None


def find_source(root: Path = Path("/")) -> OomSource | None:
    """Return the nearest place where this process's kills for memory are counted; None: there is none."""
    for source in (_cgroup2(root), _cgroup1(root), _machine(root)):
        if source is not None:
            with contextlib.suppress(OSError, ValueError):
                source.read()
                return source
    return None


def _cgroup_path(root: Path, controller: str) -> str:
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            if names == controller or (controller and controller in names.split(",")):
                return path.lstrip("/")
    return ""


def _cgroup2(root: Path) -> OomSource | None:
    path = _cgroup_path(root, "")
    folder = root / "sys/fs/cgroup" / path
    if not path or not (folder / "memory.events").exists():
        return None
    return OomSource(
        "cgroup", lambda: _field(folder / "memory.events", "oom_kill"), _limit(root, folder / "memory.max")
    )


def _cgroup1(root: Path) -> OomSource | None:
    path = _cgroup_path(root, "memory")
    folder = root / "sys/fs/cgroup/memory" / path
    if not path or not (folder / "memory.oom_control").exists():
        return None
    limit = _limit(root, folder / "memory.limit_in_bytes")
    return OomSource("cgroup", lambda: _field(folder / "memory.oom_control", "oom_kill"), limit)


def _machine(root: Path) -> OomSource | None:
    return OomSource("machine", lambda: _field(root / "proc/vmstat", "oom_kill"), _machine_bytes(root))


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} has no {name}")


def _limit(root: Path, path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        limit = int(path.read_text())
        if limit < _UNLIMITED_BYTES:
            return limit
    return _machine_bytes(root)


def _machine_bytes(root: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return 0


def disk_free_bytes(folder: Path) -> int | None:
    """Return what others than root may still write to a folder's disk, were it there; None: cannot be told."""
    while not folder.exists() and folder != folder.parent:  # not made yet, or removed by now
        folder = folder.parent
    try:
        stat = os.statvfs(folder)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize
