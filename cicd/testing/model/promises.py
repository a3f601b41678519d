"""What is promised, checked against what has really happened in a model world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cicd.core.cluster import Cluster
from cicd.core.events import Now
from cicd.core.lifecycle import TERMINAL, TERMINAL_RUNS
from cicd.messages.base import JobId, RunId, split_job_id
from cicd.messages.run import FailureKind, JobRecord, JobState, ResolvedAs, RunRecord, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.store import ModelStore

_TOLD: dict[JobState, Status] = {
    JobState.SUCCEEDED: Status.SUCCEEDED,
    JobState.TIMED_OUT: Status.TIMED_OUT,
    JobState.FAILED: Status.FAILED,
}
_OWN = frozenset({Status.FAILED, Status.TIMED_OUT})


class BrokenPromiseError(AssertionError):
    """The system did what it promises never to do."""


@dataclass
class Promises:
    """Remembers what was, to hold what is against it. Raises `BrokenPromiseError`."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    runs: dict[RunId, RunRecord] = field(default_factory=dict)

    def check(self, cluster: Cluster, store: ModelStore, minions: Iterable[ModelMinion]) -> None:
        """Check every promise."""
        minions = list(minions)
        self._final(store)
        self._acting(minions)
        self._in_turn(store, minions)
        self._once(store, minions)
        self._true(store, minions)
        retried(store)
        survives(cluster, store)

    def _final(self, store: ModelStore) -> None:
        """Terminal states never change; attempts only grow."""
        for job_id, job in store.jobs.items():
            before = self.jobs.get(job_id)
            if before is job:
                continue
            if before is not None:
                _require(before.state not in TERMINAL or before == job, f"{job_id} has ended and changes: {job}")
                _require(before.attempt <= job.attempt, f"{job_id}: attempts go back")
            self.jobs[job_id] = job
        for run_id, run in store.runs.items():
            ended = self.runs.get(run_id)
            _require(ended is None or ended == run, f"{run_id} has ended and changes: {run}")
            if run.state in TERMINAL_RUNS:
                self.runs[run_id] = run

    def _acting(self, minions: list[ModelMinion]) -> None:
        """No two attempts of a job can act at the same time; no minion has more to do than slots."""
        acting = Counter(job for minion in minions for job, _ in minion.alive)
        for job, count in acting.items():
            _require(count == 1, f"{count} attempts of {job} act at the same time")
        for minion in minions:
            _require(len(minion.alive) <= minion.slots, f"{minion.name} has {minion.slots} slots, runs {minion.alive}")

    def _in_turn(self, store: ModelStore, minions: list[ModelMinion]) -> None:
        """No two jobs of a group act at once, no more runs of a pipeline than it allows, none before what it needs."""
        acting = [split_job_id(job) for minion in minions for job, _ in minion.alive]
        specs = {run: store.plugins[store.runs[run].plugin].spec for run, _ in acting}
        groups = Counter(group for run, index in acting if (group := specs[run].jobs[index].group))
        for group, count in groups.items():
            _require(count == 1, f"{count} jobs of group {group} act at the same time")
        runs = [store.runs[run] for run in specs]
        for pipeline, count in Counter(run.pipeline for run in runs).items():
            limits = [specs[run.id].max_parallel_runs for run in runs if run.pipeline == pipeline]
            # Of runs with different limits the one that was let in last had room when it was.
            _require(not all(limits) or count <= max(limits), f"{count} runs of {pipeline} act at the same time")
        for run in runs:
            up_to = {each.pipeline: each.up_to for each in run.depends_on}
            early = [
                each.id
                for each in store.runs.values()
                if each.number <= up_to.get(each.pipeline, 0) and each.state not in TERMINAL_RUNS
            ]
            _require(not early, f"{run.id} acts before what it depends on: {early}")

    def _once(self, store: ModelStore, minions: list[ModelMinion]) -> None:
        """An attempt runs at most once; a job that is not idempotent runs at most once at all."""
        started: Counter[tuple[JobId, int]] = Counter()
        for minion in minions:
            started.update(minion.started)
        for key, count in started.items():
            _require(count == 1, f"{key} was started {count} times")
        attempts = Counter(job for job, _ in started)
        for job_id, count in attempts.items():
            if count > 1:
                job = store.jobs[job_id]
                spec = store.plugins[store.runs[job.run].plugin].spec.jobs[job.index]
                granted = count <= 1 + job.granted
                _require(spec.idempotent or granted, f"{job_id} is not idempotent and was started {count} times")

    def _true(self, store: ModelStore, minions: list[ModelMinion]) -> None:
        """A job's result is what its current attempt returned on its minion."""
        of = {minion.id: minion for minion in minions}
        for job in store.jobs.values():
            told = _TOLD.get(job.state)
            word = job.resolution
            by_a_person = word is not None and word.attempt == job.attempt and word.how is not ResolvedAs.RETRY
            if told is not None and job.minion is not None and not by_a_person:
                really = of[job.minion].results.get((job.id, job.attempt))
                _require(really is told, f"{job.id} is {job.state}, its attempt {job.attempt} was {really}")


