"""A minion reduced to its rules: journal, session, lease on its own clock, dedupe.

It follows `delivery` to the letter:
- It takes a Welcome only as the answer to its latest Hello: an answer to an earlier one names a session that is over.
- It takes a RunJob of its own session only, once per (job, attempt): also after the result was acknowledged.
- It journals a start before the process exists and a result before it is said, and keeps both until the ResultAck.
- It kills everything when its lease runs out, or when it hears that its session is below the floor.
- What a killed jobhost leaves behind in the journal is DEAD.
- Told to leave, by the answer to its newest beat, it does so when its journal is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cicd.messages.base import JobId, MinionId, Wire
from cicd.messages.cluster import HealthReason
from cicd.messages.minion import (
    Beat,
    BeatAck,
    CancelJob,
    Entry,
    EntryState,
    Fenced,
    Goodbye,
    Hello,
    JobFinished,
    JobStarted,
    ResultAck,
    RunJob,
    Welcome,
)
from cicd.messages.run import FailureKind, Result, Status

Key = tuple[JobId, int]
"""A job's id and the number of an attempt."""


@dataclass
class ModelMinion:
    """One minion. Times are its own clock's: seconds, from any origin, at `rate` seconds for each real one.

    Attributes:
        alive: attempts whose processes exist: those that can act.
        started: how many processes each attempt ever had here.
        results: what each attempt ended with here.
        cancelling: running attempts that were asked to stop.
        fetching: attempts whose plugin is on its way; they are started by `start`.
        acknowledged: attempts of this session that the journal was allowed to forget.
        health: why it is not well.
        left: how often it has left because it was drained.
    """

    name: str
    slots: int = 1
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rate: float = 1.0
    now_s: float = 100.0
    session: int = 0
    welcomed: bool = False
    seq: int = 0
    hello_sent_s: float = -1.0
    lease_s: float = 0.0
    deadline_s: float = 0.0
    journal: dict[Key, Entry] = field(default_factory=dict)
    alive: set[Key] = field(default_factory=set)
    fetching: dict[Key, RunJob] = field(default_factory=dict)
    cancelling: set[Key] = field(default_factory=set)
    acknowledged: set[Key] = field(default_factory=set)
    started: dict[Key, int] = field(default_factory=dict)
    results: dict[Key, Status] = field(default_factory=dict)
    health: tuple[HealthReason, ...] = ()
    left: int = 0

    @property
    def id(self) -> MinionId:
        """Its id: its name."""
        return MinionId(self.name)

    # ---- time, life and death

    def pass_time(self, real_s: float) -> None:
        """Let real time pass; the watchdog kills what the lease does not cover any more."""
        self.now_s += real_s * self.rate
        if self.now_s >= self.deadline_s:
            self._kill()

    def _kill(self) -> None:
        for key in self.alive:
            self.journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.DEAD)
        self.alive.clear()
        self.cancelling.clear()
        self.fetching.clear()

    def restart(self) -> None:
        """The jobhost is killed and started again: its processes are gone, its session is over, its journal stays."""
        self._kill()
        self.session = 0
        self.welcomed = False
        self.acknowledged.clear()

    def cut(self) -> None:
        """The connection broke."""
        self.welcomed = False

    # ---- what it says

    def hello(self) -> Hello:
        """Return a Hello for a connection that has just been made, or for one that has not been answered."""
        self.welcomed = False
        self.now_s += 0.001  # no two Hellos are sent at the same time
        self.hello_sent_s = self.now_s
        return Hello(
            minion=self.id,
            name=self.name,
            hostname=f"{self.name}.test",
            version="0",
            platform="linux",
            slots=self.slots,
            labels=self.labels,
            tags=self.tags,
            session=self.session,
            inventory=tuple(self.journal.values()),
            sent_boot_s=self.now_s,
            health=self.health,
        )

    def beat(self) -> Beat:
        """Return a heartbeat; only when welcomed."""
        self.seq += 1
        return Beat(
            session=self.session,
            seq=self.seq,
            sent_boot_s=self.now_s,
            inventory=tuple(self.journal.values()),
            health=self.health,
        )

    def goodbye(self) -> Goodbye:
        """Stop on purpose: end everything and say so."""
        message = Goodbye(session=self.session, idle=not self.journal)
        self.restart()
        return message

    # ---- what it hears

    def hear(self, message: Wire) -> list[Wire]:
        """Take in a message from the master.

        Returns:
            What it answers at once.
        """
        match message:
            case Welcome() if not self.welcomed and message.sent_boot_s == self.hello_sent_s:
                self._welcome(message)
            case BeatAck() if message.session == self.session:
                self.deadline_s = max(self.deadline_s, message.sent_boot_s + self.lease_s)
                if message.leave and message.seq == self.seq and not self.journal and self.welcomed:
                    self.left += 1
                    return [self.goodbye()]
            case Fenced() if self.session and self.session < message.floor:
                self.restart()
                return [self.hello()]
            case RunJob() if self.welcomed and message.session == self.session:
                return self._run(message)
            case CancelJob():
                return self._cancel((message.job, message.attempt))
            case ResultAck():
                self._forget((message.job, message.attempt))
        return []

    def _welcome(self, message: Welcome) -> None:
        if message.session != self.session:
            self.seq = 0
        self.session = message.session
        self.lease_s = message.lease_s
        self.deadline_s = max(self.deadline_s, message.sent_boot_s + message.lease_s)
        self.welcomed = True

    def _run(self, message: RunJob) -> list[Wire]:
        key = (message.job, message.attempt)
        if key in self.journal:
            return self._say(self.journal[key])
        if key not in self.acknowledged:
            self.fetching[key] = message
        return []

    def _say(self, entry: Entry) -> list[Wire]:
        key = (entry.job, entry.attempt)
        if key in self.alive:
            return [JobStarted(session=self.session, job=entry.job, attempt=entry.attempt, pid=1, started_s=1.0)]
        if entry.result is not None:
            return [JobFinished(session=self.session, job=entry.job, attempt=entry.attempt, result=entry.result)]
        return []  # dead: the next heartbeat says it

    def _cancel(self, key: Key) -> list[Wire]:
        if key in self.alive:
            self.cancelling.add(key)
        elif self.fetching.pop(key, None) is not None:
            return self.finish(key, Status.CANCELLED)
        return []

    def _forget(self, key: Key) -> None:
        if key not in self.alive and self.journal.pop(key, None) is not None:
            self.acknowledged.add(key)

    # ---- what its jobs do

    def cannot_start(self, key: Key) -> list[Wire]:
        """What an attempt needs cannot be fetched: it never began, and that is not its fault."""
        del self.fetching[key]
        return self.finish(key, Status.FAILED, kind=FailureKind.INFRASTRUCTURE)

    def start(self, key: Key) -> list[Wire]:
        """What an attempt needs has been fetched: run it, under a lease."""
        del self.fetching[key]
        if self.now_s >= self.deadline_s:
            return []
        self.journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.RUNNING)
        self.alive.add(key)
        self.started[key] = self.started.get(key, 0) + 1
        return self._say(self.journal[key])

    def finish(
        self,
        key: Key,
        status: Status,
        outputs: Iterable[tuple[str, str]] = (),
        kind: FailureKind = FailureKind.NONE,
    ) -> list[Wire]:
        """An attempt's process has ended."""
        self.alive.discard(key)
        self.cancelling.discard(key)
        self.results[key] = status
        began_s = 1.0 if self.started.get(key) else 0.0
        result = Result(status=status, outputs=dict(outputs), failure_kind=kind, started_s=began_s)
        self.journal[key] = Entry(job=key[0], attempt=key[1], state=EntryState.FINISHED, result=result)
        return self._say(self.journal[key])
