"""Making a folder that uv installed into the same on every machine, and movable.

What uv writes tells when and where it was written: its cache's times, the folder that a local wheel lay in, the
interpreter's path in the first line of each script. None of it may be in an artifact that is named by its content.
A script finds its packages from its own place instead.

CICD_PYTHON names the interpreter; whoever starts a plugin sets it.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

_NOT_KEPT = ("uv_cache.json", "uv_build.json", "REQUESTED", "direct_url.json")
_PYTHON_LINE = re.compile(rb"#!.*python[0-9.]*[ \t]*(?:-\w+[ \t]*)*\r?\n")
_SCRIPT_HEAD = b"""#!/bin/sh
'''exec' "${CICD_PYTHON:-python3}" "$0" "$@"
' '''
import os as _os, sys as _sys; _sys.path.insert(0, _os.path.dirname(_os.path.dirname(_os.path.realpath(__file__))))
"""
"""A shell reads it as: run Python on this file. Python reads a string, and then finds the packages one folder up."""


_PYTHON = b"""#!/bin/sh
# Python with the packages beside it, so that a job's "python -m pytest" means what it says.
site=$(dirname "$(dirname "$(readlink -f "$0")")")
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
exec "${CICD_PYTHON:?is not set: which Python?}" "$@"
"""


def settle(site: Path) -> None:
    """Take out what tells of the build, make scripts movable, and add a `python` and a `python3`.

    Args:
        site: a folder that `uv pip install --target` filled.
    """
    for name in (".lock", ".gitignore", "CACHEDIR.TAG"):
        (site / name).unlink(missing_ok=True)
    changed = {path.relative_to(site).as_posix() for path in _scripts(site)}
    for info in sorted(site.glob("*.dist-info")):
        removed = {f"{info.name}/{name}" for name in _NOT_KEPT if (info / name).exists()}
        for name in removed:
            (site / name).unlink()
        _settle_record(info / "RECORD", removed, changed)
    (site / "bin").mkdir(exist_ok=True)
    for name in ("python", "python3"):
        (site / "bin" / name).write_bytes(_PYTHON)
        (site / "bin" / name).chmod(0o755)


def pth_files(site: Path) -> list[str]:
    """Return the names of .pth files: they are not read at run time, so what they would add is missing."""
    return sorted(path.name for path in site.glob("*.pth") if path.read_bytes().strip())


def _scripts(site: Path) -> list[Path]:
    """Rewrite Python scripts in `bin`; return them."""
    rewritten: list[Path] = []
    folder = site / "bin"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        line = _PYTHON_LINE.match(content)
        if line:
            path.write_bytes(_SCRIPT_HEAD + content[line.end() :])
            path.chmod(0o755)
            rewritten.append(path)
    return rewritten


def _settle_record(record: Path, removed: set[str], changed: set[str]) -> None:
    if not record.is_file():
        return
    rows = list(csv.reader(io.StringIO(record.read_text(encoding="utf-8"))))
    # A script's hash was that of another interpreter's path; the specification lets a row go without.
    kept = [[row[0], "", ""] if row[0].removeprefix("../../") in changed else row for row in rows if row]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(row for row in kept if row[0] not in removed))
    record.write_text(out.getvalue(), encoding="utf-8")
