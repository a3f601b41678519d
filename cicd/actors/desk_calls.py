"""How each call of a client is answered: at once, by a stream, or when the Scheduler has stored what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykka
from msgspec.structs import replace

from cicd import __version__
from cicd.actors.base import Inbox, ask
from cicd.actors.desk_streams import BuildStream, LogStream, RunStream, Stream
from cicd.actors.log_files import LogFiles
from cicd.actors.paging import fitting
from cicd.actors.pipeline_compiler import Create, Delete, PipelineCompiler, Recompile, build_log_path
from cicd.actors.scheduler import SchedulerClient
from cicd.actors.store import StoreClient
from cicd.clock import Clock
from cicd.core import params
from cicd.core.events import (
    Asker,
    Event,
    MinionResumed,
    MinionSuspended,
    RunCancelRequested,
    RunSubmitted,
)
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.errors import ConflictError, NotFoundError, UserError
from cicd.ids import IdSource
from cicd.messages import client as c
from cicd.messages.base import JobId, RunId, job_id
from cicd.messages.cluster import MinionRecord, TokenRecord
from cicd.messages.pipeline import PipelineRecord
from cicd.messages.run import AttemptRecord, RunRecord, Trigger
from cicd.storage import records
from cicd.storage.base import Storage
from cicd.storage.records import Records
from cicd.transport.policy import MINION_DOMAIN, KeyRing

Render = Callable[[Any], c.Answer]
Answered = c.Answer | Stream | Render
"""An answer; a stream; or how to render what the Scheduler will reply."""

NewToken = Callable[[], tuple[str, str, str]]
"""-> token's id, its client public key (z85), its text."""


@dataclass(frozen=True, slots=True)
class About:
    """What `Status` tells."""

    started_s: float
    data_dir: Path
    endpoints: dict[str, str]


