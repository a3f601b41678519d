"""How questions why are answered."""

from __future__ import annotations

from cicd.actors.desk.finding import find_run
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.errors import NotFoundError
from cicd.messages import client as c
from cicd.messages.base import job_id
from cicd.storage.records import Records


class ExplainCalls:
    """Calls that ask why.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def ExplainRun(self, call: c.ExplainRun, _user: str, _asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            plugin = found.plugin(run.plugin)
        names = [job.name for job in plugin.spec.jobs] if plugin is not None else []
        if call.job and call.job not in names:
            raise NotFoundError(
                f"run {run.pipeline_name}#{run.number} has no job {call.job!r}; it has {', '.join(names)}"
            )
        waits = self._tools.scheduler.waits(run.id) if run.state not in TERMINAL_RUNS else {}
        now_s = self._tools.clock.wall_s()
        now = [
            c.StoryLine(at_s=now_s, text=waits[job_id(run.id, index)], kind=c.StoryKind.NOW.value, job=name)
            for index, name in enumerate(names)
            if job_id(run.id, index) in waits and call.job in ("", name)
        ]
        return self._tools.explainer.tell(run, names, call.job, now)
