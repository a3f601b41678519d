"""How calls about minions are answered."""

from __future__ import annotations

from cicd.actors.desk.finding import page_limit
from cicd.actors.desk.paging import fitting
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import Asker, MinionDrained, MinionRemoved, MinionResumed, MinionSuspended
from cicd.errors import UserError
from cicd.messages import client as c
from cicd.messages.cluster import MinionRecord


class MinionCalls:
    """Calls about minions.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def ListMinions(self, call: c.ListMinions, _user: str, _asker: Asker) -> Answered:
        limit = page_limit(call.limit)
        views = [view for view in self._tools.scheduler.minions() if view.minion.ring > call.after]
        rows = fitting(views[:limit])
        return c.MinionPage(minions=rows, more=len(views) > len(rows))

    def ShowMinion(self, call: c.ShowMinion, _user: str, _asker: Asker) -> Answered:
        return c.MinionAnswer(view=self._minion(call.name))

    def SuspendMinion(self, call: c.SuspendMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._tools.events.put([MinionSuspended(minion=minion.id, by=user, why=call.why, asker=asker)])
        return self._render_minion

    def DrainMinion(self, call: c.DrainMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._tools.events.put([MinionDrained(minion=minion.id, by=user, why=call.why, asker=asker)])
        return self._render_minion

    def ResumeMinion(self, call: c.ResumeMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._tools.events.put([MinionResumed(minion=minion.id, by=user, asker=asker)])
        return self._render_minion

    def RemoveMinion(self, call: c.RemoveMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._tools.events.put([MinionRemoved(minion=minion.id, by=user, asker=asker)])
        return lambda _record: c.Done()

    def _minion(self, name: str) -> c.MinionView:
        if not name:
            raise UserError("which minion?")
        return self._tools.scheduler.minions(name)[0]

    def _render_minion(self, record: MinionRecord) -> c.Answer:
        return c.MinionAnswer(view=self._minion(record.id))