class Calls:
    """Answers calls; used by the desk's thread only.

    Args:
        events: the Scheduler's inbox.
        new_token: makes a join token for this master.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        store: StoreClient,
        scheduler: SchedulerClient,
        events: Inbox[Event],
        compiler: pykka.ActorRef[PipelineCompiler],
        keyring: KeyRing,
        logs: LogFiles,
        new_token: NewToken,
        clock: Clock,
        ids: IdSource,
        about: About,
    ) -> None:
        self._storage = storage
        self._store = store
        self._scheduler = scheduler
        self._events = events
        self._compiler = compiler
        self._keyring = keyring
        self._logs = logs
        self._new_token = new_token
        self._clock = clock
        self._ids = ids
        self._about = about

    def answer(self, call: c.Call, user: str, asker: Asker) -> Answered:
        """Answer a call of `user`; `asker` is what the Scheduler's reply will carry.

        Raises:
            CicdError: what is wrong with it.
        """
        answered: Answered = getattr(self, f"_{type(call).__name__}")(call, user, asker)
        return answered

    # The methods below are named after the calls, one each: what a reader looks for is the call's name.
    # ruff: noqa: N802

    def _Status(self, _call: c.Status, user: str, _asker: Asker) -> Answered:
        return c.StatusAnswer(
            version=__version__,
            operator=user,
            started_s=self._about.started_s,
            data_dir=str(self._about.data_dir),
            endpoints=self._about.endpoints,
        )

    # ---- pipelines

    def _CreatePipeline(self, call: c.CreatePipeline, user: str, _asker: Asker) -> Answered:
        return c.PipelineAnswer(view=c.PipelineView(pipeline=ask(self._compiler, Create(call, user))))

    def _ListPipelines(self, call: c.ListPipelines, _user: str, _asker: Asker) -> Answered:
        limit = _limit(call.limit)
        with self._storage.snapshot() as view:
            found = Records(view)
            page = found.pipelines(call.after, limit + 1)
            views = [c.PipelineView(pipeline=one, last_run=found.last_run(one.id)) for one in page[:limit]]
        rows = fitting(views)
        return c.PipelinePage(pipelines=rows, more=len(page) > len(rows))

    def _ShowPipeline(self, call: c.ShowPipeline, _user: str, _asker: Asker) -> Answered:
        with self._storage.snapshot() as view:
            found = Records(view)
            pipeline = _pipeline(found, call.name)
            plugin = found.plugin(pipeline.plugin) if pipeline.plugin is not None else None
            last = found.last_run(pipeline.id)
        spec = plugin.spec if plugin is not None else None
        return c.PipelineAnswer(view=c.PipelineView(pipeline=pipeline, last_run=last, spec=spec))

    def _RecompilePipeline(self, call: c.RecompilePipeline, _user: str, _asker: Asker) -> Answered:
        return c.PipelineAnswer(view=c.PipelineView(pipeline=ask(self._compiler, Recompile(call.name))))

    def _DeletePipeline(self, call: c.DeletePipeline, _user: str, _asker: Asker) -> Answered:
        ask(self._compiler, Delete(call.name))
        return c.Done()

    def _FollowBuild(self, call: c.FollowBuild, _user: str, _asker: Asker) -> Answered:
        pipeline = _pipeline(Records(self._storage), call.name)
        build = call.build or pipeline.build
        if build > pipeline.build or build < 1:
            raise NotFoundError(f"{call.name} has no build {build}; its newest is {pipeline.build}")
        path = build_log_path(self._about.data_dir, pipeline.id, build)
        return BuildStream(self._storage, path, pipeline.id, build, follow=call.follow)

    # ---- runs

    def _StartRun(self, call: c.StartRun, user: str, asker: Asker) -> Answered:
        with self._storage.snapshot() as view:
            found = Records(view)
            known = found.run_of_request(call.request) if call.request else None
            run = found.run(known) if known is not None else None
            if run is not None:
                return c.RunAnswer(run=run)
            pipeline = _pipeline(found, call.pipeline)
            plugin = found.plugin(pipeline.plugin) if pipeline.plugin is not None else None
        if plugin is None or pipeline.source_digest is None:
            detail = f": {pipeline.build_error}" if pipeline.build_error else ""
            raise ConflictError(f"{pipeline.name} has no good build yet (the newest is {pipeline.build_state}{detail})")
        record = RunRecord(
            id=RunId(self._ids.new()),
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
        )
        event = RunSubmitted(
            run=record,
            spec=plugin.spec,
            requires=plugin.tags,
            request=call.request,
            plugin_size_bytes=plugin.size_bytes,
            source_size_bytes=plugin.source_size_bytes,
            asker=asker,
        )
        self._events.put([event])
        return _render_run

    def _ListRuns(self, call: c.ListRuns, _user: str, _asker: Asker) -> Answered:
        limit = _limit(call.limit)
        with self._storage.snapshot() as view:
            found = Records(view)
            if call.active:
                wanted = _pipeline(found, call.pipeline).id if call.pipeline else None
                runs = [run for run in found.active_runs() if wanted in (None, run.pipeline)]
                runs = [run for run in reversed(runs) if not call.before or run.id < call.before][: limit + 1]
            elif call.pipeline:
                before = _number(call.before) if call.before else None
                runs = found.pipeline_runs(_pipeline(found, call.pipeline).id, before, limit + 1)
            else:
                runs = found.latest_runs(RunId(call.before) if call.before else None, limit + 1)
        rows = fitting(runs[:limit])
        return c.RunPage(runs=rows, more=len(runs) > len(rows))

    def _ShowRun(self, call: c.ShowRun, _user: str, _asker: Asker) -> Answered:
        limit = _limit(call.limit)
        with self._storage.snapshot() as view:
            found = Records(view)
            run = find_run(found, call.run)
            jobs = found.jobs(run.id, call.after_index, limit + 1)
            attempts = {job.id: tuple(map(_without_outputs, found.attempts(job.id))) for job in jobs[:limit]}
        waits = self._waits(run)
        views = [c.JobView(job=job, waits=waits.get(job.id, ""), attempts=attempts[job.id]) for job in jobs[:limit]]
        rows = fitting(views)
        return c.RunAnswer(run=run, jobs=rows, more=len(jobs) > len(rows))

    def _waits(self, run: RunRecord) -> dict[JobId, str]:
        return self._scheduler.waits(run.id) if run.state not in TERMINAL_RUNS else {}

    def _FollowRun(self, call: c.FollowRun, _user: str, _asker: Asker) -> Answered:
        run = find_run(Records(self._storage), call.run)
        return RunStream(self._storage, run.id, self._scheduler.waits)

    def _CancelRun(self, call: c.CancelRun, user: str, asker: Asker) -> Answered:
        run = find_run(Records(self._storage), call.run)
        if run.state in TERMINAL_RUNS:
            raise ConflictError(f"run {run.pipeline_name}#{run.number} has ended already: {run.state}")
        self._events.put([RunCancelRequested(run=run.id, by=user, asker=asker)])
        return _render_run

    def _ReadLog(self, call: c.ReadLog, _user: str, _asker: Asker) -> Answered:
        with self._storage.snapshot() as view:
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
            self._storage,
            self._logs,
            self._clock,
            job=job,
            attempt=max(call.attempt, 0),
            offset=max(call.offset, 0),
            follow=call.follow,
        )

    # ---- minions

    def _ListMinions(self, call: c.ListMinions, _user: str, _asker: Asker) -> Answered:
        limit = _limit(call.limit)
        views = [view for view in self._scheduler.minions() if view.minion.ring > call.after]
        rows = fitting(views[:limit])
        return c.MinionPage(minions=rows, more=len(views) > len(rows))

    def _ShowMinion(self, call: c.ShowMinion, _user: str, _asker: Asker) -> Answered:
        return c.MinionAnswer(view=self._minion(call.name))

    def _SuspendMinion(self, call: c.SuspendMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._events.put([MinionSuspended(minion=minion.id, by=user, why=call.why, asker=asker)])
        return self._render_minion

    def _ResumeMinion(self, call: c.ResumeMinion, user: str, asker: Asker) -> Answered:
        minion = self._minion(call.name).minion
        self._events.put([MinionResumed(minion=minion.id, by=user, asker=asker)])
        return self._render_minion

    def _minion(self, name: str) -> c.MinionView:
        if not name:
            raise UserError("which minion?")
        return self._scheduler.minions(name)[0]

    def _render_minion(self, record: MinionRecord) -> c.Answer:
        return c.MinionAnswer(view=self._minion(record.id))

    # ---- tokens

    def _CreateToken(self, call: c.CreateToken, user: str, _asker: Asker) -> Answered:
        id_, public, text = self._new_token()
        record = TokenRecord(
            id=id_, client_public=public, created_s=self._clock.wall_s(), created_by=user, note=call.note
        )
        self._store.commit(records.save_token(record))
        self._keyring.add(MINION_DOMAIN, public, id_)
        return c.TokenAnswer(record=record, token=text)

    def _ListTokens(self, _call: c.ListTokens, _user: str, _asker: Asker) -> Answered:
        return c.TokenPage(tokens=tuple(Records(self._storage).tokens()))

    def _RevokeToken(self, call: c.RevokeToken, _user: str, _asker: Asker) -> Answered:
        token = Records(self._storage).token(call.id)
        if token is None:
            raise NotFoundError(f"no token {call.id!r}")
        token = replace(token, revoked=True)
        self._store.commit(records.save_token(token))
        self._keyring.remove(MINION_DOMAIN, token.client_public)
        return c.Done()


def _render_run(run: RunRecord) -> c.Answer:
    return c.RunAnswer(run=run)


def _without_outputs(attempt: AttemptRecord) -> AttemptRecord:
    """Leave out what stands in the job's own record: outputs count only where the job succeeded."""
    if attempt.result is None or not attempt.result.outputs:
        return attempt
    return replace(attempt, result=replace(attempt.result, outputs={}))


def _limit(limit: int) -> int:
    return max(1, min(limit, c.PAGE))


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"not a run's number: {text!r}") from None


def _pipeline(found: Records, name: str) -> PipelineRecord:
    pipeline = found.pipeline(name)
    if pipeline is None:
        raise NotFoundError(f"no pipeline is called {name!r}; `cicd pipelines list` shows those there are")
    return pipeline


def find_run(found: Records, text: str) -> RunRecord:
    """Return the run that people mean by an id, by `pipeline#number`, or by a pipeline's name (its newest run).

    Raises:
        NotFoundError: there is none.
    """
    run: RunRecord | None
    name, mark, number = text.rpartition("#")
    if mark:
        run = found.run_by_number(_pipeline(found, name).id, _number(number))
    else:
        run = found.run(RunId(text))
        pipeline = found.pipeline(text) if run is None else None
        last = found.last_run(pipeline.id) if pipeline is not None else None
        run = found.run(last.run) if last is not None else run
    if run is None:
        raise NotFoundError(f"no run {text!r}: give a run's id, PIPELINE#NUMBER, or a pipeline that has run")
    return run
