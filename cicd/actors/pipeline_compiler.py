"""PipelineCompiler: owns the pipelines and their builds.

Builds run in the build host, a single-threaded helper process (forking and threads do not mix); this actor says what to
build, stores what came of it, and keeps the last good plugin in service when a build fails. The build that is under way
is part of the pipeline's record, so one that a crash interrupted is found at the start and done again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace
from packaging.specifiers import SpecifierSet

from cicd.actors.base import Actor, Inbox, Tick, Wake
from cicd.actors.build_host import BuildHost
from cicd.actors.crash import Die
from cicd.actors.scheduler import SchedulerClient
from cicd.actors.store import StoreClient
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.errors import ConflictError, NotFoundError, UserError
from cicd.ids import IdSource
from cicd.messages.base import PipelineId, Wire
from cicd.messages.build import Build, BuildFailed, Built, StopBuild
from cicd.messages.client import CreatePipeline
from cicd.messages.cluster import MinionRecord
from cicd.messages.pipeline import BuildState, PipelineRecord, PluginRecord, Source
from cicd.storage import records
from cicd.storage.base import PreconditionFailedError, Storage, StoreFullError
from cicd.storage.records import Records

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MINORS = range(11, 31)
"""Python 3 versions that a minion may have."""

RETRY_S = 1.0
"""Between tries to store a build whose end found no room."""

MakeSource = Callable[[str, str, str], Source]
"""(repository, ref, path) as typed -> Source, or UserError."""


@dataclass(frozen=True, slots=True)
class Create:
    """-> PipelineRecord, its first build begun."""

    call: CreatePipeline
    by: str


@dataclass(frozen=True, slots=True)
class Recompile:
    """-> PipelineRecord, a build begun that sees the newest commit."""

    name: str


@dataclass(frozen=True, slots=True)
class Delete:
    """-> None."""

    name: str


class PipelineCompiler(Actor):
    """Pipelines and their builds.

    Args:
        inbox: what the build host says.
        make_source: turns what people type into a source, refusing what the config does not allow.
        on_built: called with a pipeline whose build has ended; quick.
    """

    def __init__(
        self,
        *,
        inbox: Inbox[Wire],
        build_host: BuildHost,
        storage: Storage,
        store: StoreClient,
        scheduler: SchedulerClient,
        make_source: MakeSource,
        data_dir: Path,
        clock: Clock,
        ids: IdSource,
        on_built: Callable[[PipelineRecord], None],
        die: Die,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._build_host = build_host
        self._storage = storage
        self._store = store
        self._scheduler = scheduler
        self._make_source = make_source
        self._data_dir = data_dir
        self._clock = clock
        self._ids = ids
        self._on_built = on_built
        self._running: set[PipelineId] = set()
        self._again: set[PipelineId] = set()
        self._unsaved: list[Wire] = []
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Do again what a crash interrupted."""
        self._inbox.attach(self.actor_ref)
        for pipeline in Records(self._storage).building():
            log.info("build.done_again", pipeline=pipeline.name, build=pipeline.build)
            self._start(pipeline)

    def on_receive(self, message: Any) -> Any:
        """Carry out a call, or take in what the build host says."""
        match message:
            case Wake():
                self._unsaved += self._inbox.drain()
                self._take_in()
                return None
            case Tick():
                self._take_in()
                return None
            case Create(call, by):
                return self._create(call, by)
            case Recompile(name):
                return self._recompile(name)
            case Delete(name):
                return self._delete(name)
        raise TypeError(f"PipelineCompiler: {type(message).__name__}")

    def on_stop(self) -> None:
        """Stop trying."""
        self._stop_ticking()

    def _take_in(self) -> None:
        """Take in what the build host said, in order; what finds no room in the store is tried again."""
        while self._unsaved:
            try:
                self._ended(self._unsaved[0])
            except StoreFullError as error:
                if self._ticker is None:
                    log.error("store.full", error=error.message, effect="an ended build waits for room")  # noqa: TRY400  it is expected
                    self._ticker = Ticker(self.actor_ref, RETRY_S, "builds-wait")
                    self._ticker.start()
                return
            del self._unsaved[0]
        self._stop_ticking()

    def _stop_ticking(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _create(self, call: CreatePipeline, by: str) -> PipelineRecord:
        if not _NAME.fullmatch(call.name):
            raise UserError(
                f"{call.name!r} is not a pipeline's name: letters, digits, dot, dash and underscore, at most 100, "
                "the first one a letter or digit"
            )
        source = self._make_source(call.repo, call.ref, call.path)
        now = self._clock.wall_s()
        pipeline = PipelineRecord(
            id=PipelineId(self._ids.new()),
            name=call.name,
            description=call.description,
            source=source,
            created_s=now,
            modified_s=now,
            created_by=by,
            build=1,
        )
        preconditions, writes = records.create_pipeline(pipeline)
        try:
            self._store.commit(writes, preconditions)
        except PreconditionFailedError:
            raise ConflictError(
                f"a pipeline is called {call.name!r} already; choose another name, or delete that one"
            ) from None
        log.info("pipeline.created", pipeline=pipeline.name, repository=source.repository, by=by)
        self._start(pipeline)
        return pipeline

    def _recompile(self, name: str) -> PipelineRecord:
        pipeline = self._find(name)
        if pipeline.id in self._running:
            self._again.add(pipeline.id)
            return pipeline
        return self._build_anew(pipeline)

    def _build_anew(self, pipeline: PipelineRecord) -> PipelineRecord:
        pipeline = replace(pipeline, build=pipeline.build + 1, build_state=BuildState.BUILDING, build_error="")
        self._store.commit(records.save_pipeline(pipeline))
        self._start(pipeline)
        return pipeline

    def _delete(self, name: str) -> None:
        pipeline = self._find(name)
        active = [run for run in Records(self._storage).active_runs() if run.pipeline == pipeline.id]
        if active:
            raise ConflictError(f"{name} has {len(active)} active runs (#{active[0].number}, ...): cancel them first")
        self._store.commit(records.delete_pipeline(pipeline))
        log.info("pipeline.deleted", pipeline=name)
        if pipeline.id in self._running:
            self._build_host.send(StopBuild(pipeline=pipeline.id))

    def _find(self, name: str) -> PipelineRecord:
        pipeline = Records(self._storage).pipeline(name)
        if pipeline is None:
            raise NotFoundError(f"no pipeline is called {name!r}; `cicd pipelines list` shows those there are")
        return pipeline

    def _start(self, pipeline: PipelineRecord) -> None:
        path = build_log_path(self._data_dir, pipeline.id, pipeline.build)
        with contextlib.suppress(OSError):  # a full disk: the build fails and says so
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        self._running.add(pipeline.id)
        log.info("build.started", pipeline=pipeline.name, build=pipeline.build)
        self._build_host.send(
            Build(
                pipeline=pipeline.id,
                name=pipeline.name,
                number=pipeline.build,
                source=pipeline.source,
                log_path=str(path),
            )
        )

    def _ended(self, news: Wire) -> None:
        if not isinstance(news, Built | BuildFailed):
            return
        pipeline = Records(self._storage).pipeline_by_id(news.pipeline)
        if pipeline is None or pipeline.build != news.number:
            self._over(news.pipeline)
            return  # deleted meanwhile
        if isinstance(news, Built):
            news = self._fit(news)
        if isinstance(news, Built):
            pipeline = self._in_service(pipeline, news.plugin)
        else:
            pipeline = replace(pipeline, build_state=BuildState.FAILED, build_error=news.error)
            self._store.commit(records.save_pipeline(pipeline))
            log.warning("build.failed", pipeline=pipeline.name, build=news.number, error=news.error)
        again = self._over(news.pipeline)
        self._on_built(pipeline)
        if again:
            try:
                self._build_anew(pipeline)
            except StoreFullError:
                self._again.add(pipeline.id)
                raise

    def _over(self, pipeline: PipelineId) -> bool:
        """Note that a build is over and stored; return whether another one was asked for meanwhile."""
        self._running.discard(pipeline)
        again = pipeline in self._again
        self._again.discard(pipeline)
        return again

    def _fit(self, news: Built) -> Built | BuildFailed:
        """Note what a minion must offer, and refuse what none of those there are can run."""
        plugin = replace(news.plugin, tags=required_tags(news.plugin))
        minions = [view.minion for view in self._scheduler.minions()]
        if plugin.tags and minions and not any(set(plugin.tags) & set(minion.tags) for minion in minions):
            error = unmet(plugin, minions)
            path = build_log_path(self._data_dir, news.pipeline, news.number)
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write(f"build failed: {error}\n")
            return BuildFailed(pipeline=news.pipeline, number=news.number, code="build", error=error)
        return replace(news, plugin=plugin)

    def _in_service(self, pipeline: PipelineRecord, plugin: PluginRecord) -> PipelineRecord:
        now = self._clock.wall_s()
        changed = pipeline.plugin != plugin.digest or pipeline.commit != plugin.commit
        pipeline = replace(
            pipeline,
            plugin=plugin.digest,
            source_digest=plugin.source_digest,
            commit=plugin.commit,
            build_state=BuildState.READY,
            build_error="",
            modified_s=now if changed else pipeline.modified_s,
        )
        if not pipeline.description:
            pipeline = replace(pipeline, description=plugin.spec.description)
        stored = replace(plugin, created_s=now)
        self._store.commit([*records.save_plugin(stored), *records.save_pipeline(pipeline)])
        log.info("build.ready", pipeline=pipeline.name, build=pipeline.build, plugin=plugin.digest[:12])
        return pipeline


def build_log_path(data_dir: Path, pipeline: PipelineId, number: int) -> Path:
    """Return where the log of a build is."""
    return data_dir / "builds" / pipeline / f"{number}.log"


def required_tags(plugin: PluginRecord) -> tuple[str, ...]:
    """Return the tags of which a minion must offer one: the artifact's own, else the Python versions that it allows."""
    if plugin.tags or not plugin.requires_python:
        return plugin.tags
    allowed = SpecifierSet(plugin.requires_python)
    return tuple(
        f"py3.{minor}" for minor in _MINORS if any(allowed.contains(f"3.{minor}.{patch}") for patch in (0, 99))
    )


def unmet(plugin: PluginRecord, minions: Iterable[MinionRecord]) -> str:
    """Return why no minion can run a plugin, in one line."""
    offers = ", ".join(f"{minion.name} ({' '.join(minion.tags)})" for minion in minions)
    if plugin.requires_python and all(tag.startswith("py3.") for tag in plugin.tags):
        return f"the pipeline wants Python {plugin.requires_python}, which no minion has; there are: {offers}"
    return f"the pipeline's wheels want {' or '.join(plugin.tags)}, which no minion offers; there are: {offers}"
