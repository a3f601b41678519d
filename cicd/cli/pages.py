"""Whole lists out of the master's pages."""

from __future__ import annotations

from cicd.client import Client
from cicd.messages.base import RunId
from cicd.messages.client import (
    PAGE,
    ListMinions,
    ListPipelines,
    ListRuns,
    MinionPage,
    MinionView,
    PipelinePage,
    PipelineView,
    RunAnswer,
    RunPage,
    ShowRun,
)
from cicd.messages.run import RunRecord


def all_pipelines(client: Client) -> list[PipelineView]:
    """Return every pipeline, by name."""
    found: list[PipelineView] = []
    more = True
    while more:
        after = found[-1].pipeline.name if found else ""
        page = client.ask(ListPipelines(after=after), PipelinePage)
        found += page.pipelines
        more = page.more and bool(page.pipelines)
    return found


def all_minions(client: Client) -> list[MinionView]:
    """Return every minion, by its place in the ring."""
    found: list[MinionView] = []
    more = True
    while more:
        after = found[-1].minion.ring if found else -1
        page = client.ask(ListMinions(after=after), MinionPage)
        found += page.minions
        more = page.more and bool(page.minions)
    return found


def runs_page(client: Client, *, pipeline: str = "", active: bool = False, limit: int | None = None) -> RunPage:
    """Return runs, newest first, up to `limit`; None: all."""
    found: list[RunRecord] = []
    waits: dict[RunId, str] = {}
    more = True
    while more and (limit is None or len(found) < limit):
        before = _before(found, by_number=bool(pipeline) and not active)
        wanted = PAGE if limit is None else min(PAGE, limit - len(found))
        page = client.ask(ListRuns(pipeline=pipeline, before=before, limit=wanted, active=active), RunPage)
        found += page.runs
        waits |= page.waits
        more = page.more and bool(page.runs)
    return RunPage(runs=tuple(found), waits=waits)


def _before(found: list[RunRecord], *, by_number: bool) -> str:
    if not found:
        return ""
    return str(found[-1].number) if by_number else found[-1].id


def whole_run(client: Client, run: str) -> RunAnswer:
    """Return a run with all of its jobs. `run`: an id, `pipeline#number`, or a pipeline (its newest run)."""
    answer = client.ask(ShowRun(run=run), RunAnswer)
    jobs = list(answer.jobs)
    page = answer
    while page.more and page.jobs:
        # By its id: a pipeline's newest run may be another one by now.
        page = client.ask(ShowRun(run=answer.run.id, after_index=page.jobs[-1].job.index), RunAnswer)
        jobs += page.jobs
    return RunAnswer(run=page.run, jobs=tuple(jobs), waits=page.waits)
