"""A folder with a Python pipeline into an artifact.

    plugin.json   what it is: language, entry, folders for sys.path, the tags a minion must offer
    app/          the folder, as it was committed
    site/         its dependencies, installed by uv; site/bin their programs
    sdk/          cicd_sdk, and h2 unless site has it

Compiled to bytecode, the same for the same commit, movable. Nothing of it is resolved or fetched again at run time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

import msgspec
import uv

from cicd.plugins import platform_tags
from cicd.plugins.build import bytecode
from cicd.plugins.build.python_project import ENTRY, SDK_NAMES, BuildError, PythonProject
from cicd.plugins.build.sdk_folder import CONSTRAINTS, copy_sdk
from cicd.plugins.build.site_folder import pth_files, settle

_NOT_COPIED = frozenset({".git", "__pycache__", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_LAST_LINES = 12


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact's facts."""

    requires_python: str
    tags: tuple[str, ...]


def build(tree: Path, folder: Path, artifact: Path, work: Path) -> Built:
    """Build the pipeline in a folder of a checked-out tree.

    Args:
        tree: the whole repository: dependencies may be in it.
        folder: the pipeline's.
        artifact: the folder to make.
        work: for files in between.

    Raises:
        BuildError: what the author of the pipeline has to change, in one line.
    """
    project = PythonProject.read(folder)
    project.check_interpreter()
    project.check_syntax()
    artifact.mkdir()
    site = artifact / "site"
    site.mkdir()
    _install(project, site, work)
    settle(site)
    for name in pth_files(site):
        print(f"note: {name} is not read when the pipeline runs (editable installs have no effect)")  # noqa: T201  the log
    _copy(folder, artifact / "app", inside=folder.resolve(), root=tree.resolve())
    copy_sdk(artifact / "sdk", with_needs=not (site / "h2").is_dir())
    tags = platform_tags.tags_of_site(site)
    manifest = {
        "language": "python",
        "entry": f"app/{ENTRY}",
        "path": ["app", "site", "sdk"],
        "tags": list(tags),
    }
    (artifact / "plugin.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    _compile(artifact)
    return Built(requires_python=project.requires_python, tags=tags)


def _install(project: PythonProject, site: Path, work: Path) -> None:
    requirements: list[str] = []
    if project.has_lock:
        locked = work / "locked.txt"
        omitted = [option for name in sorted(SDK_NAMES) for option in ("--no-emit-package", name)]
        _uv(
            "export", "--frozen", "--no-emit-project", "--no-dev", "--no-editable", "--no-header", "--no-annotate",
            "--quiet", *omitted, "--python", sys.executable, "--output-file", str(locked),
            cwd=project.folder,
        )  # fmt: skip
        requirements += ["-r", str(locked)]
    elif project.has_project:
        requirements += ["-r", "pyproject.toml"]
    if project.script_requirements:
        script = work / "script-requirements.txt"
        script.write_text("".join(f"{line}\n" for line in project.script_requirements))
        requirements += ["-r", str(script)]
    if not requirements:
        return
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in CONSTRAINTS))
    # An override that never applies leaves a requirement out: the SDK comes from this system.
    overrides = work / "overrides.txt"
    overrides.write_text("".join(f"{name} ; python_version < '0'\n" for name in sorted(SDK_NAMES)))
    _uv(
        "pip", "install", "--target", str(site), "--python", sys.executable, "--link-mode", "copy",
        "--constraint", str(constraints), "--override", str(overrides), *requirements,
        cwd=project.folder,
    )  # fmt: skip


def _uv(*arguments: str, cwd: Path) -> None:
    """Run uv with its output in the log.

    Raises:
        BuildError: it failed; with its last lines.
    """
    print(f"uv {' '.join(arguments)}", flush=True)  # noqa: T201  the build's log
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        [uv.find_uv_bin(), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        for line in process.stdout:
            print(line, end="", flush=True)  # noqa: T201  the build's log
            last.append(line)
    if process.returncode != 0:
        raise BuildError(f"uv could not install the dependencies: {_complaint(list(last))}")


def _complaint(lines: list[str]) -> str:
    """Return what uv said from where it began to complain; all of it is in the log."""
    starts = (number for number, line in enumerate(lines) if line.lstrip().startswith(("error", "\u00d7")))
    return "".join(lines[next(starts, 0) :]).strip() or "it said nothing"


def _copy(folder: Path, target: Path, *, inside: Path, root: Path) -> None:
    """Copy the pipeline's folder; a symlink to a file elsewhere in the repository becomes that file."""
    target.mkdir()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in _NOT_COPIED:
            continue
        place = target / entry.name
        if entry.is_symlink():
            found = Path(entry.path).resolve()
            if not found.is_relative_to(inside) and found.is_relative_to(root) and found.is_file():
                shutil.copy2(found, place)
            else:
                place.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            _copy(Path(entry.path), place, inside=inside, root=root)
        else:
            shutil.copy2(entry.path, place)


def _compile(artifact: Path) -> None:
    command = [sys.executable, "-S", "-s", "-P", bytecode.__file__, str(artifact)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise BuildError(f"the bytecode compiler ended with code {done.returncode}")
