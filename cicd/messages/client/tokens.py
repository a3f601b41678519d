"""Calls about join tokens, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.cluster import TokenRecord


class CreateToken(Wire, frozen=True):
    """-> TokenAnswer with the secret: the only time it is shown.

    Attributes:
        lasts_s: for how long it lets minions in; 0: until it is revoked.
        uses: how many minions it lets in; 0: any number.
    """

    note: str = ""
    lasts_s: float = 0.0
    uses: int = 0


class ListTokens(Wire, frozen=True):
    """-> TokenPage."""


class RevokeToken(Wire, frozen=True):
    """-> Done. It lets no minion in any more; those that it let in have keys of their own and stay."""

    id: str


class TokenAnswer(Wire, frozen=True):
    """A new token, whole (`cicd1.<server key>.<id>.<secret>`)."""

    record: TokenRecord
    token: str


class TokenPage(Wire, frozen=True):
    """Tokens without their secrets."""

    tokens: tuple[TokenRecord, ...]
