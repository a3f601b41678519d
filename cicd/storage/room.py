"""Room on the master's disk: a reserve that is used up only by what runs already.

    free >= reserve, ballast there    all is well
    free <  reserve                   low: nothing new is begun; what runs goes on and is stored
    a commit found no room            the ballast, a file of the reserve's size, is removed, which gives that commit its
                                      room; still low until there is space enough to make it again

On a full disk a store cannot even delete (a transaction writes new pages first), so without the ballast nothing could
be cleared away. From any thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import structlog

from cicd.storage.base import StoreFullError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

BALLAST_FILE = "ballast"
_MIB = 1024 * 1024


class Room:
    """The disk of one data folder.

    Args:
        folder: exists.
        reserve_bytes: size of the ballast, and what has to be free beside it for anything new to begin; 0: no reserve
            is kept.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._path = folder / BALLAST_FILE
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._held = False
        with self._lock:
            self._adopt()

    @property
    def held(self) -> bool:
        """Whether the ballast is there."""
        return self._held

    @property
    def total_bytes(self) -> int:
        """How large the disk is."""
        status = os.statvfs(self._folder)
        return status.f_blocks * status.f_frsize

    @property
    def free_bytes(self) -> int:
        """What is free on the disk for this user."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def check(self) -> None:
        """Let pass what begins something new.

        Raises:
            StoreFullError: the disk is nearly full.
        """
        if not self._reserve_bytes:
            return
        with self._lock:
            free = self.free_bytes
            if not self._held and free >= 2 * self._reserve_bytes:
                self._make()
                free = self.free_bytes
            if self._held and free >= self._reserve_bytes:
                return
        raise StoreFullError(
            f"the master's disk is full: {free // _MIB} MiB free in {self._folder}, nothing new is begun; what runs "
            f"goes on. Free space there: it goes on by itself once {2 * self._reserve_bytes // _MIB} MiB are free"
        )

    def release(self) -> bool:
        """Give the ballast's room to a commit that found none; return whether there was a ballast."""
        with self._lock:
            if not self._held:
                return False
            self._path.unlink(missing_ok=True)
            self._held = False
        log.error("disk.ballast_freed", folder=str(self._folder), freed_bytes=self._reserve_bytes)
        return True

    def _adopt(self) -> None:
        """Take over the ballast of an earlier start, or make it; a start on a full disk needs its room at once."""
        with contextlib.suppress(FileNotFoundError):
            if not self._reserve_bytes or self.free_bytes < _MIB or self._path.stat().st_size != self._reserve_bytes:
                self._path.unlink()
            else:
                self._held = True
        if self._reserve_bytes and not self._held and self.free_bytes >= 2 * self._reserve_bytes:
            self._make()

    def _make(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._reserve_bytes)
            finally:
                os.close(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        else:
            self._held = True
