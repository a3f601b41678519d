"""Where an attempt works, and what its process is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd.messages.jobhost import Start


@dataclass(frozen=True)
class Place:
    """The folders of an attempt.

    Attributes:
        folder: holds its workspace (`ws`), temporary files (`tmp`) and home (`home`).
        socket_dir: for its socket; its path is short.
        keep: whether `folder` stays when the attempt has ended.
    """

    folder: Path
    socket_dir: Path
    keep: bool = False

    @property
    def workspace(self) -> str:
        """The job's working directory."""
        return str(self.folder / "ws")

    @property
    def temp_dir(self) -> str:
        """The job's folder for temporary files."""
        return str(self.folder / "tmp")

    def settings(self, start: Start, env: dict[str, str]) -> dict[str, Any]:
        """Return what the zygote, the reaper and the job's process are told (`cicd.plugins.child`).

        Args:
            start: what to run.
            env: what the job sees beside what is added here; where both have a name, it wins.
        """
        home = str(self.folder / "home")
        run = start.run_job
        own = {
            "HOME": home,
            "TMPDIR": self.temp_dir,
            "CICD_RUN": run.run,
            "CICD_RUN_NUMBER": str(run.run_number),
            "CICD_JOB": run.name,
            "CICD_ATTEMPT": str(run.attempt),
            "CICD_PIPELINE": run.pipeline,
            "CICD_WORKSPACE": self.workspace,
        }
        return {
            "env": own | env,
            "cwd": self.workspace,
            "folders": [self.workspace, self.temp_dir, home],
            "source": start.source_dir if run.checkout else "",
            "socket_dir": str(self.socket_dir),
            "limits": {"RLIMIT_CORE": 0},
            "remove": [str(self.socket_dir), *([] if self.keep else [str(self.folder)])],
            "remove_empty": [str(self.folder.parent)],
        }
