"""The folders of a minion's attempts: where they are, how large they may become, and how long they stay.

    work/JOB/ATTEMPT             of an attempt; its reaper removes it at the end, unless it is to be kept
    work/JOB/ATTEMPT/kept.json   of one that is kept: what it is of, and when it ended
    work.old-*                   what is being removed, by a process of its own: it may be large

Kept are those of failed attempts for a time, or all of them for ever (`jobs.keep_workspaces`).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import structlog

from cicd.clock import Clock
from cicd.core import retention
from cicd.messages.base import Digest, JobId
from cicd.messages.evidence import Cause
from cicd.messages.jobhost import DiskReport, Start
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_result import Verdict
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.disk_watch import DiskWatch
from cicd.plugins.host_settings import HostSettings
from cicd.plugins.journal import Key
from cicd.plugins.place import Place
from cicd.plugins.python_runtime import BOOTSTRAP, INTERPRETER

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

KEPT_FILE = "kept.json"
_SWEEP_S = 2.0
_FINE = (Status.SUCCEEDED, Status.CANCELLED)


class Workspaces:
    """Of one data folder. Needs a running loop.

    Args:
        adopt: takes each helper process that is started, to reap it.
        loaded: returns the plugins that are loaded.
        end: ends a running attempt.
        tell: takes a report for the agent.
    """

    def __init__(
        self,
        folder: DataFolder,
        settings: HostSettings,
        clock: Clock,
        *,
        adopt: Callable[[subprocess.Popen[bytes]], None],
        loaded: Callable[[], tuple[Path, ...]],
        end: Callable[[Key, Verdict], None],
        tell: Callable[[DiskReport], None],
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._adopt = adopt
        self._loaded = loaded
        self._end = end
        self._running: dict[Key, Start] = {}
        self._kept: dict[Key, tuple[str, float]] = {}
        self._sweep_due_boot_s = 0.0
        self._watch = DiskWatch(
            folder.path,
            clock,
            adopt=adopt,
            about=self._about,
            needed=self._needed,
            sized=self._sized,
            report=tell,
            allowed_bytes=settings.minion_quota_bytes,
        )

    @property
    def last_report(self) -> DiskReport | None:
        """What was measured last."""
        return self._watch.last

    def recover(self) -> None:
        """Remove what an earlier jobhost left, but for what it kept."""
        if self._settings.keep_workspaces:
            return
        if not self._settings.failed_workspaces_s:
            if helper := self._folder.clear_work():
                self._adopt(helper)
            return
        doomed: list[Path] = list(self._folder.path.glob("work.old-*"))
        for path in self._folder.work.glob("*/*"):
            key = JobId(path.parent.name), int(path.name) if path.name.isdigit() else 0
            try:
                kept = json.loads((path / KEPT_FILE).read_text(encoding="utf-8"))
                self._kept[key] = (str(kept["pipeline"]), float(kept["ended_s"]))
            except (OSError, ValueError, KeyError, TypeError):
                doomed.append(self._put_aside(path))
        self._remove(doomed)

    def keep_up(self) -> None:
        """Once a second: see to it that sizes are measured, and that nothing is kept for too long."""
        self._watch.keep_up()
        if self._clock.boot_s() >= self._sweep_due_boot_s:
            self._sweep_due_boot_s = self._clock.boot_s() + _SWEEP_S
            self._sweep()

    def place(self, key: Key, start: Start, socket_dir: Path) -> Place:
        """Return where an attempt that begins works."""
        self._running[key] = start
        folder = self._folder.work / key[0] / str(key[1])
        keep = self._settings.keep_workspaces or self._settings.failed_workspaces_s > 0
        return Place(folder=folder, socket_dir=socket_dir, keep=keep)

    def ended(self, key: Key, result: Result) -> None:
        """Decide what becomes of the folder of an attempt that has ended."""
        start = self._running.pop(key, None)
        if start is None or self._settings.keep_workspaces or not self._settings.failed_workspaces_s:
            return
        path = self._path(key)
        if result.status in _FINE:
            self._remove([self._put_aside(path)])
            return
        now = self._clock.wall_s()
        about = {"pipeline": start.run_job.pipeline, "job": start.run_job.name, "ended_s": now}
        try:
            (path / KEPT_FILE).write_text(json.dumps(about), encoding="utf-8")
        except OSError:
            self._remove([self._put_aside(path)])  # a full disk, or nothing was made
        else:
            self._kept[key] = (start.run_job.pipeline, now)

    def close(self) -> None:
        """Stop measuring."""
        self._watch.close()

    def _sweep(self) -> None:
        """Remove what was kept for long enough."""
        for key, (pipeline, ended_s) in list(self._kept.items()):
            idle_s = self._clock.wall_s() - ended_s
            if why := retention.unused_expired(idle_s, self._settings.failed_workspaces_s):
                del self._kept[key]
                self._watch.deleted("workspace", f"{pipeline} {key[0]}.{key[1]}", why, self._watch.size_of(key))
                self._remove([self._put_aside(self._path(key))])

    def _path(self, key: Key) -> Path:
        return self._folder.work / key[0] / str(key[1])

    def _put_aside(self, path: Path) -> Path:
        """Take a folder out of the way at once; return where it is."""
        try:
            aside = self._folder.doomed()
            path.rename(aside)
        except OSError as error:
            log.warning("workspace.stays", path=str(path), error=str(error))
            return path
        with contextlib.suppress(OSError):
            path.parent.rmdir()  # if this was its last attempt
        return aside.parent

    def _remove(self, folders: list[Path]) -> None:
        there = [str(folder) for folder in folders if folder.exists()]
        if there:
            argv = (*INTERPRETER, BOOTSTRAP, "remove", *there)
            self._adopt(subprocess.Popen(argv, stdin=subprocess.DEVNULL, env={}))

    # ---- what the watch asks

    def _about(self, key: Key) -> tuple[str, bool] | None:
        if running := self._running.get(key):
            return running.run_job.pipeline, False
        kept = self._kept.get(key)
        return (kept[0], True) if kept else None

    def _needed(self) -> tuple[Digest, ...]:
        names = {
            Path(folder).name for start in self._running.values() for folder in (start.plugin_dir, start.source_dir)
        }
        return tuple(Digest(name) for name in sorted(names | {path.name for path in self._loaded()}) if name)

    def _sized(self, key: Key, used_bytes: int) -> None:
        why = retention.over_quota(used_bytes, self._settings.job_quota_bytes)
        if why and key in self._running:
            self._end(key, Verdict(Status.FAILED, why, FailureKind.USER, cause=Cause.QUOTA))
