"""How calls about join tokens are answered."""

from __future__ import annotations

from msgspec.structs import replace

from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.errors import NotFoundError
from cicd.messages import client as c
from cicd.messages.cluster import TokenRecord
from cicd.storage import records
from cicd.storage.records import Records
from cicd.transport.policy import MINION_DOMAIN


class TokenCalls:
    """Calls about join tokens.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def CreateToken(self, call: c.CreateToken, user: str, _asker: Asker) -> Answered:
        id_, public, text = self._tools.new_token()
        record = TokenRecord(
            id=id_, client_public=public, created_s=self._tools.clock.wall_s(), created_by=user, note=call.note
        )
        self._tools.store.commit(records.save_token(record))
        self._tools.keyring.add(MINION_DOMAIN, public, id_)
        return c.TokenAnswer(record=record, token=text)

    def ListTokens(self, _call: c.ListTokens, _user: str, _asker: Asker) -> Answered:
        return c.TokenPage(tokens=tuple(Records(self._tools.storage).tokens()))

    def RevokeToken(self, call: c.RevokeToken, _user: str, _asker: Asker) -> Answered:
        token = Records(self._tools.storage).token(call.id)
        if token is None:
            raise NotFoundError(f"no token {call.id!r}")
        token = replace(token, revoked=True)
        self._tools.store.commit(records.save_token(token))
        self._tools.keyring.remove(MINION_DOMAIN, token.client_public)
        return c.Done()
