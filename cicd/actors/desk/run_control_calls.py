"""How calls that steer runs are answered: cancel, retry, resolve."""

from __future__ import annotations

import os

from cicd.actors.archive import blob_path
from cicd.actors.desk.finding import find_job, find_run
from cicd.actors.desk.run_calls import render_run
from cicd.actors.desk.tools import Answered, Tools
from cicd.core import carrying
from cicd.core.events import Asker, JobCancelRequested, JobResolved, RunCancelRequested, RunSubmitted
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.errors import ConflictError, NotFoundError, UserError
from cicd.messages import client as c
from cicd.messages.base import RunId
from cicd.messages.bulk import BlobKind
from cicd.messages.run import RunRecord, RunState, Trigger
from cicd.storage.records import Records

MAX_GRACE_S = 86_400.0
MAX_WHY = 1000
"""Longest reason that a person can give, in characters."""


class RunControlCalls:
    """Calls that steer runs.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def CancelRun(self, call: c.CancelRun, user: str, asker: Asker) -> Answered:
        if call.grace_s is not None and not 0 <= call.grace_s <= MAX_GRACE_S:  # NaN is not either
            raise UserError(f"the grace has to be between 0 and {MAX_GRACE_S:.0f} seconds")
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            job = find_job(found, run, call.job) if call.job else None
        if run.state in TERMINAL_RUNS:
            raise ConflictError(f"run {run.pipeline_name}#{run.number} has ended already: {run.state}")
        if job is None:
            self._tools.events.put([RunCancelRequested(run=run.id, by=user, grace_s=call.grace_s, asker=asker)])
        else:
            self._tools.events.put([JobCancelRequested(job=job, by=user, grace_s=call.grace_s, asker=asker)])
        return render_run

    def ResolveJob(self, call: c.ResolveJob, user: str, asker: Asker) -> Answered:
        if len(call.why) > MAX_WHY:
            raise UserError(f"the reason has more than {MAX_WHY} characters")
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            job = find_job(found, run, call.job)
        if run.state in TERMINAL_RUNS:
            raise ConflictError(f"run {run.pipeline_name}#{run.number} has ended already: {run.state}")
        self._tools.events.put([JobResolved(job=job, how=call.how, by=user, why=call.why, asker=asker)])
        return render_run

    def RetryRun(self, call: c.RetryRun, user: str, asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            known = found.run_of_request(call.request) if call.request else None
            begun = found.run(known) if known is not None else None
            if begun is not None:
                return c.RunAnswer(run=begun)
            run = find_run(found, call.run)
            plugin = found.plugin(run.plugin)
            gone = found.pipeline_by_id(run.pipeline) is None
            jobs = found.jobs(run.id, -1, run.job_count)
        name = f"run {run.pipeline_name}#{run.number}"
        if run.state not in TERMINAL_RUNS:
            raise ConflictError(f"{name} is still {run.state}: wait for its end, or cancel it (cicd runs cancel)")
        if run.state is RunState.SUCCEEDED and not call.all_jobs:
            raise ConflictError(f"{name} has succeeded: nothing is left to run again; --all runs all of its jobs")
        if plugin is None or gone or not self._keep_for(run):
            raise NotFoundError(f"{name} cannot be run again: its pipeline or its plugin is no longer there")
        carried = () if call.all_jobs else carrying.carried(plugin.spec, jobs)
        record = _repeated(run, RunId(self._tools.ids.new()), user)
        event = RunSubmitted(
            run=record,
            spec=plugin.spec,
            requires=plugin.tags,
            request=call.request,
            plugin_size_bytes=plugin.size_bytes,
            source_size_bytes=plugin.source_size_bytes,
            carried=carried,
            asker=asker,
        )
        self._tools.events.put([event])
        return render_run

    def _keep_for(self, run: RunRecord) -> bool:
        """Have what a run is pinned to kept, as used just now; return whether it is still there at all."""
        folder, now = self._tools.about.data_dir, self._tools.clock.wall_s()
        try:
            os.utime(blob_path(folder, BlobKind.PLUGIN, run.plugin).parent, (now, now))
            os.utime(blob_path(folder, BlobKind.SOURCE, run.source_digest), (now, now))
        except OSError:
            return False
        return True


def _repeated(old: RunRecord, id_: RunId, user: str) -> RunRecord:
    return RunRecord(
        id=id_,
        pipeline=old.pipeline,
        pipeline_name=old.pipeline_name,
        number=0,
        plugin=old.plugin,
        source_digest=old.source_digest,
        commit=old.commit,
        trigger=Trigger(by=user, kind="retry"),
        job_count=old.job_count,
        params=old.params,
        repository=old.repository,
        ref=old.ref,
        retry_of=old.id,
        priority=old.priority,
        forced=old.forced,
        depends_on=old.depends_on,
    )
