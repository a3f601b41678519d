"""How calls about join tokens are answered."""

from __future__ import annotations

from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import Asker, TokenCreated, TokenRevoked
from cicd.errors import UserError
from cicd.messages import client as c
from cicd.messages.cluster import TokenRecord
from cicd.storage.records import Records

_LONGEST_S = 100 * 365 * 86_400.0
_MOST_USES = 1_000_000


class TokenCalls:
    """Calls about join tokens.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def CreateToken(self, call: c.CreateToken, user: str, asker: Asker) -> Answered:
        if not 0 <= call.lasts_s <= _LONGEST_S:
            raise UserError("a token lasts up to 100 years, or (0) until it is revoked")
        if not 0 <= call.uses <= _MOST_USES:
            raise UserError(f"a token lets in 1 to {_MOST_USES} minions, or (0) any number")
        id_, public, text = self._tools.new_token()
        now_s = self._tools.clock.wall_s()
        record = TokenRecord(
            id=id_,
            client_public=public,
            created_s=now_s,
            created_by=user,
            note=call.note,
            expires_s=now_s + call.lasts_s if call.lasts_s else 0.0,
            max_uses=call.uses,
            enrol_only=True,
        )
        self._tools.events.put([TokenCreated(token=record, asker=asker)])

        def render(stored: TokenRecord) -> c.Answer:
            return c.TokenAnswer(record=stored, token=text)

        return render

    def ListTokens(self, _call: c.ListTokens, _user: str, _asker: Asker) -> Answered:
        return c.TokenPage(tokens=tuple(Records(self._tools.storage).tokens()))

    def RevokeToken(self, call: c.RevokeToken, _user: str, asker: Asker) -> Answered:
        self._tools.events.put([TokenRevoked(token=call.id, asker=asker)])
        return lambda _token: c.Done()
