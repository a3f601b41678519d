"""Deleting runs and logs in small commits, and what is kept of that: the deletion and its reason.

A run goes in pieces, so that no commit is as large as its history: first its own record, its place among its
pipeline's runs and its request, which makes it invisible, together with a mark; then its jobs, attempts and logs, some
at a time; last the mark. A master that is killed in between finds the mark.
"""

from __future__ import annotations

from cicd import codec
from cicd.messages.base import RunId
from cicd.messages.disk import Deletion
from cicd.messages.run import RunRecord
from cicd.storage import keys
from cicd.storage.base import Snapshot, Write, prefix_end

_US = 1_000_000


def note(deletion: Deletion) -> Write:
    """Return the write of a deletion."""
    at_us = max(0, int(deletion.at_s * _US))
    return Write(keys.deletion(at_us, deletion.kind, deletion.name), codec.dump(deletion))


def begin_run(run: RunRecord, deletion: Deletion) -> list[Write]:
    """Return the writes that make an ended run invisible and mark it for `rest_of_run`."""
    gone = [keys.run(run.id), keys.active_run(run.id), keys.pipeline_run(run.pipeline, run.number)]
    gone += [keys.passed_run(run.id), keys.removed_logs(run.id)]
    if run.request:
        gone.append(keys.request(run.request))
    writes = [Write(key, None) for key in gone]
    return [*writes, Write(keys.dying_run(run.id), codec.dump(deletion)), note(deletion)]


def rest_of_run(view: Snapshot, run: RunId, limit: int) -> list[Write]:
    """Return the next writes of a run that is being deleted, at most `limit`; none: only its mark is left."""
    for start in (keys.jobs(run), keys.run_queue(run), keys.run_attempts(run), keys.run_logs(run)):
        found = view.range(start, prefix_end(start), limit=limit)
        if found:
            return [Write(key, None) for key, _ in found]
    return []


def end_run(run: RunId) -> list[Write]:
    """Return the write that ends the deletion of a run."""
    return [Write(keys.dying_run(run), None)]


def remove_logs(run: RunId, deletion: Deletion) -> list[Write]:
    """Return the writes that say that a run's logs are gone."""
    return [Write(keys.removed_logs(run), codec.dump(deletion)), note(deletion)]


def dying_runs(view: Snapshot, limit: int) -> list[RunId]:
    """Return runs whose deletion has begun, oldest first."""
    found = view.range(keys.DYING_RUNS, prefix_end(keys.DYING_RUNS), limit=limit)
    return [RunId(key[len(keys.DYING_RUNS) :].decode()) for key, _ in found]


def passed_runs(view: Snapshot, after: RunId, limit: int) -> list[RunId]:
    """Return runs whose logs have to be looked at again, oldest first."""
    start = keys.passed_run(after) + b"\0"
    found = view.range(start, prefix_end(keys.PASSED_RUNS), limit=limit)
    return [RunId(key[len(keys.PASSED_RUNS) :].decode()) for key, _ in found]


def logs_removed(view: Snapshot, run: RunId) -> Deletion | None:
    """Return why the logs of a run are gone; None: no rule has removed them."""
    data = view.get(keys.removed_logs(run))
    return None if data is None else codec.load(data, Deletion)


def runs_after(view: Snapshot, after: RunId | None, limit: int) -> list[RunRecord]:
    """Return runs, oldest first, from the first after `after` (None: the oldest of all)."""
    start = keys.run(after) + b"\0" if after else keys.RUNS
    return [codec.load(data, RunRecord) for _, data in view.range(start, prefix_end(keys.RUNS), limit=limit)]


def deletions(view: Snapshot, limit: int) -> list[Deletion]:
    """Return what was deleted by rule, newest first."""
    found = view.range(keys.DELETIONS, prefix_end(keys.DELETIONS), limit=limit, reverse=True)
    return [codec.load(data, Deletion) for _, data in found]


def forget_deletions(view: Snapshot, before_s: float, limit: int) -> list[Write]:
    """Return the writes that forget deletions from before a time, the oldest first, at most `limit`."""
    end = keys.deletion(max(0, int(before_s * _US)), "", "")
    return [Write(key, None) for key, _ in view.range(keys.DELETIONS, end, limit=limit)]
