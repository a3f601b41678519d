"""How calls about pipelines and their builds are answered."""

from __future__ import annotations

from cicd.actors.base import ask
from cicd.actors.desk.finding import find_pipeline, page_limit
from cicd.actors.desk.paging import fitting
from cicd.actors.desk.streams import BuildStream
from cicd.actors.desk.tools import Answered, Tools
from cicd.actors.pipeline_compiler import Create, Delete, Recompile, build_log_path
from cicd.core.events import (
    Asker,
)
from cicd.errors import NotFoundError
from cicd.messages import client as c
from cicd.storage.records import Records


class PipelineCalls:
    """Calls about pipelines.

    Args:
        tools: what calls are answered with.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def CreatePipeline(self, call: c.CreatePipeline, user: str, _asker: Asker) -> Answered:
        return c.PipelineAnswer(view=c.PipelineView(pipeline=ask(self._tools.compiler, Create(call, user))))

    def ListPipelines(self, call: c.ListPipelines, _user: str, _asker: Asker) -> Answered:
        limit = page_limit(call.limit)
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            page = found.pipelines(call.after, limit + 1)
            views = [c.PipelineView(pipeline=one, last_run=found.last_run(one.id)) for one in page[:limit]]
        rows = fitting(views)
        return c.PipelinePage(pipelines=rows, more=len(page) > len(rows))

    def ShowPipeline(self, call: c.ShowPipeline, _user: str, _asker: Asker) -> Answered:
        with self._tools.storage.snapshot() as view:
            found = Records(view)
            pipeline = find_pipeline(found, call.name)
            plugin = found.plugin(pipeline.plugin) if pipeline.plugin is not None else None
            last = found.last_run(pipeline.id)
        spec = plugin.spec if plugin is not None else None
        return c.PipelineAnswer(view=c.PipelineView(pipeline=pipeline, last_run=last, spec=spec))

    def RecompilePipeline(self, call: c.RecompilePipeline, _user: str, _asker: Asker) -> Answered:
        return c.PipelineAnswer(view=c.PipelineView(pipeline=ask(self._tools.compiler, Recompile(call.name))))

    def DeletePipeline(self, call: c.DeletePipeline, _user: str, _asker: Asker) -> Answered:
        ask(self._tools.compiler, Delete(call.name))
        return c.Done()

    def FollowBuild(self, call: c.FollowBuild, _user: str, _asker: Asker) -> Answered:
        pipeline = find_pipeline(Records(self._tools.storage), call.name)
        build = call.build or pipeline.build
        if build > pipeline.build or build < 1:
            raise NotFoundError(f"{call.name} has no build {build}; its newest is {pipeline.build}")
        path = build_log_path(self._tools.about.data_dir, pipeline.id, build)
        return BuildStream(self._tools.storage, path, pipeline.id, build, follow=call.follow)
