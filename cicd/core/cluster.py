"""The core's face: events in, a plan out.

    plan = cluster.handle(events, now)

The state has changed when `handle` returns; the shell stores `plan.saves` in one transaction and only then carries out
the effects. If the transaction fails it is tried again as it is, and no new event is handed in meanwhile: the core
never runs ahead of the store.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cicd.core import (
    admission,
    cancels,
    enrolment,
    groups,
    invariants,
    liveness,
    minions,
    resolve,
    retries,
    runs,
    waits,
    wishes,
)
from cicd.core.book import Book, JobEntry, MinionEntry, RunEntry
from cicd.core.dispatch import dispatch
from cicd.core.events import (
    Event,
    JobCancelRequested,
    JobResolved,
    MinionAskedToEnrol,
    MinionBeat,
    MinionDisconnected,
    MinionDrained,
    MinionFinishedJob,
    MinionRemoved,
    MinionResumed,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionStartedJob,
    MinionSuspended,
    Now,
    RunCancelRequested,
    RunSubmitted,
    Ticked,
    TokenCreated,
    TokenRevoked,
)
from cicd.core.lifecycle import HELD
from cicd.core.plan import Plan
from cicd.core.settings import CoreSettings
from cicd.messages.base import JobId, MinionId, PipelineId, RunId
from cicd.messages.cluster import Connection, MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import LastRun, PluginRecord
from cicd.messages.run import AttemptRecord, JobRecord, JobState, RunRecord

_Handler = Callable[[Book, Any], None]  # type: ignore[explicit-any]  # one table for handlers of different events


def _ticked(book: Book, _event: Ticked) -> None:
    liveness.expire(book)
    for key in book.timers.take(book.now.boot_s):
        # What came first may have ended what comes later.
        if (job := book.jobs.get(JobId(key))) is not None:
            retries.due(book, job)
        elif (run := book.runs.get(RunId(key))) is not None:
            cancels.time_out(book, run)


_HANDLERS: dict[type[Event], _Handler] = {
    RunSubmitted: runs.submit,
    RunCancelRequested: cancels.cancel_run,
    JobCancelRequested: cancels.cancel_job,
    JobResolved: resolve.resolve,
    MinionSaidHello: minions.hello,
    MinionBeat: liveness.beat,
    MinionStartedJob: minions.started,
    MinionFinishedJob: minions.finished,
    MinionSaidGoodbye: liveness.goodbye,
    MinionDisconnected: liveness.disconnected,
    MinionSuspended: wishes.suspend,
    MinionDrained: wishes.drain,
    MinionResumed: wishes.resume,
    MinionRemoved: enrolment.remove,
    MinionAskedToEnrol: enrolment.enrol,
    TokenCreated: enrolment.create_token,
    TokenRevoked: enrolment.revoke_token,
    Ticked: _ticked,
}


class Cluster:
    """All decisions about runs, jobs and minions.

    Args:
        settings: the numbers to decide with.
    """

    def __init__(self, settings: CoreSettings) -> None:
        self.book = Book(settings)
        self._last_boot_s: float | None = None

    def restore(
        self,
        now: Now,
        *,
        minions_known: Iterable[MinionRecord],
        last_runs: dict[PipelineId, LastRun],
        active: Iterable[tuple[RunRecord, PluginRecord, Sequence[JobRecord], dict[JobId, AttemptRecord]]],
        tokens: Iterable[TokenRecord] = (),
        removed_keys: Iterable[RemovedKey] = (),
    ) -> None:
        """Take up what the store holds, on a new object, before anything else.

        Every minion is JOINING and has a whole lease and margin from now to say Hello.

        Args:
            now: the time.
            minions_known: all stored minions.
            last_runs: what is kept of each pipeline's newest run.
            active: each run that has not ended, its plugin, all its jobs by index, and the current attempt of those
                that have one.
            tokens: all join tokens.
            removed_keys: the keys of all minions that were removed.
        """
        book = self.book
        book.now = now
        book.tokens = {token.id: token for token in tokens}
        book.removed_keys = {removed.key: removed for removed in removed_keys}
        book.last_runs = dict(last_runs)
        for record in minions_known:
            connection = Connection.LOST if record.fenced else Connection.JOINING
            book.add_minion(MinionEntry(record=record, connection=connection, seen_boot_s=now.boot_s))
        for run, plugin, jobs, attempts in active:
            self._restore_run(run, plugin, jobs, attempts)
        for known in sorted(book.runs.values(), key=lambda run: (run.record.pipeline, run.record.number)):
            book.run_queue.enter(known.record.pipeline, known.record.number, known.record.id)
        for known in book.runs.values():  # now that it can be told what each waits for
            admission.take_place(book, known)
        queued = [job for job in book.jobs.values() if job.record.state is JobState.QUEUED]
        for entry in sorted(queued, key=lambda job: (job.record.queued_s, job.record.run, job.record.index)):
            book.make_ready(entry)
        liveness.grace(book)
        self._last_boot_s = now.boot_s

    def _restore_run(
        self, run: RunRecord, plugin: PluginRecord, jobs: Sequence[JobRecord], attempts: dict[JobId, AttemptRecord]
    ) -> None:
        book = self.book
        entry = RunEntry(
            record=run,
            spec=plugin.spec,
            requires=plugin.tags,
            plugin_size_bytes=plugin.size_bytes,
            source_size_bytes=plugin.source_size_bytes,
        )
        for record, spec in zip(jobs, plugin.spec.jobs, strict=True):
            job = JobEntry(record=record, spec=spec, run=entry, missing=0, attempt=attempts.get(record.id))
            job.assigned_boot_s = self.book.now.boot_s
            entry.jobs.append(job)
            book.jobs[record.id] = job
            if record.state in HELD and record.minion is not None:
                book.minions[record.minion].running[record.id] = None
            retries.restore(book, job)
            groups.restored(book, job)
        entry.build_graph()
        book.runs[run.id] = entry
        cancels.set_limit(book, entry)

    def handle(self, events: Iterable[Event], now: Now) -> Plan:
        """Decide on a batch of events, in order, then on what can be dispatched.

        Args:
            events: what happened.
            now: the time; never earlier than the last one.

        Returns:
            What to store and what to do.

        Raises:
            IllegalTransitionError: a bug of ours; end the process.
        """
        book = self.book
        book.plan = plan = Plan()
        book.now = now
        # A pause of the master's own (swap, SIGSTOP) is nobody else's silence. Ticks come several times in a margin.
        if self._last_boot_s is not None and now.boot_s - self._last_boot_s > book.settings.lease_margin_s / 2:
            liveness.grace(book)
        self._last_boot_s = now.boot_s
        for event in events:
            _HANDLERS[type(event)](book, event)
        admission.admit(book)
        dispatch(book)
        return plan

    def waits(self, run: RunId, now: Now, only: Iterable[JobId] | None = None) -> dict[JobId, str]:
        """Return why each job of a run waits; jobs that do not wait, and ended runs, are left out.

        Args:
            run: its id.
            now: the time.
            only: look at these jobs; None: at all.
        """
        entry = self.book.runs.get(run)
        if entry is None:
            return {}
        teller = waits.Teller(self.book, now)
        found = entry.jobs if only is None else [self.book.jobs[job] for job in only if job in self.book.jobs]
        texts = ((job.record.id, teller.why(job)) for job in found)
        return {job_id: text for job_id, text in texts if text}

    def run_waits(self, runs: Iterable[RunId]) -> dict[RunId, str]:
        """Return why runs have not been let in; those that have, and ended ones, are left out."""
        found = [self.book.runs[run] for run in runs if run in self.book.runs]
        return {run.record.id: admission.why(self.book, run) for run in found if run.record.waiting}

    def minion(self, name: str) -> MinionEntry | None:
        """Return a minion by its name or id."""
        return self.book.minions.get(self.book.minion_by_name.get(name, MinionId(name)))

    def validate(self) -> None:
        """Check every invariant: raises AssertionError with the one that does not hold."""
        invariants.check(self.book)
