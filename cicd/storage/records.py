"""Typed records in and out of the store: each listing is one bounded range read, by an index that its writes keep.

`save_*` and `create_*`, `delete_*` turn a record into the writes of it and of every index that depends on it; they
read nothing and do nothing. Their writes may be joined into one commit. `Records` reads them back through a view.
What an index holds is in `keys`; each of them follows from the record alone, so writing it again is always right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from cicd import codec
from cicd.codec import CorruptRecordError
from cicd.messages.base import Digest, JobId, Message, MinionId, PipelineId, RunId
from cicd.messages.cluster import MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import BuildState, LastRun, PipelineRecord, PluginRecord
from cicd.messages.run import AttemptRecord, JobRecord, JobState, LogRecord, RunRecord, RunState
from cicd.storage import keys
from cicd.storage.base import Precondition, Snapshot, Write, prefix_end

ENDED_RUNS = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})

R = TypeVar("R", bound=Message)
P = ParamSpec("P")


# ---- records to writes ---------------------------------------------------------------------------------


def _flag(key: bytes, text: str, *, there: bool) -> Write:
    return Write(key, text.encode() if there else None)


def create_pipeline(pipeline: PipelineRecord) -> tuple[list[Precondition], list[Write]]:
    """Return what stores a new pipeline, if neither its name nor its id is taken."""
    name = keys.pipeline_name(pipeline.name)
    preconditions = [Precondition(name, None), Precondition(keys.pipeline(pipeline.id), None)]
    return preconditions, [Write(name, pipeline.id.encode()), *save_pipeline(pipeline)]


def save_pipeline(pipeline: PipelineRecord) -> list[Write]:
    """Return the writes of a pipeline that exists; its name never changes."""
    building = pipeline.build_state is BuildState.BUILDING
    return [
        Write(keys.pipeline(pipeline.id), codec.dump(pipeline)),
        _flag(keys.building(pipeline.id), pipeline.id, there=building),
    ]


def delete_pipeline(pipeline: PipelineRecord) -> list[Write]:
    """Return the writes that forget a pipeline and free its name. Its runs stay: history, found by their ids."""
    builders = keys.pipeline, keys.building, keys.last_run
    gone = [keys.pipeline_name(pipeline.name), *(key(pipeline.id) for key in builders)]
    return [Write(key, None) for key in gone]


def save_last_run(pipeline: PipelineId, last: LastRun) -> list[Write]:
    """Return the write of a pipeline's newest run."""
    return [Write(keys.last_run(pipeline), codec.dump(last))]


def save_plugin(plugin: PluginRecord) -> list[Write]:
    """Return the write of a plugin; it never changes."""
    return [Write(keys.plugin(plugin.digest), codec.dump(plugin))]


def save_run(run: RunRecord) -> list[Write]:
    """Return the writes of a run."""
    return [
        Write(keys.run(run.id), codec.dump(run)),
        _flag(keys.active_run(run.id), run.id, there=run.state not in ENDED_RUNS),
        Write(keys.pipeline_run(run.pipeline, run.number), run.id.encode()),
    ]


def save_request(request: str, run: RunId) -> list[Write]:
    """Return the write that ties a request id to the run it began; an empty one is no request and needs none."""
    return [Write(keys.request(request), run.encode())] if request else []


def save_job(job: JobRecord) -> list[Write]:
    """Return the writes of a job."""
    return [
        Write(keys.job(job.run, job.index), codec.dump(job)),
        _flag(keys.queued_job(job.run, job.index), job.id, there=job.state is JobState.QUEUED),
    ]


def save_attempt(attempt: AttemptRecord) -> list[Write]:
    """Return the write of an attempt."""
    return [Write(keys.attempt(attempt.job, attempt.attempt), codec.dump(attempt))]


def save_log(log: LogRecord) -> list[Write]:
    """Return the write of what is known of an attempt's log."""
    return [Write(keys.log(log.job, log.attempt), codec.dump(log))]


def save_minion(minion: MinionRecord, before: MinionRecord | None = None) -> list[Write]:
    """Return the writes of a minion; `before`: what is stored of it, so that a name it gave up becomes free."""
    writes = [
        Write(keys.minion(minion.id), codec.dump(minion)),
        Write(keys.minion_name(minion.name), minion.id.encode()),
    ]
    if before is not None and before.name != minion.name:
        writes.append(Write(keys.minion_name(before.name), None))
    return writes


