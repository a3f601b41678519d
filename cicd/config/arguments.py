"""The flags of `python -m cicd.master|minion`, which `cicd master|minion` hands on unread."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from cicd import __version__


def arguments(program: str, argv: Sequence[str], about: str = "") -> tuple[Path | None, dict[str, object]]:
    """Return the configuration file and the overrides that a server's flags name, for `load_master` or `load_minion`.

    Args:
        program: for usage texts, such as `cicd master`.
        argv: the flags, without the program.
        about: one line for `--help`.

    Raises:
        SystemExit: with 2 for wrong flags, with 0 after `--help` and `--version`.
    """
    parser = argparse.ArgumentParser(prog=program, description=about or None, allow_abbrev=False)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the configuration (TOML); else: defaults and environment"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override one key; beats environment and file; can be given often",
    )
    parser.add_argument("--version", action="version", version=f"cicd {__version__}")
    parsed = parser.parse_args(list(argv))
    overrides: dict[str, object] = {}
    for assignment in parsed.set:
        key, equals, value = assignment.partition("=")
        if not equals or "." not in key:
            parser.error(f"--set {assignment}: expected SECTION.KEY=VALUE")
        overrides[key.strip()] = value
    return parsed.config, overrides
