"""What a folder with a Python pipeline asks for: its interpreter, its dependencies.

    pyproject.toml [project]            requires-python, dependencies; uv.lock beside it pins them
    pipeline.py, a PEP 723 block        the same two, for a pipeline that is one file

Both may be there; then both count. The pipeline itself is `pipeline.py` in either case.
"""

from __future__ import annotations

import platform
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from cicd.errors import UserError

ENTRY = "pipeline.py"
SDK_NAMES = frozenset({"cicd-sdk", "cicd_sdk"})
"""What authors name for their editor's sake; the builder adds the SDK itself."""

# Source: https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_SCRIPT_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


class BuildError(UserError):
    """A pipeline that cannot be built as it is."""

    code = "build"


@dataclass(frozen=True, slots=True)
class PythonProject:
    """What a folder asks for.

    Attributes:
        folder: it.
        requires_python: as in `>=3.11,<4`; may be empty.
        has_project: whether uv can read dependencies from its pyproject.toml.
        has_lock: whether uv.lock pins them.
        script_requirements: those of the PEP 723 block.
    """

    folder: Path
    requires_python: str = ""
    has_project: bool = False
    has_lock: bool = False
    script_requirements: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> PythonProject:
        """Read a folder.

        Raises:
            BuildError: there is no pipeline.py, or a file of it cannot be read.
        """
        entry = folder / ENTRY
        if not entry.is_file():
            raise BuildError(f"the folder has a pyproject.toml but no {ENTRY}, which is where a pipeline begins")
        project = _table(_toml(folder / "pyproject.toml"), "project") if (folder / "pyproject.toml").exists() else {}
        script = _script_metadata(entry)
        requires = [_text(table, "requires-python") for table in (project, script)]
        return cls(
            folder=folder,
            requires_python=",".join(filter(None, requires)),
            has_project=bool(project),
            has_lock=bool(project) and (folder / "uv.lock").is_file(),
            script_requirements=tuple(_texts(script, "dependencies")),
        )

    def check_interpreter(self) -> None:
        """Refuse an interpreter that is not this one.

        Raises:
            BuildError: `requires-python` does not hold for the Python that builds.
        """
        try:
            wanted = SpecifierSet(self.requires_python)
        except InvalidSpecifier:
            raise BuildError(f"requires-python is not a version specifier: {self.requires_python!r}") from None
        version = platform.python_version()
        if not wanted.contains(version, prereleases=True):
            raise BuildError(f"the pipeline requires Python {self.requires_python}, and this system runs {version}")

    def check_syntax(self) -> None:
        """Refuse a pipeline.py that Python cannot read.

        Raises:
            BuildError: with file, line and Python's own words.
        """
        try:
            compile((self.folder / ENTRY).read_bytes(), ENTRY, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise BuildError(f"{ENTRY}, line {error.lineno}: {type(error).__name__}: {error.msg}") from error
        except ValueError as error:
            raise BuildError(f"{ENTRY}: {error}") from error


def _script_metadata(entry: Path) -> dict[str, Any]:
    # As Python does: a byte order mark is not part of the text, and line ends are \n.
    text = entry.read_text(encoding="utf-8-sig", errors="replace")
    blocks = [match for match in _SCRIPT_BLOCK.finditer(text) if match["type"] == "script"]
    if len(blocks) > 1:
        raise BuildError(f"{ENTRY} has more than one script block (PEP 723)")
    if not blocks:
        return {}
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{ENTRY}, its script block (PEP 723): {error}") from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{path.name}: {error}") from None


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise BuildError(f"pyproject.toml: {name} is no table")
    return table


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise BuildError(f"{name} is no text")
    return value.strip()


def _texts(table: dict[str, Any], name: str) -> list[str]:
    values = table.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BuildError(f"{name} is no list of texts")
    return [value for value in values if re.split(r"[^A-Za-z0-9._-]", value.strip())[0].lower() not in SDK_NAMES]
