"""Layers a configuration and checks it: every value keeps where it came from, and all errors are told at once.

Text from the environment and from flags is read by the key's type: numbers and booleans as in TOML, lists of text as
`a,b`, anything else (and lists too) as a TOML value in brackets. Relative paths of a file are relative to its folder,
those of environment and flags to the current one.

`CICD_<SECTION>_<KEY>` with a known section but an unknown key is refused, unless the other kind of server knows the key
(one environment may serve both); with an unknown section it is none of ours.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from cicd.config.types import Problem, Section
from cicd.errors import UserError

_SECRET_KEYS = frozenset({"token"})


K = TypeVar("K", bound=type[Section])

_KINDS: list[type[Section]] = []
"""Every configuration there is: what one of them knows is no mistake in the environment of another."""


def configuration(kind: K) -> K:
    """Mark a type as the whole of a program's configuration."""
    _KINDS.append(kind)
    return kind


class ConfigError(UserError):
    """A configuration that cannot be used.

    Attributes:
        problems: one line each: where it was said, the key, what is wrong.
    """

    code = "config"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class _Said:
    """A value and where it was said."""

    value: object
    origin: str
    folder: Path
    text: bool = False
    """It is text whose form is given by the key's type."""


Said = dict[str, dict[str, _Said]]
S = TypeVar("S", bound=Section)


def load(  # noqa: PLR0917  called in two places, in the order of the layers
    kind: type[S],
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object],
    base: Mapping[str, Mapping[str, object]],
    finish: Callable[[S], tuple[S, list[Problem]]],
) -> S:
    """Return a configuration of `kind`, whose fields are its sections.

    Args:
        kind: `MasterConfig` or `MinionConfig`.
        path: the file, if any.
        env: see the module.
        overrides: see the module.
        base: defaults that depend on the machine.
        finish: fills in what depends on several keys, and returns what is wrong between them.

    Raises:
        ConfigError: with all problems.
    """
    problems: list[str] = []
    broken: set[str] = set()
    sections = _sections(kind)
    said: Said = {name: {} for name in sections}
    here = Path.cwd()
    for section, keys in base.items():
        said[section].update({key: _Said(value, "default", here) for key, value in keys.items()})
    for layer in (_from_file(path, problems), _from_env(sections, env, here), _from_overrides(overrides, here)):
        for section, found in layer.items():
            said.setdefault(section, {}).update(found)
    made: dict[str, Any] = {}
    for section, keys in said.items():
        if section in sections:
            reader = _Reader(problems, broken)
            made[section] = reader.table(sections[section], keys, section, base.get(section, {}))
        else:
            origin = next((value.origin for value in keys.values()), str(path))
            problems.append(f"{origin}: [{section}]: unknown section{_suggest(section, sections)}")
    config, wrong = finish(kind(**made))
    problems += [
        f"{_origin(said, problem.key, path)}: {problem.key}: {problem.text}"
        for problem in wrong
        if not broken.intersection((problem.key, *problem.beside))
    ]
    if problems:
        raise ConfigError(problems)
    return config


def environment_names() -> frozenset[str]:
    """Return every variable that configures a master or a minion."""
    return frozenset(
        f"CICD_{section}_{key}".upper()
        for kind in _KINDS
        for section, type_ in _sections(kind).items()
        for key in type_.__struct_fields__
    )


def private_file_problem(path: Path) -> str:
    """Return why a file cannot hold a secret (absent, unreadable, others may read it), or nothing."""
    problem = readable_file_problem(path)
    if not problem and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"others may read {path}: chmod 600 it"
    return problem


