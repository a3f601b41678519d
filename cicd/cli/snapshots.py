"""A folder as commits of a private repository: so uncommitted work can be run. The folder's own `.git` is not touched.

The repository lives elsewhere and takes the folder as its work tree, so `.gitignore` files count as they always do.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cicd.errors import UserError

BRANCH = "main"
_ALWAYS_IGNORED = ("__pycache__/", "*.pyc", ".venv/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/")
_TIMEOUT_S = 120


class Snapshots:
    """Commits the state of a folder whenever it differs from the last one.

    Args:
        folder: what is looked at.
        repository: a bare repository of its own for that; made if it is not there.
        ignore: paths inside the folder that are none of it.

    Raises:
        UserError: git is not there, or refuses.
    """

    def __init__(self, folder: Path, repository: Path, ignore: tuple[Path, ...] = ()) -> None:
        self._folder = folder
        self.repository = repository
        if not (repository / "HEAD").exists():
            self._git("init", "--quiet", "--bare", "--template=", str(repository), bare=True)
            self._git("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
        lines = [*_ALWAYS_IGNORED, *(f"/{path.relative_to(folder)}" for path in ignore if path.is_relative_to(folder))]
        (repository / "info").mkdir(exist_ok=True)
        (repository / "info" / "exclude").write_text("".join(f"{line}\n" for line in lines))
        self._tree = ""

    def take(self) -> str:
        """Commit the folder as it is; return the commit, or nothing when it is as it was.

        Raises:
            UserError: git refuses, for example because a file cannot be read.
        """
        self._git("add", "--all")
        tree = self._git("write-tree")
        if tree == self._tree:
            return ""
        parent = self._git("rev-parse", "--quiet", "--verify", f"refs/heads/{BRANCH}", check=False)
        parents = ("-p", parent) if parent else ()
        commit = self._git("commit-tree", tree, *parents, "-m", f"{self._folder.name} as it was saved")
        self._git("update-ref", f"refs/heads/{BRANCH}", commit)
        self._tree = tree
        return commit

    def _git(self, *arguments: str, check: bool = True, bare: bool = False) -> str:
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        env |= {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "cicd dev",
            "GIT_AUTHOR_EMAIL": "dev@localhost",
            "GIT_COMMITTER_NAME": "cicd dev",
            "GIT_COMMITTER_EMAIL": "dev@localhost",
            "LC_ALL": "C",
        }
        if not bare:
            env |= {"GIT_DIR": str(self.repository), "GIT_WORK_TREE": str(self._folder)}
        command = ["git", "-c", "gc.auto=0", "-c", "core.fsync=none", "-c", "advice.addEmbeddedRepo=false", *arguments]
        try:
            done = subprocess.run(
                command, cwd=self._folder, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except FileNotFoundError:
            raise UserError("git is not installed") from None
        except subprocess.TimeoutExpired:
            raise UserError(f"git {arguments[0]} of {self._folder} took more than {_TIMEOUT_S} s") from None
        if check and done.returncode != 0:
            why = done.stderr.strip().splitlines()
            raise UserError(f"git {arguments[0]} of {self._folder}: {why[-1] if why else 'failed'}")
        return done.stdout.strip()
