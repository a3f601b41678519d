"""How calls about logs are answered."""

from __future__ import annotations

from cicd.actors.desk.finding import find_job, find_run
from cicd.actors.desk.streams import LogStream
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.messages import client as c
from cicd.storage.records import Records


class LogCalls:
    """Calls about logs.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def ReadLog(self, call: c.ReadLog, _user: str, _asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            job = find_job(found, run, call.job)
        return LogStream(
            self._tools.storage,
            self._tools.logs,
            self._tools.clock,
            job=job,
            attempt=max(call.attempt, 0),
            offset=max(call.offset, 0),
            follow=call.follow,
        )
