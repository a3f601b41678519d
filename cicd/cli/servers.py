"""`cicd master` and `cicd minion`: the same as `python -m cicd.master` and `python -m cicd.minion`."""

from __future__ import annotations

import click

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@click.command(context_settings=_PASS_ON, add_help_option=False, options_metavar="[--config FILE]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
def master(arguments: tuple[str, ...]) -> int:
    """Run a master."""
    from cicd.master import main

    return main(list(arguments))


@click.command(context_settings=_PASS_ON, add_help_option=False, options_metavar="[--config FILE]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
def minion(arguments: tuple[str, ...]) -> int:
    """Run a minion."""
    from cicd.minion import main

    return main(list(arguments))
