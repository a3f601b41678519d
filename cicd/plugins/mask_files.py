"""Files whose contents are masked in every log of a minion. They are read again when they change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import structlog

from cicd.errors import UserError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LIMIT_BYTES = 64 * 1024
"""A secret that is larger is none; each line of it would cost each log."""


class MaskFiles:
    """The values in some files.

    Args:
        paths: of the files.

    Raises:
        UserError: one of them cannot be read, or is too large.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._values: dict[Path, tuple[object, bytes]] = {}
        for path in paths:
            try:
                self._values[path] = _read(path)
            except OSError as error:
                raise UserError(f"logs.mask_files: {path}: {os.strerror(error.errno or 0)}") from None

    def values(self) -> list[bytes]:
        """Return what they hold now; of one that cannot be read any more, what it held."""
        for path, (seen, _value) in self._values.items():
            try:
                if _mark(path) != seen:
                    self._values[path] = _read(path)
            except (OSError, UserError) as error:
                log.warning("mask_file.unreadable", path=str(path), error=str(error), effect="its old value is masked")
        return [value for _seen, value in self._values.values()]


def _read(path: Path) -> tuple[object, bytes]:
    seen = _mark(path)
    with path.open("rb") as file:
        value = file.read(LIMIT_BYTES + 1)
    if len(value) > LIMIT_BYTES:
        raise UserError(f"logs.mask_files: {path} has more than {LIMIT_BYTES} bytes")
    return seen, value


def _mark(path: Path) -> object:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