def retried(store: ModelStore) -> None:
    """A job's own failures are tried again as often as it says; the infrastructure's use up nothing of that."""
    failed: Counter[JobId] = Counter()
    for attempt in store.attempts.values():
        result = attempt.result
        if result is not None and result.status in _OWN and result.failure_kind is not FailureKind.INFRASTRUCTURE:
            failed[attempt.job] += 1
    for job in store.jobs.values():
        spec = store.plugins[store.runs[job.run].plugin].spec.jobs[job.index]
        own = failed[job.id]
        _require(job.retries <= spec.retry.attempts, f"{job.id} was tried again {job.retries} times")
        _require(job.retries <= own <= job.retries + 1, f"{job.id} failed {own} times, {job.retries} are counted")
        given_up = job.state in {JobState.FAILED, JobState.TIMED_OUT} and own > job.retries
        cancelled = job.cancel_by or store.runs[job.run].cancel_by
        if given_up and spec.idempotent and not spec.retry.on and not cancelled:
            _require(job.retries == spec.retry.attempts, f"{job.id} was given up after {job.retries} tries")


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise BrokenPromiseError(otherwise)


def survives(cluster: Cluster, store: ModelStore) -> None:
    """What the store holds is what the core holds: a kill at any moment loses nothing."""
    restored = store.restore(cluster.book.settings, Now(boot_s=0.0, wall_s=0.0))
    restored.validate()
    now, then = picture(cluster), picture(restored)
    _require(now == then, f"a restart changes the state: {_difference(now, then)}")


def picture(cluster: Cluster) -> dict[str, object]:
    """Return all of a core's state that must survive, in a form that can be compared."""
    book = cluster.book
    parts: dict[str, object] = {
        "last runs": dict(book.last_runs),
        "groups": dict(book.groups),
        "active": {run.record.pipeline: set(book.run_queue.active(run.record.pipeline)) for run in book.runs.values()},
        "next": {run.record.pipeline: book.run_queue.head(run.record.pipeline) for run in book.runs.values()},
        "runs wait": cluster.run_waits(book.runs),
        "minions": {minion.record.id: minion.record for minion in book.minions.values()},
        "names": dict(book.minion_by_name),
        "places": dict(book.minion_by_place),
        "keys": dict(book.minion_by_key),
        "tokens": dict(book.tokens),
        "removed keys": dict(book.removed_keys),
        "held": {minion.record.id: set(minion.running) for minion in book.minions.values()},
        "ready": {job_id for job_id in book.jobs if job_id in book.ready},
        "timers": set(book.timers),
    }
    for run in book.runs.values():
        parts[run.record.id] = (run.record, run.spec, run.requires, dict(run.tally), run.dependents)
        for job in run.jobs:
            parts[job.record.id] = (job.record, job.attempt, job.missing, job.spec)
    return parts


def _difference(one: dict[str, object], other: dict[str, object]) -> str:
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key)} -> {other.get(key)}" for key in keys)
