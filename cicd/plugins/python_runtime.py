"""Python plugins: what an artifact says of itself, and how its processes are started.

An artifact is a folder with a `plugin.json`: language, entry (the pipeline's file), path (folders for `sys.path`: the
code, its dependencies, the SDK). It runs in this process's interpreter with `-I -S`: nothing of the environment, of the
user's folders or of this program's own packages is seen by it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cicd.plugins import child
from cicd.plugins.handshake import PluginError
from cicd.plugins.host import PluginCommand

INTERPRETER = (sys.executable, "-I", "-S")
JOBS_PYTHON: str = getattr(sys, "_base_executable", sys.executable)
"""What a job's own Python programs run with: the same version, without this program's virtual environment in it."""
BOOTSTRAP = str(Path(child.__file__).with_name("bootstrap.py"))

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


class PythonArtifact(msgspec.Struct, frozen=True):
    """The contents of an artifact's `plugin.json`."""

    language: str
    entry: str
    path: tuple[str, ...]

    @classmethod
    def load(cls, artifact_dir: Path) -> PythonArtifact:
        """Read and check `plugin.json`.

        Raises:
            PluginError: there is none, it is wrong, or it names places outside the artifact.
        """
        try:
            artifact = msgspec.json.decode((artifact_dir / "plugin.json").read_bytes(), type=cls)
        except (OSError, ValueError) as error:
            raise PluginError(f"{artifact_dir.name} is no plugin: {error}") from None
        if artifact.language != "python":
            raise PluginError(f"{artifact_dir.name} is written in {artifact.language!r}, which this version cannot run")
        for place in (artifact.entry, *artifact.path):
            if Path(place).is_absolute() or ".." in Path(place).parts:
                raise PluginError(f"{artifact_dir.name} names a place outside itself: {place!r}")
        return artifact


def scrubbed_environment(host: Mapping[str, str], artifact_dir: Path) -> dict[str, str]:
    """Return what a plugin sees of the host's environment: an allow-list, with the artifact's programs on PATH."""
    kept = plain_environment(host)
    kept["PATH"] = f"{artifact_dir / 'site' / 'bin'}:{kept['PATH']}"
    kept["CICD_PYTHON"] = JOBS_PYTHON  # which the scripts in site/bin, `python` among them, run with
    kept["CI"] = "true"
    return kept


def plain_environment(host: Mapping[str, str]) -> dict[str, str]:
    """Return what any program that is started here sees of the host's environment."""
    kept = {name: host[name] for name in _PASSED_ON if name in host}
    kept["PATH"] = host.get("PATH") or _DEFAULT_PATH
    kept.setdefault("LANG", "C.UTF-8")
    return kept


def python_command(artifact_dir: Path) -> PluginCommand:
    """Return the command that serves an artifact as one plugin process.

    Raises:
        PluginError: it is no Python artifact.
    """
    PythonArtifact.load(artifact_dir)
    return PluginCommand(
        argv=(*INTERPRETER, BOOTSTRAP, "serve", str(artifact_dir)),
        env=scrubbed_environment(os.environ, artifact_dir),
        cwd=artifact_dir,
    )
