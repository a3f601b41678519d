"""The store of the model: the newest version of every record that plans asked to save."""

from __future__ import annotations

from dataclasses import dataclass, field

from cicd.core.cluster import Cluster
from cicd.core.events import Now
from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.core.plan import Plan
from cicd.core.settings import CoreSettings
from cicd.messages.base import Digest, JobId, MinionId, PipelineId, RunId, job_id
from cicd.messages.cluster import MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import LastRun, PluginRecord
from cicd.messages.run import AttemptRecord, JobRecord, RunRecord


@dataclass
class ModelStore:
    """Records by their keys."""

    plugins: dict[Digest, PluginRecord] = field(default_factory=dict)
    runs: dict[RunId, RunRecord] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    attempts: dict[tuple[str, int], AttemptRecord] = field(default_factory=dict)
    minions: dict[MinionId, MinionRecord] = field(default_factory=dict)
    last_runs: dict[PipelineId, LastRun] = field(default_factory=dict)
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    removed_keys: dict[str, RemovedKey] = field(default_factory=dict)
    requests: dict[str, RunId] = field(default_factory=dict)

    def commit(self, plan: Plan) -> None:
        """Store what a plan saves."""
        for minion in plan.forgotten_minions:
            self.minions.pop(minion, None)
        self.minions |= plan.minions
        self.tokens |= plan.tokens
        self.removed_keys |= plan.removed_keys
        self.runs |= plan.runs
        self.jobs |= plan.jobs
        self.attempts |= plan.attempts
        self.last_runs |= plan.last_runs
        self.requests |= plan.requests

    def restore(self, settings: CoreSettings, now: Now) -> Cluster:
        """Return a new core that has taken up what is stored."""
        cluster = Cluster(settings)
        active = [self._active(run) for _, run in sorted(self.runs.items()) if run.state not in TERMINAL_RUNS]
        cluster.restore(
            now,
            minions_known=self.minions.values(),
            last_runs=self.last_runs,
            active=active,
            tokens=self.tokens.values(),
            removed_keys=self.removed_keys.values(),
        )
        return cluster

    def _active(self, run: RunRecord) -> tuple[RunRecord, PluginRecord, list[JobRecord], dict[JobId, AttemptRecord]]:
        jobs = [self.jobs[job_id(run.id, index)] for index in range(run.job_count)]
        attempts = {job.id: self.attempts[job.id, job.attempt] for job in jobs if job.attempt}
        return run, self.plugins[run.plugin], jobs, attempts
