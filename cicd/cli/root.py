"""The group of all commands: imports each when it is used, and turns every error into one line and an exit code."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from cicd.cli.settings import Settings

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class Root(click.Group):
    """A group whose commands are imported late.

    Args:
        lazy: for each command where it is (`module:attribute`) and its one line of help.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the help text."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import and return a command."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse a command that there is not, with the nearest one that there is."""
        name = args[0]
        if not ctx.resilient_parsing and name not in self._lazy and not name.startswith("-"):
            close = difflib.get_close_matches(name, self._lazy, n=1)
            ctx.fail(f"no command {name!r}{f': did you mean {close[0]!r}?' if close else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C and a reader that went away end it quietly, each with its code."""
        # Here and not in `main`: click's own has another mind about both.
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # the terminal shows ^C without an end of line
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The interpreter flushes stdout once more at its end: give it something that can be flushed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(EXIT_BROKEN_PIPE)
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002  click's signature
        **extra: Any,
    ) -> NoReturn:
        """Run a command and exit; its result, if it is a number, is the exit code."""
        _ = standalone_mode
        settings = Settings()
        try:
            result = super().main(args, prog_name or "cicd", complete_var, standalone_mode=False, obj=settings, **extra)
            sys.exit(result if isinstance(result, int) else 0)
        except click.Abort:  # of a question
            sys.exit(EXIT_INTERRUPTED)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            where = context.command_path if context else "cicd"
            text = error.format_message().rstrip(".")
            settings.complain("usage", f"{text} (see '{where} --help')")
            sys.exit(EXIT_USAGE)
        except Exception as error:
            from cicd.cli.failures import exit_code
            from cicd.errors import CicdError

            if not isinstance(error, CicdError):
                raise
            settings.complain(error.code, error.message, retryable=error.retryable)
            sys.exit(exit_code(error))
