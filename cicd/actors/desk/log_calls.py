"""How calls about logs are answered."""

from __future__ import annotations

from cicd.actors.desk.finding import find_run
from cicd.actors.desk.streams import LogStream
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.errors import NotFoundError
from cicd.messages import client as c
from cicd.messages.base import job_id
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
            plugin = found.plugin(run.plugin)
        names = [job.name for job in plugin.spec.jobs] if plugin is not None else []
        if call.job not in names:
            raise NotFoundError(
                f"run {run.pipeline_name}#{run.number} has no job {call.job!r}; it has {', '.join(names)}"
            )
        job = job_id(run.id, names.index(call.job))
        return LogStream(
            self._tools.storage,
            self._tools.logs,
            self._tools.clock,
            job=job,
            attempt=max(call.attempt, 0),
            offset=max(call.offset, 0),
            follow=call.follow,
        )
