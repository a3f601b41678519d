"""How calls about runs are answered."""

from __future__ import annotations

from msgspec.structs import replace

from cicd.actors.desk.finding import find_dependencies, find_pipeline, find_run, page_limit, run_number
from cicd.actors.desk.paging import fitting
from cicd.actors.desk.streams import RunStream
from cicd.actors.desk.tools import Answered, Tools
from cicd.core import params
from cicd.core.events import (
    Asker,
    RunSubmitted,
)
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.errors import ConflictError, UserError
from cicd.messages import client as c
from cicd.messages.base import JobId, RunId
from cicd.messages.run import MAX_PRIORITY, AttemptRecord, RunRecord, Trigger
from cicd.storage.records import Records


class RunCalls:
    """Calls about runs.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def StartRun(self, call: c.StartRun, user: str, asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            known = found.run_of_request(call.request) if call.request else None
            run = found.run(known) if known is not None else None
            if run is not None:
                return c.RunAnswer(run=run)
            if not -MAX_PRIORITY <= call.priority <= MAX_PRIORITY:
                raise UserError(f"a priority is between -{MAX_PRIORITY} and {MAX_PRIORITY}, not {call.priority}")
            pipeline = find_pipeline(found, call.pipeline)
            plugin = found.plugin(pipeline.plugin) if pipeline.plugin is not None else None
            names = plugin.spec.depends_on if plugin is not None and not call.force else ()
            depends_on = find_dependencies(found, pipeline, names)
        if plugin is None or pipeline.source_digest is None:
            detail = f": {pipeline.build_error}" if pipeline.build_error else ""
            raise ConflictError(f"{pipeline.name} has no good build yet (the newest is {pipeline.build_state}{detail})")
        record = RunRecord(
            id=RunId(self._tools.ids.new()),
            pipeline=pipeline.id,
            pipeline_name=pipeline.name,
            number=0,
            plugin=plugin.digest,
            source_digest=pipeline.source_digest,
            commit=pipeline.commit,
            trigger=Trigger(by=user),
            job_count=len(plugin.spec.jobs),
            params=params.resolve(plugin.spec, call.params),
            repository=pipeline.source.repository,
            ref=pipeline.source.ref,
            priority=call.priority,
            depends_on=depends_on,
            forced=call.force,
            request=call.request,
        )
        event = RunSubmitted(
            run=record,
            spec=plugin.spec,
            requires=plugin.tags,
            supersede=call.supersede,
            request=call.request,
            plugin_size_bytes=plugin.size_bytes,
            source_size_bytes=plugin.source_size_bytes,
            asker=asker,
        )
        self._tools.events.put([event])
        return render_run

    def ListRuns(self, call: c.ListRuns, _user: str, _asker: Asker) -> Answered:
        limit = page_limit(call.limit)
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            if call.active:
                wanted = find_pipeline(found, call.pipeline).id if call.pipeline else None
                runs = [run for run in found.active_runs() if wanted in (None, run.pipeline)]
                runs = [run for run in reversed(runs) if not call.before or run.id < call.before][: limit + 1]
            elif call.pipeline:
                before = run_number(call.before) if call.before else None
                runs = found.pipeline_runs(find_pipeline(found, call.pipeline).id, before, limit + 1)
            else:
                runs = found.latest_runs(RunId(call.before) if call.before else None, limit + 1)
        waits = self._tools.scheduler.run_waits(runs[:limit])
        # What is shown together has to fit together.
        rows = fitting([c.RunAnswer(run=run, waits=waits.get(run.id, "")) for run in runs[:limit]])
        told = {row.run.id: row.waits for row in rows if row.waits}
        return c.RunPage(runs=tuple(row.run for row in rows), waits=told, more=len(runs) > len(rows))

    def ShowRun(self, call: c.ShowRun, _user: str, _asker: Asker) -> Answered:
        limit = page_limit(call.limit)
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            jobs = found.jobs(run.id, call.after_index, limit + 1)
            attempts = {job.id: tuple(map(_without_outputs, found.attempts(job.id))) for job in jobs[:limit]}
        waits = self._waits(run)
        views = [c.JobView(job=job, waits=waits.get(job.id, ""), attempts=attempts[job.id]) for job in jobs[:limit]]
        rows = fitting(views)
        text = self._tools.scheduler.run_waits([run]).get(run.id, "")
        return c.RunAnswer(run=run, jobs=rows, more=len(jobs) > len(rows), waits=text)

    def _waits(self, run: RunRecord) -> dict[JobId, str]:
        return self._tools.scheduler.waits(run.id) if run.state not in TERMINAL_RUNS else {}

    def FollowRun(self, call: c.FollowRun, _user: str, _asker: Asker) -> Answered:
        run = find_run(Records(self._tools.storage), call.run)
        return RunStream(self._tools.storage, run.id, self._tools.scheduler)


def render_run(run: RunRecord) -> c.Answer:
    """Return the answer to a call that began or changed a run."""
    return c.RunAnswer(run=run)


def _without_outputs(attempt: AttemptRecord) -> AttemptRecord:
    """Leave out what stands in the job's own record: outputs count only where the job succeeded."""
    if attempt.result is None or not attempt.result.outputs:
        return attempt
    return replace(attempt, result=replace(attempt.result, outputs={}))
