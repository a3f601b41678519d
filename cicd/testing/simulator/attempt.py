"""The processes of one attempt: the job's own, and its reaper, which holds the lease's deadline by itself.

A machine that is suspended freezes them; when it goes on the reaper is first: the moment that a real one needs for that
is not modelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd.messages.minion import RunJob
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_result import Verdict
from cicd.plugins.supervised import Exit
from cicd.testing.simulator.clockwork import Process

if TYPE_CHECKING:
    from cicd.testing.simulator.jobhost import SimHost

_FORK_S = (0.01, 0.05, 0.3)


class SimAttempt:
    """One attempt, from its start by a jobhost.

    Attributes:
        alive: whether its process exists: it can act unless its machine sleeps.
        over: whether it has ended, or will not begin any more.
        verdict: why it is being ended, if it is.
    """

    def __init__(self, host: SimHost, run_job: RunJob, deadline_boot_s: float) -> None:
        self.host = host
        self.machine = host.machine
        self.run_job = run_job
        self.key = (run_job.job, run_job.attempt)
        self.process = Process()
        self.alive = False
        self.over = False
        self.verdict: Verdict | None = None
        self.deadline_boot_s = deadline_boot_s
        self._world = host.machine.world
        chance = self._world.chance
        self._takes_s = chance.one_of(self._world.history.paces_s)
        self._fate = chance.one_of((Status.SUCCEEDED,) * 8 + (Status.FAILED, Status.LOST))
        self._world.clockwork.after(chance.one_of(_FORK_S), lambda: self.process.do(self._begin))

    @property
    def name(self) -> str:
        """For stories."""
        return f"{self.key[0]}#{self.key[1]}"

    def _begin(self) -> None:
        if self.over:
            return
        if self._expired():
            self.kill("lease")
            return
        self.alive = True
        self._world.tell(self.machine.name, "process begins", self.name)
        self._world.witness.begins(self)
        self.host.process.do(lambda: self.host.started(self))
        self._world.clockwork.after(self._takes_s, lambda: self.process.do(self._ends_by_itself))
        self.set_deadline(self.deadline_boot_s)
        if self.run_job.timeout_s < self._takes_s:
            host = self.host
            late = Verdict(Status.TIMED_OUT, "too long", FailureKind.TIMEOUT)
            self._world.clockwork.after(
                self.run_job.timeout_s, lambda: host.process.do(lambda: self.end(late, host.grace_s))
            )

    def _expired(self) -> bool:
        return self._world.rules.watchdog and self.machine.boot_s >= self.deadline_boot_s

    def set_deadline(self, deadline_boot_s: float) -> None:
        """The jobhost tells the reaper until when the lease is."""
        self.deadline_boot_s = deadline_boot_s
        if self.alive:
            self.machine.at_boot(deadline_boot_s, lambda: self.process.do(self.look))

    def look(self) -> None:
        """The reaper looks at its deadline."""
        if self.alive and self._world.rules.reaper and self._expired():
            self._world.tell(self.machine.name, "reaper ends", self.name)
            self.kill("lease")

    def end(self, verdict: Verdict, grace_s: float) -> None:
        """The jobhost ends it: asks first, if there is grace."""
        if self.verdict is None:
            self.verdict = verdict
        if grace_s > 0 and self.alive:
            answer_s = self._world.chance.one_of((0.1, 1.0, 100.0))
            self._world.clockwork.after(min(answer_s, grace_s), lambda: self.process.do(self._asked))
        else:
            self.kill("killed")

    def _asked(self) -> None:
        if self._world.chance.happens(0.2):
            self._ends_by_itself()
        else:
            self.kill("killed")

    def _ends_by_itself(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self.over = True
        own = None
        if self._fate is not Status.LOST:
            outputs = {"from": self.machine.name, "attempt": str(self.key[1])}
            own = Result(status=self._fate, outputs=outputs if self._fate is Status.SUCCEEDED else {})
        self._world.tell(self.machine.name, "process ends", f"{self.name} {own.status if own else 'crash'}")
        self._world.witness.ends(self, own)
        self.host.process.do(lambda: self.host.exited(self, own, Exit(code=0 if own else 1)))

    def kill(self, cause: str) -> None:
        """The tree is ended."""
        if self.over:
            return
        if self.alive:
            self._world.tell(self.machine.name, f"process is ended ({cause})", self.name)
            self._world.witness.ends(self, None)
        self.alive = False
        self.over = True
        self.host.process.do(lambda: self.host.exited(self, None, Exit(signal=9, cause=cause)))

    def orphan(self) -> None:
        """Its jobhost is dead: the reaper sees that, and ends it."""
        if not self.over:
            self._world.clockwork.after(0.02, lambda: self.process.do(lambda: self.kill("orphaned")))
