# ruff: noqa: INP001  a script, no package
"""Writes docs/job-states.md from the table that the core decides by; with --check it exits 1 when the file differs."""

from __future__ import annotations

import sys
from pathlib import Path

from cicd.core.lifecycle import JOB_TABLE, TERMINAL

TARGET = Path(__file__).with_name("job-states.md")

HEAD = """\
# The states of a job

Made by `make generate` from `JOB_TABLE` in `cicd/core/lifecycle.py`; do not edit. What is not in the table cannot
happen: the core raises `IllegalTransitionError`. Terminal states never change.

"""


def diagram() -> str:
    """Return the table as a Mermaid state diagram; events between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in JOB_TABLE.items():
        arrows.setdefault((state.name, target.name), []).append(event.value)
    first = next(iter(JOB_TABLE))[0].name
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state} --> {target}: {', '.join(events)}" for (state, target), events in arrows.items()]
    lines += [f"    {state} --> [*]" for state in sorted(state.name for state in TERMINAL)]
    return "\n".join(lines)


def table() -> str:
    """Return the table as Markdown: a row for each state and event."""
    lines = ["| state | event | next state |", "|---|---|---|"]
    lines += [f"| {state.name} | {event.value} | {target.name} |" for (state, event), target in JOB_TABLE.items()]
    return "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    terminal = ", ".join(sorted(state.name for state in TERMINAL))
    return f"{HEAD}```mermaid\n{diagram()}\n```\n\nTerminal: {terminal}.\n\n{table()}\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page():
            sys.stderr.write(f"{TARGET.name} differs from the state table: run make generate\n")
            return 1
        return 0
    TARGET.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
