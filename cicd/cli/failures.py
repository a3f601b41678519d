"""Which exit code an error has."""

from __future__ import annotations

from cicd.errors import CicdError, UnavailableError

EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_REFUSED = 4

_OWN_FILES = frozenset({"config", "operator_file", "journal", "journal_damaged", "checkpoint"})
"""Codes of errors in files of the user's: wrong usage, found before any master was asked."""


def exit_code(error: CicdError) -> int:
    """Return 2 for the user's own files, 3 where the master is away or cannot answer now, 4 where it refuses."""
    if error.code in _OWN_FILES:
        return EXIT_USAGE
    return EXIT_UNREACHABLE if isinstance(error, UnavailableError) else EXIT_REFUSED
