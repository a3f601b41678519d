"""Says things: tables in colour on a terminal, plain aligned text in a pipe, JSON for programs.

Results go to stdout, everything beside them (hints, progress, how a log ended) to stderr. Text that comes from others
is shown without its control characters, except for logs, which are passed through as they are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cicd.cli import words

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")


def clean(text: str) -> str:
    """Return a text without control characters, so that nobody's names steer the terminal."""
    return text.translate(_CONTROLS)


class Output:
    """stdout and stderr of one invocation.

    Args:
        as_json: whether results are for programs.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._consoles: dict[bool, Console] = {}

    # ---- results

    def json(self, value: object) -> None:
        """Print a value as one line of JSON: a message, a list of messages, or what JSON knows."""
        print(json.dumps(_plain(value), ensure_ascii=False), flush=True)  # noqa: T201  the command's result

    def line(self, text: str, style: str = "") -> None:
        """Print a line of a result."""
        text = clean(text)
        if self.is_terminal:
            self.console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)  # noqa: T201  the command's result

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "") -> None:
        """Print rows below their columns' names; a cell that is a state is coloured.

        Args:
            columns: names; one that ends in `>` is aligned to the right.
            rows: cells as text.
            empty: hint when there are no rows.
        """
        cells = [[clean(cell) for cell in row] for row in rows]
        if not cells and empty:
            self.note(empty)
            if self.is_terminal:
                return
        if self.is_terminal:
            self._rich_table(columns, cells)
        else:
            self._plain_table(columns, cells)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one pair a line; values of several lines are indented."""
        shown = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            first, *rest = value.splitlines() or [""]
            if self.is_terminal:
                from rich.text import Text

                text = Text.assemble((f"{name:<{width}}  ", "bold"), (clean(first), words.style(first)))
                self.console().print(text, soft_wrap=True)
            else:
                self.line(f"{name:<{width}}  {first}")
            for line in rest:
                self.line(f"{'':<{width}}  {line}")

    def raw(self, data: bytes) -> None:
        """Pass bytes of a log through."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    # ---- beside them

    def note(self, text: str) -> None:
        """Say something beside the result, dimmed where there are colours; nothing when output is for programs."""
        if self.as_json:
            return
        if sys.stderr.isatty():
            self._beside().print(clean(text), style="dim", markup=False, highlight=False, soft_wrap=True)
        else:
            print(clean(text), file=sys.stderr, flush=True)  # noqa: T201  beside the result

    def log_note(self, line: bytes) -> None:
        """Show a line of a log beside the result, as `note` does."""
        if self.as_json:
            return
        if sys.stderr.isatty():
            from rich.text import Text

            text = Text.from_ansi(line.rstrip(b"\r").decode(errors="replace"), style="dim")
            self._beside().print(text, soft_wrap=True)
        else:
            sys.stderr.buffer.write(line + b"\n")
            sys.stderr.buffer.flush()

    def complain(self, text: str, *, code: str, retryable: bool = False) -> None:
        """Say on stderr what went wrong: in lines, or as a JSON object."""
        if self.as_json:
            error = {"code": code, "message": text, "retryable": retryable}
            print(json.dumps({"error": error}, ensure_ascii=False), file=sys.stderr)  # noqa: T201  the error
            return
        for line in text.splitlines() or [code]:
            print(f"cicd: {clean(line)}", file=sys.stderr)  # noqa: T201  the error

    def console(self, *, stderr: bool = False) -> Console:
        """Return rich's console; only where there is a terminal."""
        if stderr not in self._consoles:
            from rich.console import Console

            self._consoles[stderr] = Console(stderr=stderr, highlight=False)
        return self._consoles[stderr]

    # ---- inside

    def _beside(self) -> Console:
        # One console where both are a terminal: a spinner on one would be torn by lines on the other.
        return self.console(stderr=not self.is_terminal)

    def _rich_table(self, columns: Sequence[str], cells: list[list[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            right = column.endswith(">")
            table.add_column(column.rstrip(">"), justify="right" if right else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell, style=words.style(cell)) for cell in row))
        self.console().print(table)

    def _plain_table(self, columns: Sequence[str], cells: list[list[str]]) -> None:
        right = [column.endswith(">") for column in columns]
        rows = [[column.rstrip(">").upper() for column in columns], *cells]
        widths = [max(len(row[index]) for row in rows) for index in range(len(columns))]
        for row in rows:
            padded = [
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(row, widths, right, strict=True)
            ]
            self.line("  ".join(padded).rstrip())


def _plain(value: object) -> Any:
    from cicd.codec import to_plain
    from cicd.messages.base import Message

    if isinstance(value, Message):
        return to_plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def when(out: Output, wall_s: float, now_s: float) -> str:
    """Return a wall time: how long ago on a terminal, else as a date that sorts."""
    return words.ago(wall_s, now_s) if out.is_terminal else words.moment(wall_s)
