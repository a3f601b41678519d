"""The agent's side of the control conversation, between the master and the jobhost.

It holds nothing that must survive: jobs, journal and spool are the jobhost's, which tells a new agent everything
(`HostHello`). So killing the agent touches no job.

    link up -> Hello(session, inventory) -> Welcome: lease granted to the jobhost
    each heartbeat: Beat(inventory) -> BeatAck: lease extended from when the beat was *sent* (rule R4)
    RunJob -> fetch plugin and source -> Start to the jobhost
    Fenced -> Fence to the jobhost -> FenceDone -> Hello with session 0
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from cicd.core.agent.inventory import Inventory
from cicd.core.agent.steps import (
    EXIT_ENROL,
    EXIT_OK,
    EXIT_REFUSED,
    BeatNow,
    Fetch,
    Fetched,
    Joined,
    Leave,
    Level,
    Link,
    LinkChanged,
    Note,
    Step,
    ToHost,
    ToMaster,
)
from cicd.messages import jobhost as host
from cicd.messages.base import ErrorReply, JobId, Wire
from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.jobhost import (
    LOCAL_VERSION,
    Cancel,
    Fence,
    FenceDone,
    Finished,
    Grant,
    HostHello,
    Pulse,
    ResultAcked,
    Start,
    Started,
    Stopping,
)
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
    Refused,
    ResultAck,
    RunJob,
    Welcome,
)
from cicd.messages.run import FailureKind, Result, Status

HELLO_AGAIN_S = 2.0
"""A Hello without an answer is said again after this."""
REFUSED_AGAIN_S = 5.0
ACKED_KEPT = 10_000
"""Attempts that are remembered after their acknowledgement, within a session."""
PULSE_S = 3.0
"""A jobhost that was silent for longer hangs: no heartbeat for it."""


class Agent:
    """The agent's state towards the master and the jobhost.

    Args:
        hello: what a Hello says of this minion that never changes while it runs.
        now_boot_s: the time.
    """

    def __init__(self, hello: Hello, now_boot_s: float) -> None:
        self._hello_base = hello
        self._now_boot_s = now_boot_s
        self._steps: list[Step] = []
        self._entries = Inventory()
        self._fetching: dict[tuple[JobId, int], RunJob] = {}
        self._handed: dict[tuple[JobId, int], Start] = {}
        """What the jobhost was told to start and has said nothing of yet."""
        self._session = 0
        self._lease_s = 0.0
        self._seq = 0
        self._host_known = False
        self._host_knows: tuple[str, ...] = ()
        self._connected = False
        self._welcomed = False
        self._fencing = False
        self._hello_due_boot_s = 0.0
        self._hello_boot_s = -1.0
        self._acked: OrderedDict[tuple[JobId, int], None] = OrderedDict()
        self._pulse_boot_s = now_boot_s

    def handle(self, item: LinkChanged | BeatNow | Fetched | Wire, now_boot_s: float) -> list[Step]:
        """Take in an event, or a message of the master or the jobhost; return what is to be done, in order."""
        self._now_boot_s = now_boot_s
        steps: list[Step] = []
        self._steps = steps
        match item:
            case LinkChanged():
                self._link(item)
            case BeatNow():
                self._beat()
            case Fetched():
                self._fetched(item)
            case _:
                self._heard_master(item)
                self._heard_host(item)
        return steps

    def _send(self, message: Wire, *, urgent: bool = False) -> None:
        self._steps.append(ToMaster(message, urgent))

    def _tell_host(self, message: Wire) -> None:
        self._steps.append(ToHost(message))

    def _note(self, level: Level, event: str, **details: object) -> None:
        self._steps.append(Note(level, event, details))

    # ---- the connection

    def _link(self, news: LinkChanged) -> None:
        self._connected = news.link is Link.UP
        if self._connected:
            self._note(Level.INFO, "master.connected", address=news.detail)
            self._hello()
        elif news.link is Link.REFUSED:
            hint = "is the join token right, and not revoked?"
            self._note(Level.ERROR, "master.refused_our_key", hint=hint, detail=news.detail)
        elif self._welcomed:
            self._note(Level.WARNING, "master.disconnected", detail=news.detail)
        self._welcomed = self._welcomed and self._connected

    def _hello(self) -> None:
        if not self._host_known or self._fencing or not self._connected:
            return
        now = self._now_boot_s
        self._hello_due_boot_s = now + HELLO_AGAIN_S
        self._hello_boot_s = now
        inventory = self._entries.fitting(self._report)
        self._send(replace(self._hello_base, session=self._session, inventory=inventory, sent_boot_s=now))

    def _beat(self) -> None:
        now = self._now_boot_s
        if not self._welcomed:
            if now >= self._hello_due_boot_s:
                self._hello()
            return
        if now - self._pulse_boot_s > PULSE_S:
            self._note(Level.WARNING, "jobhost.hangs", silent_s=round(now - self._pulse_boot_s, 1))
            return
        self._seq += 1
        inventory = self._entries.fitting(self._report)
        self._send(Beat(session=self._session, seq=self._seq, sent_boot_s=now, inventory=inventory), urgent=True)

    # ---- from the master

    def _heard_master(self, message: Wire) -> None:
        match message:
            case Welcome():
                self._welcome(message)
            case BeatAck() if message.session == self._session:
                self._beat_answered(message)
            case RunJob():
                self._run(message)
            case ResultAck():
                self._acknowledged(message)
            case CancelJob():
                self._cancel(message)
            case Fenced() if 0 < self._session < message.floor:
                self._fence()
            case Refused():
                self._refused(message)
            case ErrorReply():
                self._error(message)

    def _welcome(self, message: Welcome) -> None:
        # A Welcome to an earlier Hello may name a session that is no more: only the answer to the last one counts.
        if self._fencing or self._welcomed or message.sent_boot_s != self._hello_boot_s:
            return
        if message.session != self._session:
            self._seq = 0
            self._acked.clear()
            self._handed.clear()
        self._session = message.session
        self._lease_s = message.lease_s
        self._welcomed = True
        self._note(Level.INFO, "master.welcomed_us", session=message.session)
        self._grant(message.sent_boot_s)
        self._steps.append(Joined(message.session, message.heartbeat_s))
        # At once: only a Beat of this session proves what this minion does not know of (docs/adr/0003).
        self._beat()

    def _acknowledged(self, message: ResultAck) -> None:
        """The master has a result: forget the attempt, but not that it was run."""
        self._acked[message.job, message.attempt] = None
        while len(self._acked) > ACKED_KEPT:
            self._acked.popitem(last=False)
        self._handed.pop((message.job, message.attempt), None)
        self._entries.forget(message.job, message.attempt)
        self._tell_host(ResultAcked(job=message.job, attempt=message.attempt))

    def _beat_answered(self, message: BeatAck) -> None:
        self._grant(message.sent_boot_s)
        # Only the answer to the newest beat: a drain may have been undone since.
        if message.leave and message.seq == self._seq and "leave" in self._host_knows:
            self._tell_host(host.Leave())

    def _grant(self, sent_boot_s: float) -> None:
        """The lease runs from when we sent what was answered, on our own clock."""
        self._tell_host(Grant(session=self._session, deadline_boot_s=sent_boot_s + self._lease_s))

    def _run(self, message: RunJob) -> None:
        key = (message.job, message.attempt)
        if not self._welcomed or message.session != self._session or key in self._acked:
            return  # meant for another session; or acknowledged already: a frame that comes late is not run again
        entry = self._entries.get(message.job, message.attempt)
        if entry is not None:
            self._report(entry)
        elif start := self._handed.get(key):
            # Not fetched again: should that fail, we would call an attempt failed that may be about to run.
            self._tell_host(start)
        elif key not in self._fetching:
            self._fetching[key] = message
            self._steps.append(Fetch(message))

    def _fetched(self, fetched: Fetched) -> None:
        run_job = self._fetching.pop((fetched.job, fetched.attempt), None)
        if run_job is None or run_job.session != self._session:
            return
        if fetched.error:
            result = Result(
                status=Status.FAILED,
                failure_kind=FailureKind.INFRASTRUCTURE,
                message=f"not started: {fetched.error}",
                evidence=Evidence(blame=Blame.MACHINE, cause=Cause.HOST),
            )
            # Not in the journal: nothing was started. Should we die first, the master sends the job again.
            entry = Entry(job=run_job.job, attempt=run_job.attempt, state=EntryState.FINISHED, result=result)
            self._entries.put(entry)
            self._report(entry)
            return
        start = Start(run_job=run_job, plugin_dir=fetched.plugin_dir, source_dir=fetched.source_dir)
        self._handed[run_job.job, run_job.attempt] = start
        self._tell_host(start)

    def _cancel(self, message: CancelJob) -> None:
        self._fetching.pop((message.job, message.attempt), None)
        self._handed.pop((message.job, message.attempt), None)
        self._tell_host(
            Cancel(job=message.job, attempt=message.attempt, grace_s=message.grace_s, reason=message.reason)
        )

    def _fence(self) -> None:
        if not self._fencing:
            self._note(Level.WARNING, "session.over", session=self._session, effect="all jobs are killed")
            self._fencing = True
            self._welcomed = False
            self._fetching.clear()
            self._handed.clear()
            self._tell_host(Fence())

    def _refused(self, message: Refused) -> None:
        if message.code == "not_enrolled":
            self._steps.append(Leave(EXIT_ENROL, message.text))
            return
        if not message.retryable:
            self._steps.append(Leave(EXIT_REFUSED, f"the master refused this minion: {message.text}"))
            return
        self._note(Level.ERROR, "master.refused_us", reason=message.text)
        self._hello_due_boot_s = self._now_boot_s + REFUSED_AGAIN_S

    def _error(self, message: ErrorReply) -> None:
        if message.code == "hello_first":
            if self._welcomed:
                self._welcomed = False
                self._hello()
        else:
            details = {"code": message.code, "text": message.text, "kind": message.kind}
            self._note(Level.WARNING, "master.refused_a_message", **details)

    # ---- from the jobhost

    def _heard_host(self, message: Wire) -> None:
        match message:
            case HostHello():
                self._host_hello(message)
            case Pulse():
                self._pulse_boot_s = message.boot_s
            case Started():
                self._started(message)
            case Finished():
                entry = Entry(
                    job=message.job, attempt=message.attempt, state=EntryState.FINISHED, result=message.result
                )
                self._handed.pop((message.job, message.attempt), None)
                self._entries.put(entry)
                self._report(entry)
            case FenceDone():
                self._entries = Inventory(message.entries)
                self._session = 0
                self._fencing = False
                self._hello()
            case Stopping():
                self._goodbye(idle=message.idle)

    def _host_hello(self, message: HostHello) -> None:
        if message.version != LOCAL_VERSION:
            text = f"the jobhost speaks version {message.version} of the local protocol, this agent {LOCAL_VERSION}"
            self._steps.append(Leave(EXIT_REFUSED, text))
            return
        self._session = message.session
        self._entries = Inventory(message.entries)
        self._pulse_boot_s = self._now_boot_s
        self._host_known = True
        self._host_knows = message.capabilities
        self._hello()

    def _started(self, message: Started) -> None:
        self._handed.pop((message.job, message.attempt), None)
        known = self._entries.get(message.job, message.attempt)
        if known is None:
            self._entries.put(Entry(job=message.job, attempt=message.attempt, state=EntryState.RUNNING))
        if self._welcomed and (known is None or known.state is EntryState.RUNNING):
            self._send(
                JobStarted(
                    session=self._session,
                    job=message.job,
                    attempt=message.attempt,
                    pid=message.pid,
                    started_s=message.started_s,
                )
            )

    def _report(self, entry: Entry) -> None:
        """Say how an attempt stands. What gets lost on the way is in every heartbeat."""
        if not self._welcomed:
            return
        if entry.result is not None:
            finished = JobFinished(session=self._session, job=entry.job, attempt=entry.attempt, result=entry.result)
            self._send(finished)
        else:
            self._send(JobStarted(session=self._session, job=entry.job, attempt=entry.attempt, pid=0, started_s=0.0))

    def _goodbye(self, *, idle: bool) -> None:
        if self._welcomed:
            for entry in self._entries:
                self._report(entry)
            self._send(Goodbye(session=self._session, idle=idle))
        self._steps.append(Leave(EXIT_OK, ""))
