"""A minion's data folder: who may use it, what is in it, and what an earlier jobhost left lying about.

lock          held by the one jobhost of this folder
minion_id     made once
journal       see `journal.py`
spool/        see `spool.py`
work/         folders of attempts: JOB/ATTEMPT/{ws,tmp,home}
sockets       a symlink to the folder of the plugins' sockets, which has to have a short path and so lies elsewhere
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cicd.errors import RefusedError
from cicd.ids import IdSource
from cicd.plugins.child.workspace import remove_tree
from cicd.plugins.handshake import SOCKET_DIR_LIMIT_BYTES
from cicd.plugins.python_runtime import BOOTSTRAP, INTERPRETER

_SOCKETS_PREFIX = "cicd-"
_NUMBER_BYTES = 11


class DataFolder:
    """The folder of one minion, locked for this process.

    Args:
        path: made if it is not there.
        env: tells where short-lived sockets may go (`XDG_RUNTIME_DIR`, `TMPDIR`).

    Raises:
        RefusedError: another minion uses it.
        OSError: it cannot be used.
    """

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.path = path
        self._env = env
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RefusedError(f"{path} is in use by another minion") from None
        self.sockets: Path | None = None

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal"

    @property
    def spool(self) -> Path:
        """The folder of logs."""
        return self.path / "spool"

    @property
    def work(self) -> Path:
        """The folder of the attempts' folders."""
        return self.path / "work"

    def minion_id(self, ids: IdSource) -> str:
        """Return the minion's id; the first call ever makes it."""
        file = self.path / "minion_id"
        if not file.exists():
            new = file.with_suffix(".new")
            with new.open("w", encoding="ascii") as stream:
                stream.write(f"{ids.new()}\n")
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(file)
        return file.read_text(encoding="ascii").strip()

    def make_sockets(self) -> Path:
        """Remove the socket folder of an earlier jobhost and make a new one, of mode 0700 and with a short path.

        Raises:
            OSError: there is no place for it.
        """
        link = self.path / "sockets"
        self._remove_sockets(link)
        for base in (self._env.get("XDG_RUNTIME_DIR", ""), self._env.get("TMPDIR", ""), "/tmp"):  # noqa: S108  mkdtemp's is private
            if base and Path(base).is_dir() and len(os.fsencode(base)) < SOCKET_DIR_LIMIT_BYTES - 16 - _NUMBER_BYTES:
                self.sockets = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX, dir=base))
                break
        else:
            raise FileNotFoundError("no folder with a short path for sockets: set TMPDIR")
        link.symlink_to(self.sockets)
        return self.sockets

    def clear_work(self) -> subprocess.Popen[bytes] | None:
        """Have the folders of earlier attempts removed, by a process of its own: they may be large.

        Returns:
            The process; None: there are none.
        """
        if not self.work.exists():
            return None
        self.work.rename(self.doomed())
        doomed = [str(folder) for folder in self.path.glob("work.old-*")]
        return subprocess.Popen((*INTERPRETER, BOOTSTRAP, "remove", *doomed), stdin=subprocess.DEVNULL, env={})

    def doomed(self) -> Path:
        """Return a path that nothing has, for a folder that is to be removed: a pid may be an earlier one's again."""
        return Path(tempfile.mkdtemp(prefix="work.old-", dir=self.path)) / "work"

    def close(self) -> None:
        """Remove the sockets and let go of the folder."""
        self._remove_sockets(self.path / "sockets")
        os.close(self._lock)

    def _remove_sockets(self, link: Path) -> None:
        if not link.is_symlink():
            return
        target = link.readlink()
        link.unlink()
        if target.name.startswith(_SOCKETS_PREFIX) and target.is_dir() and target.lstat().st_uid == os.getuid():
            remove_tree(str(target))
