"""The witness: sees what really happens, and holds what is promised against it. Raises `BrokenPromiseError`.

- A run that was acknowledged is in the store, and ends once all is well.
- What is withdrawn as never begun never began.
- A process runs only for an attempt that the store knows; once for each; no two of a job act at the same time; one
  that is not idempotent acts once at most. What it needs has succeeded, and it gets what that returned.
- No minion has more to do than slots; no two jobs of a group act at the same time, nor more runs of a pipeline than
  it allows. What the infrastructure loses uses up none of a job's retries.
- An end is final, and it is what really happened: a success is one of the current attempt, with its outputs.
- A minion that is silent is suspect and lost in time, and never for a standstill of the master's own.
- What the store holds is what the core holds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cicd.core.lifecycle import TERMINAL, TERMINAL_RUNS
from cicd.core.needs import is_met
from cicd.core.plan import Plan
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Connection
from cicd.messages.evidence import Cause
from cicd.messages.minion import Beat
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobRecord, JobState, ResolvedAs, Result, Status
from cicd.plugins.journal import Key
from cicd.testing.model.promises import BrokenPromiseError, retried, survives

if TYPE_CHECKING:
    from cicd.testing.simulator.attempt import SimAttempt
    from cicd.testing.simulator.master import SimMaster
    from cicd.testing.simulator.world import World

_STALL_S = 1.5
_SLACK_S = 0.6
_SURVIVES_EVERY = 25
_ENDS = {
    JobState.SUCCEEDED: Status.SUCCEEDED,
    JobState.FAILED: Status.FAILED,
    JobState.TIMED_OUT: Status.TIMED_OUT,
}


def require(holds: object, otherwise: str) -> None:
    """Raise BrokenPromiseError unless it holds."""
    if not holds:
        raise BrokenPromiseError(otherwise)


class Witness:
    """Remembers what happened.

    Attributes:
        processes: how often each attempt's process began.
        own: what each process that came to its own end returned; None: it crashed.
        strict: whether the core's invariants are checked too (without a rule they are not: promises have to notice).
    """

    def __init__(self, world: World, *, strict: bool) -> None:
        self._world = world
        self.strict = strict
        self.processes: Counter[Key] = Counter()
        self.own: dict[Key, Result | None] = {}
        self._noted: dict[Key, set[Status]] = {}
        self._acting: dict[JobId, list[SimAttempt]] = {}
        self._ended: dict[str, JobRecord] = {}
        self._heard_s: dict[MinionId, float] = {}
        self._seq: dict[MinionId, tuple[int, int]] = {}
        self._given_up: set[tuple[MinionId, int]] = set()
        self._decided_s = 0.0
        self._commits = 0

    # ---- processes

    def begins(self, attempt: SimAttempt) -> None:
        """A job's process begins."""
        job, number = attempt.key
        store = self._world.master.store
        self.processes[attempt.key] += 1
        require(self.processes[attempt.key] == 1, f"{attempt.name} is started twice")
        self._acting.setdefault(job, []).append(attempt)
        self.check_overlap(job)
        known = store.attempts.get((job, number))
        require(known is not None, f"{attempt.name} runs, and the store does not know of it")
        spec = self._spec(job)
        record = store.jobs[job]
        starts = sum(count for key, count in self.processes.items() if key[0] == job)
        require(
            spec.idempotent or starts <= 1 + record.granted, f"{job} is not idempotent and is started {starts} times"
        )
        given = {need.job: need.outputs for need in attempt.run_job.needs}
        for need in spec.needs:
            found = next(j for j in store.jobs.values() if j.run == record.run and j.name == need)
            require(is_met(spec, found), f"{attempt.name} begins, what it needs is {found.state}")
            require(found.outputs == given.get(need, {}), f"{attempt.name} gets other outputs than {found.outputs}")
        self._check_limits(attempt, spec)
        machine = attempt.machine
        busy = sum(other.alive for other in machine.attempts)
        require(busy <= machine.slots, f"{machine.name} has {machine.slots} slots and runs {busy} processes")

    def _check_limits(self, attempt: SimAttempt, spec: JobSpec) -> None:
        """Neither group nor pipeline have more at work than they may."""
        store = self._world.master.store
        acting = {other.key[0] for others in self._acting.values() for other in others if not other.process.paused}
        if spec.group:
            group = [job for job in acting if self._spec(job).group == spec.group]
            require(len(group) <= 1, f"jobs of group {spec.group} act at the same time: {group}")
        run = store.runs[store.jobs[attempt.key[0]].run]
        limit = store.plugins[run.plugin].spec.max_parallel_runs
        if limit:
            runs = {store.jobs[job].run for job in acting}
            beside = [other for other in runs if store.runs[other].pipeline == run.pipeline]
            require(len(beside) <= limit, f"{run.pipeline} may have {limit} active runs, and {beside} act")

    def _spec(self, job: JobId) -> JobSpec:
        store = self._world.master.store
        record = store.jobs[job]
        return store.plugins[store.runs[record.run].plugin].spec.jobs[record.index]

    def check_overlap(self, job: JobId) -> None:
        """No two attempts of a job act; those of machines that sleep do not."""
        acting = [attempt for attempt in self._acting.get(job, ()) if not attempt.process.paused]
        names = ", ".join(f"{attempt.name} on {attempt.machine.name}" for attempt in acting)
        require(len(acting) <= 1, f"attempts of a job act at the same time: {names}")

    def ends(self, attempt: SimAttempt, own: Result | None) -> None:
        """A job's process has ended: by itself with this result, or it crashed or was ended."""
        self._acting[attempt.key[0]].remove(attempt)
        if own is not None:
            self.own[attempt.key] = own

    def noted(self, key: Key, result: Result) -> None:
        """A jobhost has noted how an attempt ended."""
        self._noted.setdefault(key, set()).add(result.status)

    def could_not_fetch(self, job: JobId, attempt: int) -> None:
        """An agent could not get what an attempt needs."""
        self._noted.setdefault((job, attempt), set()).add(Status.FAILED)

    # ---- what the master decides and stores

    def heard(self, minion: MinionId, message: object) -> None:
        """The master has received a sign of life; a heartbeat counts only if it is newer than those before."""
        if isinstance(message, Beat):
            number = (message.session, message.seq)
            if number <= self._seq.get(minion, (0, 0)):
                return
            self._seq[minion] = number
        else:
            self._seq.pop(minion, None)  # an agent that is new counts anew
        self._heard_s[minion] = self._world.clockwork.now_s

    def goodbye(self, minion: MinionId, session: int) -> None:
        """A minion left on purpose."""
        self._given_up.add((minion, session))

    def restarted(self, master: SimMaster) -> None:
        """Who is given up in the store was so by the master before, which may have died before it could be judged."""
        self._given_up |= {(each.id, each.session) for each in master.store.minions.values() if each.fenced}

    def decided(self, master: SimMaster, *, ticked: bool) -> None:
        """The core has taken in a batch; at a tick it has looked at every silence."""
        now = self._world.clockwork.now_s
        if now - self._decided_s > _STALL_S:
            master.awake_since_s = now
        self._decided_s = now
        settings = master.settings
        if not ticked:
            return
        for entry in master.cluster.book.minions.values():
            silent_s = now - max(self._heard_s.get(entry.record.id, 0.0), master.awake_since_s)
            if entry.connection is Connection.READY:
                require(
                    silent_s <= settings.suspect_s + _SLACK_S, f"{entry.record.name} silent {silent_s:.1f} s: ready"
                )
            if entry.connection is not Connection.LOST:
                require(
                    silent_s <= settings.expiry_s + _SLACK_S, f"{entry.record.name} silent {silent_s:.1f} s: not lost"
                )

    def committed(self, master: SimMaster, plan: Plan) -> None:
        """A batch is durable."""
        store = master.store
        for job_id, job in plan.jobs.items():
            before = self._ended.get(job_id)
            require(
                before is None or before == job, f"{job_id} has ended as {before and before.state} and changes: {job}"
            )
            if job.state in TERMINAL:
                self._ended[job_id] = job
                self._true(job)
        for run in plan.runs.values():
            if run.state in TERMINAL_RUNS:
                jobs = [job for job in store.jobs.values() if job.run == run.id]
                require(all(job.state in TERMINAL for job in jobs), f"{run.id} has ended before its jobs")
        for attempt_key, attempt in plan.attempts.items():
            job = store.jobs[attempt_key[0]]
            withdrawn = attempt.result is not None and attempt.result.evidence.cause == Cause.NOT_BEGUN
            began = self.processes[attempt.job, attempt.attempt]
            require(not (withdrawn and began), f"{attempt.job}#{attempt.attempt} began and is said never to have begun")
            require(job.attempt >= attempt_key[1], f"{attempt_key[0]}: attempts go back")
        for minion in plan.minions.values():
            if minion.fenced and (minion.id, minion.session) not in self._given_up:
                self._given_up.add((minion.id, minion.session))
                awake_s = self._world.clockwork.now_s - master.awake_since_s
                require(
                    awake_s >= master.settings.expiry_s - _SLACK_S,
                    f"{minion.name} is given up {awake_s:.1f} s after the master itself stood still",
                )
        self._commits += 1
        if self.strict:
            master.cluster.validate()
            if self._commits % _SURVIVES_EVERY == 0:
                survives(master.cluster, store)

    def _true(self, job: JobRecord) -> None:
        """An end is what really happened to the current attempt."""
        told = _ENDS.get(job.state)
        key = (job.id, job.attempt)
        word = job.resolution
        by_a_person = word is not None and word.attempt == job.attempt and word.how is not ResolvedAs.RETRY
        if told is None or not job.attempt or by_a_person:
            return
        require(
            told in self._noted.get(key, ()), f"{job.id} is {job.state}, of attempt {job.attempt} nobody noted that"
        )
        if told is Status.SUCCEEDED:
            own = self.own.get(key)
            require(own is not None and own.status is told, f"{job.id}#{job.attempt} did not succeed: {own}")
            require(own is not None and own.outputs == job.outputs, f"{job.id} has other outputs than it returned")

    # ---- in the end

    def all_is_well(self) -> None:
        """Everything has been well for long: nothing may be left undone."""
        world = self._world
        master, store = world.master, world.master.store
        for number in range(len(world.people.wishes)):
            run_id = world.people.told.get(number)
            require(run_id is not None, f"wish {number} was never acknowledged")
            run = store.runs.get(run_id) if run_id is not None else None
            require(run is not None, f"{run_id} (wish {number}) was acknowledged and is lost")
            if run is not None and run.state not in TERMINAL_RUNS:
                waits = master.cluster.waits(run.id, master.now)
                jobs = {job.name: job.state.value for job in store.jobs.values() if job.run == run.id}
                require(False, f"all is well, and {run.id} does not end: {jobs} {waits}")  # noqa: FBT003  it never holds
        retried(store)
        requests = Counter(store.requests.values())
        require(all(count == 1 for count in requests.values()), "two wishes became one run")
        require(len(store.runs) == len(world.people.wishes), "a wish became two runs")
        for entry in master.cluster.book.minions.values():
            require(not entry.running, f"{entry.record.name} keeps slots for {list(entry.running)}")
        for machine in world.machines:
            alive = [attempt.name for attempt in machine.attempts if attempt.alive]
            require(not alive, f"{machine.name} still runs {alive}")
            require(not machine.journal, f"{machine.name}'s journal keeps {list(machine.journal)}")
        if self.strict:
            master.cluster.validate()
            survives(master.cluster, store)
