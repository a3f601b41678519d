"""Retention of the master's files: plugins, source trees and mirrors that nothing uses, and old build logs.

What is in use is touched in every round, so a file's time says when something last used it: what a pipeline has in
service, what an active run is pinned to. Nothing goes while a build is under way, which may be about to use what lies
there already.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from cicd.clock import Clock
from cicd.core.retention import unused_expired
from cicd.messages.base import PipelineId
from cicd.messages.disk import Deletion
from cicd.messages.pipeline import PipelineRecord
from cicd.storage.base import Storage
from cicd.storage.records import Records

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PAGE = 50


class FileKeeper:
    """Deletes files by rule.

    Args:
        data_dir: the master's.
        plugins_age_s: since a plugin or source tree was last in use; 0: they stay.
        mirrors_age_s: the same of repositories.
        builds_keep: newest build logs of each pipeline; 0: all.
        note: stores a deletion.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        data_dir: Path,
        *,
        plugins_age_s: float,
        mirrors_age_s: float,
        builds_keep: int,
        note: Callable[[Deletion], None],
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._data_dir = data_dir
        self._plugins_age_s = plugins_age_s
        self._mirrors_age_s = mirrors_age_s
        self._builds_keep = builds_keep
        self._note = note

    def steps(self) -> Iterator[None]:
        """Carry the rules out once; each `next` is one small step."""
        used: dict[str, set[str]] = {"plugin": set(), "source": set(), "mirror": set()}
        pipelines: set[PipelineId] = set()
        for pipeline in self._pipelines():
            if pipeline is None:
                yield
                continue
            pipelines.add(pipeline.id)
            used["plugin"].add(pipeline.plugin or "")
            used["source"].add(pipeline.source_digest or "")
            used["mirror"].add(_mirror(pipeline))
        for run in Records(self._storage).active_runs():
            used["plugin"].add(run.plugin)
            used["source"].add(run.source_digest)
        if self._plugins_age_s:
            yield from self._unused("plugin", self._data_dir / "plugins", used["plugin"], self._plugins_age_s)
            yield from self._unused("source", self._data_dir / "sources", used["source"], self._plugins_age_s)
        if self._mirrors_age_s:
            yield from self._unused("mirror", self._data_dir / "repositories", used["mirror"], self._mirrors_age_s)
        if self._builds_keep:
            yield from self._builds(pipelines)

    def _pipelines(self) -> Iterator[PipelineRecord | None]:
        """Yield all pipelines, with None after each page."""
        after = ""
        while page := Records(self._storage).pipelines(after, _PAGE):
            yield from page
            yield None
            after = page[-1].name

    def _unused(self, kind: str, folder: Path, used: set[str], age_s: float) -> Iterator[None]:
        for path in _entries(folder):
            name = path.name.removesuffix(".tar")
            if path.name.endswith(".lock") or path.name.startswith("."):
                continue
            now = self._clock.wall_s()
            with contextlib.suppress(OSError):
                if name in used:
                    os.utime(path, (now, now))
                elif (why := unused_expired(now - path.stat().st_mtime, age_s)) and self._may_go(kind, name):
                    size = _size(path)
                    if kind != "mirror":
                        _remove(path)
                    elif not _remove_mirror(path):
                        continue
                    self._deleted(kind, name[:12], why, size)
            yield

    def _may_go(self, kind: str, name: str) -> bool:
        """Look again: a round takes a while, and a run or a build may have come to need this meanwhile."""
        found = Records(self._storage)
        if found.building():
            return False
        pinned = [{"plugin": run.plugin, "source": run.source_digest}.get(kind) for run in found.active_runs()]
        in_service = [
            {"plugin": pipeline.plugin, "source": pipeline.source_digest, "mirror": _mirror(pipeline)}[kind]
            for pipeline in self._pipelines()
            if pipeline is not None
        ]
        return name not in pinned and name not in in_service

    def _builds(self, pipelines: set[PipelineId]) -> Iterator[None]:
        for folder in _entries(self._data_dir / "builds"):
            logs = sorted((path for path in _entries(folder) if path.stem.isdigit()), key=lambda path: -int(path.stem))
            for path in logs[self._builds_keep :] if folder.name in pipelines else logs:
                size = _size(path)
                path.unlink(missing_ok=True)
                why = f"the newest {self._builds_keep} are kept" if folder.name in pipelines else "its pipeline is gone"
                self._deleted("build log", f"{folder.name}/{path.stem}", why, size)
                yield
            if folder.name not in pipelines:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            yield

    def _deleted(self, kind: str, name: str, why: str, size_bytes: int) -> None:
        log.info("disk.deleted", kind=kind, name=name, reason=why, bytes=size_bytes)
        deletion = Deletion(at_s=self._clock.wall_s(), kind=kind, name=name, reason=why, size_bytes=size_bytes)
        self._note(deletion)


def _mirror(pipeline: PipelineRecord) -> str:
    return hashlib.sha256(pipeline.source.repository.encode()).hexdigest()


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.lstat().st_size for file in path.rglob("*"))
    return path.stat().st_size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_mirror(path: Path) -> bool:
    """Remove a mirror unless a build holds it; return whether it is gone."""
    with path.with_name(f"{path.name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        shutil.rmtree(path, ignore_errors=True)
    return True
