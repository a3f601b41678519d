"""What the master takes up from its store when it starts (R10: load, floors, freeze expiry)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cicd.codec import CorruptRecordError
from cicd.core.cluster import Cluster
from cicd.core.events import Now
from cicd.core.settings import CoreSettings
from cicd.messages.base import JobId, PipelineId
from cicd.messages.pipeline import LastRun, PluginRecord
from cicd.messages.run import AttemptRecord, JobRecord, RunRecord
from cicd.storage.base import Storage
from cicd.storage.records import Records

_PAGE = 1000

ActiveRun = tuple[RunRecord, PluginRecord, Sequence[JobRecord], dict[JobId, AttemptRecord]]


def restore(storage: Storage, settings: CoreSettings, now: Now) -> Cluster:
    """Return the core with everything that is active, read in one view of the store.

    Raises:
        CorruptRecordError: the store holds what this version cannot read.
    """
    cluster = Cluster(settings)
    with storage.snapshot() as view:
        records = Records(view)
        cluster.restore(
            now,
            minions_known=records.minions(),
            last_runs=_last_runs(records),
            active=[_active(records, run) for run in records.active_runs()],
            tokens=records.tokens(),
            removed_keys=records.removed_keys(),
        )
    return cluster


def _active(records: Records, run: RunRecord) -> ActiveRun:
    plugin = records.plugin(run.plugin)
    if plugin is None:
        raise CorruptRecordError(f"run {run.id} is pinned to plugin {run.plugin}, which the store does not have")
    jobs = records.jobs(run.id, -1, run.job_count)
    attempts: dict[JobId, AttemptRecord] = {}
    for job in jobs:
        attempt = records.attempt(job.id, job.attempt) if job.attempt else None
        if attempt is not None:
            attempts[job.id] = attempt
    return run, plugin, jobs, attempts


def _last_runs(records: Records) -> dict[PipelineId, LastRun]:
    found: dict[PipelineId, LastRun] = {}
    for page in _pages(records):
        for pipeline in page:
            last = records.last_run(pipeline)
            if last is not None:
                found[pipeline] = last
    return found


def _pages(records: Records) -> Iterator[list[PipelineId]]:
    after = ""
    while page := records.pipelines(after, _PAGE):
        yield [pipeline.id for pipeline in page]
        after = page[-1].name
