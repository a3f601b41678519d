"""How calls about disks are answered."""

from __future__ import annotations

from cicd.actors.desk.finding import page_limit
from cicd.actors.desk.paging import fitting
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import Asker
from cicd.messages import client as c
from cicd.storage import tombstones


class DiskCalls:
    """Calls about disks.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def ShowDisk(self, _call: c.ShowDisk, _user: str, _asker: Asker) -> Answered:
        return c.DiskAnswer(disk=self._tools.disk(), data_dir=str(self._tools.about.data_dir))

    def ListDeletions(self, call: c.ListDeletions, _user: str, _asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = tombstones.deletions(view, page_limit(call.limit))
        return c.DeletionPage(deletions=fitting(found))
