"""`cicd tokens`: create, list, revoke."""

from __future__ import annotations

import click

from cicd.cli.settings import Settings, common, pass_settings


@click.group()
def tokens() -> None:
    """Create, list and revoke the tokens that minions join with."""


@tokens.command()
@click.option("--note", default="", help="What it is for.")
@common
@pass_settings
def create(settings: Settings, note: str) -> None:
    """Create a token and print it: the only time that it is shown.

    Put it into a file that only the minion can read, and name that file in the minion's [master] token_file.
    """
    from cicd.messages.client import CreateToken, TokenAnswer

    with settings.client() as client:
        answer = client.ask(CreateToken(note=note), TokenAnswer)
    if settings.as_json:
        settings.out.json(answer)
        return
    settings.out.line(answer.token)
    settings.out.note(f"token {answer.record.id}: whoever has it can join as a minion; it is not shown again")


@tokens.command("list")
@common
@pass_settings
def list_(settings: Settings) -> None:
    """List tokens, without their secrets."""
    from cicd.cli.output import when
    from cicd.clock import SystemClock
    from cicd.messages.client import ListTokens, TokenPage

    with settings.client() as client:
        found = client.ask(ListTokens(), TokenPage).tokens
    if settings.as_json:
        settings.out.json(found)
        return
    now_s = SystemClock().wall_s()
    settings.out.table(
        ["id", "state", "created", "by", "note"],
        [
            (
                token.id,
                "revoked" if token.revoked else "valid",
                when(settings.out, token.created_s, now_s),
                token.created_by or "-",
                token.note,
            )
            for token in found
        ],
        empty="no tokens yet: 'cicd tokens create' makes one",
    )


@tokens.command()
@click.argument("id")
@common
@pass_settings
def revoke(settings: Settings, id: str) -> None:  # noqa: A002  the argument's name in the help text
    """Let no new connection with the token ID in; open ones are not cut."""
    from cicd.messages.client import Done, RevokeToken

    with settings.client() as client:
        client.ask(RevokeToken(id=id), Done)
    if settings.as_json:
        settings.out.json({"revoked": id})
    else:
        settings.out.line(f"{id} is revoked")
