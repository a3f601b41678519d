"""A minion's jobhost reduced to its rules, message by message as `cicd.plugins.jobhost` does it.

What an attempt's end is worth is decided by the real functions (`cicd.plugins.attempt_result`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd.messages.base import Wire
from cicd.messages.evidence import Cause
from cicd.messages.jobhost import (
    LOCAL_VERSION,
    Cancel,
    Fence,
    FenceDone,
    Finished,
    Grant,
    HostHello,
    Leave,
    Pulse,
    ResultAcked,
    Start,
    Started,
    Stopping,
)
from cicd.messages.minion import Entry, EntryState
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_result import Verdict, expired, lost, result_of
from cicd.plugins.journal import Key
from cicd.plugins.supervised import Exit
from cicd.testing.simulator.attempt import SimAttempt
from cicd.testing.simulator.clockwork import Process

if TYPE_CHECKING:
    from cicd.testing.simulator.machine import Machine

_PULSE_S = 1.0
_JOURNAL_RETRY_S = 1.0


class SimHost:
    """One jobhost's process.

    Attributes:
        stopped: whether it ended on purpose.
    """

    grace_s = 2.0

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.process = Process()
        self.stopped = False
        self._world = machine.world
        self._rules = machine.world.rules
        self._session = 0
        self._deadline_boot_s = 0.0
        self._running: dict[Key, SimAttempt] = {}
        self._acknowledged: set[Key] = set()
        self._fencing = False
        self._stopping = False
        self._recover()
        self._pulse()

    def _recover(self) -> None:
        journal = self.machine.journal
        if not self._rules.journal:
            journal.clear()
        buried = Result(status=Status.LOST, message="jobhost ended", failure_kind=FailureKind.INFRASTRUCTURE)
        for key, entry in journal.items():
            if entry.state is EntryState.RUNNING:
                journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.DEAD, result=buried)

    def _pulse(self) -> None:
        if self.process.alive:
            self.process.do(lambda: self.machine.to_agent(Pulse(boot_s=self.machine.boot_s)))
            self._world.clockwork.after(_PULSE_S, self._pulse)

    @property
    def _valid(self) -> bool:
        return not self._rules.watchdog or self.machine.boot_s < self._deadline_boot_s

    # ---- what the agent says

    def greet(self) -> None:
        """Tell a new agent everything."""
        self.machine.to_agent(
            HostHello(
                version=LOCAL_VERSION,
                session=self._session,
                entries=tuple(self.machine.journal.values()),
                deadline_boot_s=self._deadline_boot_s,
            )
        )

    def hear(self, message: Wire) -> None:
        """Take in a message of the agent."""
        match message:
            case Grant():
                self._grant(message)
            case Start():
                self._start(message)
            case Cancel():
                self._cancel(message)
            case ResultAcked():
                self._acknowledge((message.job, message.attempt))
            case Fence():
                self._fence()
            case Leave() if not self._running and not self.machine.journal and not self._stopping:
                self.stop()

    def _grant(self, message: Grant) -> None:
        if message.session < self._session:
            return
        if message.session == self._session and message.deadline_boot_s <= self._deadline_boot_s:
            return
        self._session = message.session
        self._deadline_boot_s = message.deadline_boot_s
        for attempt in self._running.values():
            attempt.set_deadline(message.deadline_boot_s)
        if self._running:
            self._arm()

    def _arm(self) -> None:
        if self._rules.watchdog:
            self.machine.at_boot(self._deadline_boot_s, lambda: self.process.do(self._timer))

    def _timer(self) -> None:
        if not self._valid:
            self._end_all(lost("the minion's lease ran out", Cause.LEASE))

    def _start(self, message: Start) -> None:
        run = message.run_job
        key = (run.job, run.attempt)
        if key in self.machine.journal and self._rules.dedupe:
            if key not in self._running:
                self._tell_end(key)
            elif self._running[key].alive:
                self._tell_started(key)
            return
        dropped = (
            self._stopping
            or self._fencing
            or run.session < self._session
            or not self._valid
            or (key in self._acknowledged and self._rules.dedupe)
            or bool(self.machine.journal_full)
        )
        if dropped:
            self._world.tell(self.machine.name, "start dropped", f"{run.job}#{run.attempt}")
            return
        self.machine.journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.RUNNING)
        attempt = SimAttempt(self, run, self._deadline_boot_s)
        self._running[key] = attempt
        self.machine.attempts.append(attempt)
        self._arm()

    def _cancel(self, message: Cancel) -> None:
        key = (message.job, message.attempt)
        if running := self._running.get(key):
            running.end(Verdict(Status.CANCELLED, "cancelled", yields_to_success=True), message.grace_s)
            return
        if key not in self.machine.journal and key not in self._acknowledged:
            if self.machine.journal_full:
                return
            self._note(key, Result(status=Status.CANCELLED))
        self._tell_end(key)

    def _acknowledge(self, key: Key) -> None:
        if key not in self._running:
            self.machine.journal.pop(key, None)
            self._acknowledged.add(key)

    def _fence(self) -> None:
        self._fencing = True
        self._end_all(lost("the minion's session was ended by the master", Cause.FENCED))
        self._gone()

    def _gone(self) -> None:
        """If nothing runs any more: go on with what waited for that."""
        if self._running:
            return
        if self._fencing:
            self._fencing = False
            self._session = 0
            self._deadline_boot_s = 0.0
            self.machine.to_agent(FenceDone(entries=tuple(self.machine.journal.values())))
        if self._stopping and not self.stopped:
            self.stopped = True
            self.machine.to_agent(Stopping(idle=not self.machine.journal))
            self._world.clockwork.after(2.0, lambda: self.process.do(self._stop_process))

    def _stop_process(self) -> None:
        if self.machine.host is self:
            self.machine.kill_host(None)

    def stop(self) -> None:
        """End on purpose."""
        self._stopping = True
        for attempt in list(self._running.values()):
            attempt.end(lost("the minion was stopped", Cause.STOPPED, yields_to_success=True), self.grace_s)
        self._gone()

    # ---- attempts

    def _end_all(self, verdict: Verdict) -> None:
        for attempt in list(self._running.values()):
            attempt.end(verdict, 0)

    def started(self, attempt: SimAttempt) -> None:
        """An attempt's process runs."""
        if attempt.alive:
            self._tell_started(attempt.key)

    def exited(self, attempt: SimAttempt, own: Result | None, how: Exit) -> None:
        """Nothing of an attempt is left."""
        if self._running.get(attempt.key) is not attempt:
            return
        result = result_of(own, how, attempt.verdict)
        self._settle(attempt.key, result if self._valid else expired(result))

    def _settle(self, key: Key, result: Result) -> None:
        if self.machine.journal_full:
            self._world.clockwork.after(_JOURNAL_RETRY_S, lambda: self.process.do(lambda: self._settle(key, result)))
            return
        self._note(key, result)
        del self._running[key]
        self._tell_end(key)
        if not self._rules.result_ack:
            del self.machine.journal[key]
        self._gone()

    def _note(self, key: Key, result: Result) -> None:
        self.machine.journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.FINISHED, result=result)
        self._world.witness.noted(key, result)

    # ---- what the agent is told

    def _tell_started(self, key: Key) -> None:
        self.machine.to_agent(Started(job=key[0], attempt=key[1], pid=1, started_s=1.0))

    def _tell_end(self, key: Key) -> None:
        entry = self.machine.journal.get(key)
        if entry is not None and entry.result is not None:
            self.machine.to_agent(Finished(job=key[0], attempt=key[1], result=entry.result))