def delete_minion(minion: MinionRecord) -> list[Write]:
    """Return the writes that forget a minion and free its name."""
    return [Write(keys.minion(minion.id), None), Write(keys.minion_name(minion.name), None)]


def save_token(token: TokenRecord) -> list[Write]:
    """Return the write of a join token."""
    return [Write(keys.token(token.id), codec.dump(token))]


def save_removed_key(removed: RemovedKey) -> list[Write]:
    """Return the write of the key of a minion that was removed."""
    return [Write(keys.removed_key(removed.key), codec.dump(removed))]


# ---- and back ------------------------------------------------------------------------------------------


class Records:
    """Reads records through a view (or a store: then each call sees a state of its own).

    Whatever is asked for by id, name or number is None where there is no such thing, however odd the id is.

    Every method raises `CorruptRecordError` for a record that cannot be read.
    """

    def __init__(self, view: Snapshot) -> None:
        self._view = view

    # pipelines

    def pipeline(self, name: str) -> PipelineRecord | None:
        """Return the pipeline of a name."""
        id_ = self._view.get(keys.pipeline_name(name))
        return None if id_ is None else self._named(PipelineRecord, id_, keys.pipeline)

    def pipeline_by_id(self, id_: PipelineId) -> PipelineRecord | None:
        """Return a pipeline."""
        return self._one(PipelineRecord, keys.pipeline, id_)

    def pipelines(self, after: str, limit: int) -> list[PipelineRecord]:
        """Return pipelines by name, from the first after `after`."""
        start = keys.pipeline_name(after) + b"\0" if after else keys.PIPELINE_NAMES
        return self._indexed(PipelineRecord, keys.pipeline, start, prefix_end(keys.PIPELINE_NAMES), limit=limit)

    def building(self) -> list[PipelineRecord]:
        """Return the pipelines whose newest build has not ended."""
        return self._indexed(PipelineRecord, keys.pipeline, keys.BUILDING, prefix_end(keys.BUILDING))

    def last_run(self, pipeline: PipelineId) -> LastRun | None:
        """Return what is kept of a pipeline's newest run."""
        return self._one(LastRun, keys.last_run, pipeline)

    def plugin(self, digest: Digest) -> PluginRecord | None:
        """Return a plugin."""
        return self._one(PluginRecord, keys.plugin, digest)

    # runs

    def run(self, id_: RunId) -> RunRecord | None:
        """Return a run."""
        return self._one(RunRecord, keys.run, id_)

    def run_by_number(self, pipeline: PipelineId, number: int) -> RunRecord | None:
        """Return a pipeline's run of a number."""
        id_ = self._get(keys.pipeline_run, pipeline, number)
        return None if id_ is None else self._named(RunRecord, id_, keys.run)

    def run_of_request(self, request: str) -> RunId | None:
        """Return the run that a request began."""
        id_ = self._view.get(keys.request(request))
        return None if id_ is None else RunId(id_.decode())

    def latest_runs(self, before: RunId | None, limit: int) -> list[RunRecord]:
        """Return runs, newest first, from the last before `before` (None or empty: the newest)."""
        end = keys.run(before) if before else prefix_end(keys.RUNS)
        return self._range(RunRecord, keys.RUNS, end, limit=limit, reverse=True)

    def pipeline_runs(self, pipeline: PipelineId, before_number: int | None, limit: int) -> list[RunRecord]:
        """Return a pipeline's runs, newest first, from the last below `before_number` (None: the newest)."""
        start = keys.pipeline_runs(pipeline)
        end = prefix_end(start)
        if before_number is not None:
            try:
                end = keys.pipeline_run(pipeline, before_number)
            except keys.OutOfRangeError:
                end = start if before_number < 0 else end
        return self._indexed(RunRecord, keys.run, start, end, limit=limit, reverse=True)

    def active_runs(self) -> list[RunRecord]:
        """Return the runs that have not ended, oldest first."""
        return self._indexed(RunRecord, keys.run, keys.ACTIVE_RUNS, prefix_end(keys.ACTIVE_RUNS))

    # jobs

    def jobs(self, run: RunId, after_index: int, limit: int) -> list[JobRecord]:
        """Return a run's jobs by index, from the first after `after_index` (-1: the first of all)."""
        try:
            start = keys.job(run, max(after_index, -1) + 1)
        except keys.OutOfRangeError:
            return []
        return self._range(JobRecord, start, prefix_end(keys.jobs(run)), limit=limit)

    def job(self, run: RunId, index: int) -> JobRecord | None:
        """Return a job."""
        return self._one(JobRecord, keys.job, run, index)

    def queued(self, limit: int | None = None) -> list[JobId]:
        """Return the ids of jobs that wait for a minion, those of the oldest run first."""
        found = self._view.range(keys.QUEUED_JOBS, prefix_end(keys.QUEUED_JOBS), limit=limit)
        return [JobId(id_.decode()) for _, id_ in found]

    def attempts(self, job: JobId) -> list[AttemptRecord]:
        """Return a job's attempts, oldest first."""
        try:
            start = keys.attempts(job)
        except ValueError:
            return []
        return self._range(AttemptRecord, start, prefix_end(start))

    def attempt(self, job: JobId, number: int) -> AttemptRecord | None:
        """Return one attempt of a job."""
        return self._one(AttemptRecord, keys.attempt, job, number)

    def log(self, job: JobId, attempt: int) -> LogRecord | None:
        """Return what is known of an attempt's log, once its end has arrived."""
        return self._one(LogRecord, keys.log, job, attempt)

    # the cluster

    def minions(self) -> list[MinionRecord]:
        """Return all minions by their places in the ring."""
        found = self._range(MinionRecord, keys.MINIONS, prefix_end(keys.MINIONS))
        return sorted(found, key=lambda minion: minion.ring)

    def minion(self, id_: MinionId) -> MinionRecord | None:
        """Return a minion."""
        return self._one(MinionRecord, keys.minion, id_)

    def minion_by_name(self, name: str) -> MinionRecord | None:
        """Return the minion of a name."""
        id_ = self._view.get(keys.minion_name(name))
        return None if id_ is None else self._named(MinionRecord, id_, keys.minion)

    def tokens(self) -> list[TokenRecord]:
        """Return all join tokens, by id."""
        return self._range(TokenRecord, keys.TOKENS, prefix_end(keys.TOKENS))

    def token(self, id_: str) -> TokenRecord | None:
        """Return a join token."""
        return self._one(TokenRecord, keys.token, id_)

    def removed_keys(self) -> list[RemovedKey]:
        """Return the keys of all minions that were removed."""
        return self._range(RemovedKey, keys.REMOVED_KEYS, prefix_end(keys.REMOVED_KEYS))

    # how

    def _get(self, key: Callable[P, bytes], *parts: P.args, **named: P.kwargs) -> bytes | None:
        try:
            return self._view.get(key(*parts, **named))
        except keys.OutOfRangeError:
            return None

    def _one(self, kind: type[R], key: Callable[P, bytes], *parts: P.args, **named: P.kwargs) -> R | None:
        try:
            at = key(*parts, **named)
        except ValueError:  # no such id can be
            return None
        data = self._view.get(at)
        return None if data is None else _load(at, data, kind)

    def _range(
        self, kind: type[R], start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[R]:
        return [_load(key, data, kind) for key, data in self._view.range(start, end, limit=limit, reverse=reverse)]

    def _indexed(
        self,
        kind: type[R],
        key: Callable[[Any], bytes],
        start: bytes,
        end: bytes,
        *,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[R]:
        found = self._view.range(start, end, limit=limit, reverse=reverse)
        return [self._named(kind, id_, key) for _, id_ in found]

    def _named(self, kind: type[R], id_: bytes, key: Callable[[Any], bytes]) -> R:
        """Return the record that an index names: it has to be there, as both are written in one commit."""
        at = key(id_.decode("utf-8", "replace"))
        data = self._view.get(at)
        if data is None:
            raise CorruptRecordError(f"an index names {at!r}, which is not there")
        return _load(at, data, kind)


def _load(key: bytes, data: bytes, kind: type[R]) -> R:
    try:
        return codec.load(data, kind)
    except CorruptRecordError as error:
        raise CorruptRecordError(f"record {key!r}: {error.message}") from error
