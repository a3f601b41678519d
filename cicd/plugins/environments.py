"""What each kind of process that a jobhost starts sees of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cicd.plugins.leftovers import MARK
from cicd.plugins.python_runtime import plain_environment, scrubbed_environment


class Environments:
    """Scrubbed environments, each with the mark by which what is left over is found.

    Args:
        env: the jobhost's own.
        pass_env: names of variables that jobs and checks see beside the few they always do.
        minion: the mark's value.
    """

    def __init__(self, env: Mapping[str, str], pass_env: tuple[str, ...], minion: str) -> None:
        self._env = env
        self._pass_env = pass_env
        self._minion = minion

    def of_zygote(self, artifact_dir: Path) -> dict[str, str]:
        """Return what a pipeline's zygote sees: nothing of one job."""
        return scrubbed_environment(self._env, artifact_dir) | {MARK: self._minion}

    def of_job(self, artifact_dir: Path) -> dict[str, str]:
        """Return what a job sees."""
        return self.of_zygote(artifact_dir) | self._passed(self._pass_env)

    def of_check(self) -> dict[str, str]:
        """Return what a check of the operator's sees."""
        return plain_environment(self._env) | self._passed(("HOME", *self._pass_env)) | {MARK: self._minion}

    def _passed(self, names: tuple[str, ...]) -> dict[str, str]:
        return {name: self._env[name] for name in names if name in self._env}
