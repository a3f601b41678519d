"""How calls about the master itself are answered."""

from __future__ import annotations

from cicd import __version__
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.messages import client as c


class MasterCalls:
    """Calls about the master.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def Status(self, _call: c.Status, user: str, _asker: Asker) -> Answered:
        return c.StatusAnswer(
            version=__version__,
            operator=user,
            started_s=self._tools.about.started_s,
            data_dir=str(self._tools.about.data_dir),
            endpoints=self._tools.about.endpoints,
            dropped={reason: number for reason, number in self._tools.dropped().items() if number},
        )