def readable_file_problem(path: Path) -> str:
    """Return why a file cannot be read, or nothing."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"


# ---- the layers ----------------------------------------------------------------------------------------


def _from_file(path: Path | None, problems: list[str]) -> Said:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path}: not TOML: {error}")
        return {}
    said: Said = {}
    folder = path.absolute().parent
    for section, keys in document.items():
        if not isinstance(keys, dict):
            problems.append(f"{path}: {section}: stands outside of every [section]")
            continue
        said[section] = {key: _Said(value, str(path), folder) for key, value in keys.items()}
    return said


def _from_env(sections: Mapping[str, type[Section]], env: Mapping[str, str], here: Path) -> Said:
    elsewhere = environment_names()
    said: Said = {}
    for name, value in sorted(env.items()):
        prefix, _, rest = name.partition("_")
        section, _, key = rest.lower().partition("_")
        if prefix != "CICD" or section not in sections or not key:
            continue
        if key not in sections[section].__struct_fields__ and name in elsewhere:
            continue
        said.setdefault(section, {})[key] = _Said(value, name, here, text=True)
    return said


def _from_overrides(overrides: Mapping[str, object], here: Path) -> Said:
    said: Said = {}
    for name, value in overrides.items():
        section, dot, key = name.partition(".")
        pairs = {key: value} if dot else value
        if isinstance(pairs, Mapping):
            for inner, item in pairs.items():
                origin = f"--set {section}.{inner}"
                said.setdefault(section, {})[str(inner)] = _Said(item, origin, here, text=isinstance(item, str))
    return said


# ---- from what was said to what it means ---------------------------------------------------------------


class _Reader:
    """Turns what was said into typed tables; what is wrong goes into `problems`, its keys into `broken`."""

    def __init__(self, problems: list[str], broken: set[str]) -> None:
        self._problems = problems
        self._broken = broken

    def table(
        self, kind: type[Section], said: Mapping[str, _Said], where: str, base: Mapping[str, object]
    ) -> Section | None:
        """Return a table as its type, malformed values replaced by defaults; None if one of those has none."""
        values: dict[str, Any] = {}
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for key, item in said.items():
            if key not in fields:
                self._problems.append(f"{item.origin}: {where}.{key}: unknown key{_suggest(key, fields)}")
                continue
            try:
                values[key] = self._value(fields[key].type, item, f"{where}.{key}")
            except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
                self._problems.append(f"{item.origin}: {where}.{key}: {_why(error, fields[key].type, key, item.value)}")
                self._broken.add(f"{where}.{key}")
                if key in base:
                    values[key] = self._value(fields[key].type, _Said(base[key], "default", item.folder), where)
        missing = [field.name for field in fields.values() if field.required and field.name not in values]
        origin = next((item.origin for item in said.values()), "default")
        for key in missing:
            if f"{where}.{key}" not in self._broken:
                self._problems.append(f"{origin}: {where}.{key}: is needed")
        return None if missing else kind(**values)

    def _value(self, type_: Any, said: _Said, where: str) -> object:
        value = _from_text(type_, said.value) if said.text and isinstance(said.value, str) else said.value
        inner = get_args(type_)[0] if get_origin(type_) is tuple else None
        if isinstance(inner, type) and issubclass(inner, Section):
            return self._tables(inner, value, said, where)
        return msgspec.convert(value, type_, strict=not said.text, dec_hook=_path_hook(said.folder))

    def _tables(self, kind: type[Section], value: object, said: _Said, where: str) -> object:
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            raise msgspec.ValidationError("expected tables")
        tables = []
        for index, table in enumerate(value):
            items = {key: _Said(item, said.origin, said.folder) for key, item in table.items()}
            tables.append(self.table(kind, items, f"{where}[{index}]", {}))
        return tuple(table for table in tables if table is not None)


def _from_text(type_: Any, text: str) -> object:
    origin = get_origin(type_)
    if origin in (tuple, dict):
        if text.lstrip()[:1] in {"[", "{"}:
            return tomllib.loads(f"value = {text}")["value"]
        if origin is tuple:
            return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _path_hook(folder: Path) -> Callable[[type, Any], Any]:
    def hook(type_: type, value: Any) -> Any:
        if issubclass(type_, Path) and isinstance(value, str) and value and "\0" not in value:
            return Path(os.path.normpath(folder / Path(value).expanduser()))
        raise msgspec.ValidationError("expected a path")

    return hook


# ---- words ---------------------------------------------------------------------------------------------


def _why(error: Exception, type_: Any, key: str, value: object) -> str:
    if get_origin(type_) is Literal:
        return f"{_shown(value)} is none of {', '.join(get_args(type_))}"
    text = str(error).replace("`", "").split(" - at ")[0].partition(", got ")[0]
    shown = "" if key in _SECRET_KEYS else f", not {_shown(value)}"
    return f"{text[:1].lower()}{text[1:]}{shown}"


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  one line


def _suggest(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f" (known: {', '.join(known)})"


def _origin(said: Said, key: str, path: Path | None) -> str:
    section, _, name = key.partition(".")
    found = said.get(section, {}).get(name.partition("[")[0])
    return found.origin if found else str(path or "default")


def _sections(kind: type[Section]) -> dict[str, type[Section]]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}
