"""Writes small TOML documents: what a program hands to another one as its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


def dumps(document: Mapping[str, object]) -> str:
    """Return a document as TOML: text, numbers, booleans, lists of them, tables, and lists of tables.

    Raises:
        TypeError: TOML cannot say a value, such as None.
    """
    return "".join(_table("", document))


def _table(name: str, table: Mapping[str, object]) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if not _is_tables(value)]
    for key, value in table.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        if isinstance(value, Mapping):
            lines += ["\n" if lines else "", f"[{path}]\n", *_table(path, value)]
        elif _is_tables(value) and isinstance(value, Sequence):
            for item in value:
                lines += [f"\n[[{path}]]\n", *_table(path, item)]
    return lines


def _is_tables(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        return _text(str(value))
    raise TypeError(f"TOML has no {type(value).__name__}")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
