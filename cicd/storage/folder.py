"""The folder of an LMDB store: made for its owner only, held by one process, and never mistaken for another folder."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from cicd.errors import CicdError, UnavailableError

DATA_FILE = "data.mdb"
LOCK_FILE = "cicd.lock"
_PROBE_FILE = "probe.tmp"

_OURS = frozenset({DATA_FILE, "lock.mdb", LOCK_FILE, _PROBE_FILE, "lost+found"})
"""What a first start that was killed half-way may leave behind, and what a file system puts there."""

_PROBE_BYTES = 16 * 1024 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreFolderError(CicdError):
    """The folder cannot be used as a store; people have to look."""

    code = "store_folder"


class StoreFolder:
    """Holds a folder for this process from construction to `release`.

    LMDB's own locks let several processes write in turn. Two masters on one folder must not even try, so there is
    a lock file beside LMDB's files, locked with flock as long as the process lives.

    Raises:
        UnavailableError: another process holds it.
        StoreFolderError: it cannot be made, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            strangers = sorted({entry.name for entry in path.iterdir()} - _OURS)
            if strangers and not (path / DATA_FILE).exists():
                raise StoreFolderError(
                    f"{path} holds no store but other files ({', '.join(strangers[:3])}): name a folder of its own"
                )
            path.chmod(0o700)
            self._lock_fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFolderError(f"cannot use {path} as the store's folder: {error.strerror}") from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Written right after the lock was taken: for an instant it may be missing or that of the owner before.
            owner = os.pread(self._lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock_fd)
            raise UnavailableError(f"another master uses this data folder (pid {owner}): {path}") from None
        except OSError as error:
            os.close(self._lock_fd)
            raise StoreFolderError(f"cannot lock {path / LOCK_FILE}: {error.strerror}") from error
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, b"%d\n" % os.getpid(), 0)

    def sync(self) -> None:
        """Make the names of new files durable: a file that was synced can still be lost with its name."""
        for folder in (self.path, self.path.parent):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def has_room(self) -> bool:
        """Say whether some more megabytes can be had here.

        LMDB reports a write that a full disk cut short as an I/O error; this tells the one from the other.
        """
        probe = self.path / _PROBE_FILE
        try:
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _PROBE_BYTES)
            finally:
                os.close(fd)
                probe.unlink()
        except OSError as error:
            return error.errno not in _NO_ROOM
        return True

    def release(self) -> None:
        """Let others have it. Calling it again does nothing."""
        if self._lock_fd >= 0:
            os.ftruncate(self._lock_fd, 0)
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)  # a forked child may hold the descriptor too
            os.close(self._lock_fd)
            self._lock_fd = -1
