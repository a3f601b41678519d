"""Calls about join tokens, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.cluster import TokenRecord


class CreateToken(Wire, frozen=True):
    """-> TokenAnswer with the secret: the only time it is shown."""

    note: str = ""


class ListTokens(Wire, frozen=True):
    """-> TokenPage."""


class RevokeToken(Wire, frozen=True):
    """-> Done. No new connection with it is let in; those that are open are not cut."""

    id: str


class TokenAnswer(Wire, frozen=True):
    """A new token, whole (`cicd1.<server key>.<id>.<secret>`)."""

    record: TokenRecord
    token: str


class TokenPage(Wire, frozen=True):
    """Tokens without their secrets."""

    tokens: tuple[TokenRecord, ...]
