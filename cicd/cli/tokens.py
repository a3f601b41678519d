"""`cicd tokens`: create, list, revoke."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.messages.cluster import TokenRecord

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def lasts_s(text: str) -> float:
    """Return how long a token lasts, in seconds; 0: for ever.

    Raises:
        click.BadParameter: the text is no duration.
    """
    if text == "never":
        return 0.0
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is none of 30m, 24h, 7d, never", param_hint="'--expires'")
    return float(int(match[1]) * _UNITS_S[match[2]])


def state(token: TokenRecord, now_s: float) -> str:
    """Return in a word whether a token lets minions in."""
    if token.revoked:
        return "revoked"
    if token.expires_s and now_s >= token.expires_s:
        return "expired"
    return "used up" if token.max_uses and token.uses >= token.max_uses else "valid"


@click.group()
def tokens() -> None:
    """Create, list and revoke the tokens that minions join with."""


@tokens.command()
@click.option("--note", default="", help="What it is for.")
@click.option("--expires", default="7d", show_default=True, help="When it ends: 30m, 24h, 7d; never.")
@click.option("--uses", type=click.IntRange(min=1), help="How many minions it lets in; any number if not said.")
@common
@pass_settings
def create(settings: Settings, note: str, expires: str, uses: int | None) -> None:
    """Create a token and print it: the only time that it is shown.

    Put it into a file that only the minion can read, and name that file in the minion's [master] token_file. A minion
    that it has let in has a key of its own and stays, also when the token has ended.
    """
    from cicd.cli import words
    from cicd.messages.client import CreateToken, TokenAnswer

    with settings.client() as client:
        answer = client.ask(CreateToken(note=note, lasts_s=lasts_s(expires), uses=uses or 0), TokenAnswer)
    if settings.as_json:
        settings.out.json(answer)
        return
    settings.out.line(answer.token)
    until = "until it is revoked"
    if answer.record.expires_s:
        until = f"until {words.moment(answer.record.expires_s)}"
    settings.out.note(f"token {answer.record.id}: whoever has it can join as a minion, {until}; it is not shown again")


@tokens.command("list")
@common
@pass_settings
def list_(settings: Settings) -> None:
    """List tokens, without their secrets."""
    from cicd.cli import words
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
        ["id", "state", "created", "expires", "uses", "by", "note"],
        [
            (
                token.id,
                state(token, now_s),
                when(settings.out, token.created_s, now_s),
                words.moment(token.expires_s) if token.expires_s else "never",
                f"{token.uses}/{token.max_uses}" if token.max_uses else str(token.uses),
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
    """Let no minion in with the token ID any more; those that it let in stay ('cicd minions remove' ends one)."""
    from cicd.messages.client import Done, RevokeToken

    with settings.client() as client:
        client.ask(RevokeToken(id=id), Done)
    if settings.as_json:
        settings.out.json({"revoked": id})
    else:
        settings.out.line(f"{id} is revoked")
