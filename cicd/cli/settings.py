"""What every command shares: which master, and how to say things. Its options work before and after the command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cicd.cli.output import Output
    from cicd.client import Client

F = TypeVar("F", bound=Callable[..., Any])


class Settings:
    """Of one invocation.

    Attributes:
        operator: the operator's file, if one was named.
        as_json: whether output is for programs.
    """

    def __init__(self) -> None:
        self.operator: Path | None = None
        self.as_json = False
        self._output: Output | None = None

    @property
    def out(self) -> Output:
        """Where to say things."""
        if self._output is None:
            from cicd.cli.output import Output

            self._output = Output(as_json=self.as_json)
        return self._output

    def client(self) -> Client:
        """Return a conversation with the master; use `with`.

        Raises:
            OperatorFileError: the operator's file cannot be used.
        """
        from cicd.client import connect, read_operator
        from cicd.config.places import default_operator_file

        return connect(read_operator(self.operator or default_operator_file(os.environ)))

    def complain(self, code: str, text: str, *, retryable: bool = False) -> None:
        """Say what went wrong on stderr."""
        self.out.complain(text, code=code, retryable=retryable)


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def common(function: F) -> F:
    """Give a command `--operator` and `--output`; the last place where one is given counts."""
    operator = click.option(
        "--operator",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="CICD_OPERATOR",
        expose_value=False,
        callback=_set_operator,
        help="The master's operator file. Default: $CICD_OPERATOR, or that of this user's master.",
    )
    output = click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        expose_value=False,
        callback=_set_output,
        help="text for people, json for programs (streams: one object a line).",
    )
    return operator(output(function))


def _set_operator(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    given = ctx.get_parameter_source("operator")
    settings = ctx.ensure_object(Settings)
    # A variable that the outer command has read already must not beat a flag given there.
    if value is not None and (settings.operator is None or given is click.core.ParameterSource.COMMANDLINE):
        settings.operator = value


def _set_output(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).as_json = value == "json"
