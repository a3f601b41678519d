"""The jobhost: everything of a minion that must outlive its agent. It forks, so it has one thread and one loop.

It keeps the promises of delivery (R4 to R8) on the minion's side:

    Grant    sets session and deadline. Past the deadline every attempt is killed, here and by its own reaper.
    Start    of an older session, or without a lease: dropped. Of an attempt that the journal knows: what became of it
             is said again. Else: journal, then processes.
    Cancel   of an attempt that is not known: noted as cancelled, so that a Start that comes later runs nothing.
    Leave    by now the master wants nothing more of this minion: end, if nothing is left to be told or delivered.
    Fence    everything is killed; when it is gone the session is 0 and FenceDone says what the journal holds.
    the end of an attempt: deadline looked at again, journal, then Finished and LogClosed. Both are kept, and told to
             each new agent, until ResultAcked and LogStored.

A jobhost that starts finds attempts in the journal that an earlier one ran. They are dead once no process of that
jobhost is left (`leftovers`), and only then is the agent started.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path

import structlog

from cicd.clock import Clock
from cicd.ids import IdSource
from cicd.messages.base import Wire
from cicd.messages.evidence import Cause
from cicd.messages.jobhost import (
    LOCAL_VERSION,
    Cancel,
    DiskReport,
    Fence,
    FenceDone,
    Grant,
    HostHello,
    Leave,
    LogGrew,
    LogStored,
    Pulse,
    ResultAcked,
    Start,
    Started,
    Stopping,
)
from cicd.messages.run import Status
from cicd.plugins.agent_link import AgentLink
from cicd.plugins.attempt import Attempt, Means
from cicd.plugins.attempt_result import Verdict, expired, lost
from cicd.plugins.child import kernel
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.environments import Environments
from cicd.plugins.family import Family
from cicd.plugins.health_checks import HealthChecks
from cicd.plugins.host_settings import HostSettings
from cicd.plugins.journal import NO_ROOM, Key
from cicd.plugins.lease import Lease
from cicd.plugins.ledger import Ledger
from cicd.plugins.leftovers import end_marked
from cicd.plugins.log_notices import LogNotices
from cicd.plugins.mask_files import MaskFiles
from cicd.plugins.oom_watch import OomWatch, find_source
from cicd.plugins.spool import SpoolFile
from cicd.plugins.workspaces import Workspaces
from cicd.plugins.zygote_pool import ZygotePool

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

CAPABILITIES = ("leave",)
_BROKEN = 70
"""Exit code after a bug of our own."""
_PULSE_S = 1.0
_JOURNAL_RETRY_S = 1.0
_AGENT_STOP_S = 2.0
_LEFTOVERS_S = 30.0
_MOST_PER_SLOT = 4
_HELLO_LOGS = 1000
"""Logs that one message to an agent names; the rest, all of them closed, is told one by one."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class JobHost:
    """Runs attempts for an agent. Needs a running loop.

    Args:
        folder: the minion's data, locked.
        settings: what it is told.
        env: this process's environment.
        clock: both times.
    """

    def __init__(self, folder: DataFolder, settings: HostSettings, env: Mapping[str, str], clock: Clock) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._minion = folder.minion_id(IdSource(clock))
        self._environments = Environments(env, settings.pass_env, self._minion)
        self._ledger = Ledger(folder)
        self._running: dict[Key, tuple[Attempt, asyncio.Task[None]]] = {}
        self._fences: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._grace_s = settings.cancel_grace_s
        self._places = 0
        self._lease = Lease(clock, self._lease_expired)
        self._notices = LogNotices(self._tell_growth)
        self._zygotes = ZygotePool(settings.zygote_idle_s, self._environments.of_zygote)
        self._means = Means(
            zygotes=self._zygotes,
            clock=clock,
            grace_s=settings.cancel_grace_s,
            ooms=OomWatch(find_source()),
            name=settings.name,
            mask_files=MaskFiles(settings.mask_files),
            log_limit_bytes=settings.log_limit_bytes,
        )
        self._agent = AgentLink(
            settings.agent_command,
            settings.agent_env,
            settings.agent_restart_delay_s,
            greet=self._greet,
            heard=self._hear,
        )
        self._checks = HealthChecks(settings.checks, self._environments.of_check(), clock, self._agent.send)
        self._family = Family(self._known_pids, self._is_starting)
        self._workspaces = Workspaces(
            folder,
            settings,
            clock,
            adopt=self._family.adopt,
            loaded=lambda: self._zygotes.loaded,
            end=lambda key, verdict: self._running[key][0].end(verdict, 0),
            tell=self._tell_disk,
        )

    # ---- its life

    async def run(self) -> int:
        """Work until `stop`, or until the agent gives up; return the exit code. Nothing is left running then."""
        kernel.become_subreaper()
        self._recover()
        self._sockets = self._folder.make_sockets()
        self._workspaces.recover()
        self._family.watch()
        self._checks.start()
        pulse = asyncio.create_task(self._pulse())
        agent = asyncio.create_task(self._agent.run())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((agent, stopped), return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await self._all_gone()
            await self._agent.stop(Stopping(idle=self._ledger.idle), _AGENT_STOP_S)
            return await agent
        finally:
            pulse.cancel()
            stopped.cancel()
            await self._checks.close()
            self._notices.close()
            self._workspaces.close()
            self._zygotes.close()
            await self._family.end()
            self._lease.close()
            self._ledger.close()
            self._folder.close()

    def stop(self) -> None:
        """End on purpose: running attempts are asked to stop and given up; a second call gives them no more time."""
        grace_s = 0.0 if self._stopping.is_set() else self._grace_s
        self._stopping.set()
        for attempt, _task in self._running.values():
            attempt.end(lost("the minion was stopped", Cause.STOPPED, yields_to_success=True), grace_s)

    def _leave(self) -> None:
        """End because the minion is drained; while something is still to be delivered, not yet: it is said again."""
        if self._ledger.is_empty and not self._running and not self._fences and not self._stopping.is_set():
            log.info("minion.drained", effect="it ends; started again it is suspended until it is resumed")
            self.stop()

    def _recover(self) -> None:
        """Take over from an earlier jobhost, once nothing of it is left."""
        if ended := end_marked(self._minion, _LEFTOVERS_S):
            log.warning("leftovers.ended", processes=ended)
        self._ledger.recover(self._clock.wall_s())

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(_PULSE_S)
            self._family.end_strays()
            self._workspaces.keep_up()
            if not self._agent.behind:
                self._agent.send(Pulse(boot_s=self._clock.boot_s()))

    # ---- what the agent says

    def _greet(self) -> None:
        """Tell a new agent everything."""
        entries, left_out = self._ledger.entries()
        logs = self._ledger.logs()
        self._agent.send(
            HostHello(
                version=LOCAL_VERSION,
                session=self._lease.session,
                entries=entries,
                logs=logs[:_HELLO_LOGS],
                capabilities=CAPABILITIES,
                deadline_boot_s=self._lease.deadline_boot_s,
            )
        )
        if self._settings.checks:
            self._agent.send(self._checks.states)
        for key in (*left_out, *((state.job, state.attempt) for state in logs[_HELLO_LOGS:])):
            self._tell_end(key)
        if report := self._workspaces.last_report:
            self._tell_disk(report)

    def _hear(self, message: Wire) -> None:
        try:
            match message:
                case Grant():
                    self._grant(message)
                case Start():
                    self._start(message)
                case Cancel():
                    self._cancel(message)
                case ResultAcked():
                    self._ledger.acknowledge((message.job, message.attempt))
                case LogStored():
                    self._ledger.drop_log((message.job, message.attempt))
                case Leave():
                    self._leave()
                case Fence():
                    self._fences.add(asyncio.create_task(self._fence()))
        except OSError as error:
            # The disk, most likely. Nothing was told, so the other side says it again.
            log.exception("message.failed", kind=type(message).__name__, error=str(error))

    def _grant(self, message: Grant) -> None:
        if self._lease.grant(message.session, message.deadline_boot_s):
            for attempt, _task in self._running.values():
                attempt.set_deadline(message.deadline_boot_s)

    def _start(self, message: Start) -> None:
        run = message.run_job
        key = (run.job, run.attempt)
        if self._ledger.knows(key):
            self._repeat(key)
        elif refusal := self._refusal(message):
            log.warning("start.dropped", job=run.job, attempt=run.attempt, why=refusal)
        else:
            try:
                file = self._ledger.begin(key, run.session)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                log.error("attempt.no_room", job=run.job, attempt=run.attempt, error=str(error))  # noqa: TRY400  the disk
                for told in self._ledger.no_room(key, self._settings.name):
                    self._agent.send(told)
            else:
                self._launch(key, message, file)

    def _refusal(self, message: Start) -> str:
        run = message.run_job
        reasons = {
            "the minion is stopping": self._stopping.is_set(),
            "the session is being ended": bool(self._fences),
            f"session {run.session} is older than {self._lease.session}": run.session < self._lease.session,
            "there is no lease": not self._lease.valid,
            "its result was acknowledged": self._ledger.was_acknowledged((run.job, run.attempt)),
            "too many attempts run": len(self._running) >= _MOST_PER_SLOT * self._settings.slots,
            "not a job's id": not _JOB_ID.fullmatch(run.job) or run.attempt < 1,
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    def _repeat(self, key: Key) -> None:
        """Say again what became of an attempt (rule R7)."""
        if running := self._running.get(key):
            if running[0].pid:
                self._tell_started(key, running[0])
        else:
            self._tell_end(key)

    def _cancel(self, message: Cancel) -> None:
        key = (message.job, message.attempt)
        why = message.reason or "cancelled"
        if running := self._running.get(key):
            running[0].end(
                Verdict(Status.CANCELLED, why, yields_to_success=True, cause=Cause.CANCELLED), message.grace_s
            )
            return
        if not self._ledger.knows(key) and not self._ledger.was_acknowledged(key) and _JOB_ID.fullmatch(message.job):
            self._ledger.end_unstarted(key, Status.CANCELLED, why)
        self._tell_end(key)

    async def _fence(self) -> None:
        """End everything of the session; then say so."""
        self._end_all(lost("the minion's session was ended by the master", Cause.FENCED))
        await self._all_gone()
        self._lease.end()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is one
        self._fences.discard(task)
        entries, left_out = self._ledger.entries()
        self._agent.send(FenceDone(entries=entries))
        for key in left_out:
            self._tell_end(key)
        log.info("session.fenced")

    # ---- attempts

    def _launch(self, key: Key, message: Start, file: SpoolFile) -> None:
        self._places += 1
        place = self._workspaces.place(key, message, self._sockets / str(self._places))
        attempt = Attempt(
            message,
            place,
            self._environments.of_job(Path(message.plugin_dir)),
            file,
            self._means,
            started=lambda _pid: self._started(key, attempt),
            grew=lambda: self._notices.grew(key),
        )
        attempt.set_deadline(self._lease.deadline_boot_s)
        self._running[key] = (attempt, asyncio.create_task(self._run(key, attempt)))

    async def _run(self, key: Key, attempt: Attempt) -> None:
        try:
            result, state = await attempt.run()
        except Exception:
            # Nobody can say what is left of it. The next start of this minion ends that, and tells what it was.
            log.exception("attempt.broken", job=key[0], attempt=key[1], effect="this minion starts anew")
            os._exit(_BROKEN)
        if result.status is Status.LOST:
            await self._family.end_all_strays()
        if not self._lease.valid:
            result = expired(result)
        while True:
            try:
                self._ledger.end(key, result, state)
                break
            except OSError as error:
                log.exception("journal.failed", job=key[0], attempt=key[1], error=str(error))
                await asyncio.sleep(_JOURNAL_RETRY_S)
        del self._running[key]
        self._workspaces.ended(key, result)
        self._notices.closed(key)
        self._tell_end(key)
        log.info("attempt.ended", job=key[0], attempt=key[1], status=result.status, why=result.message)

    def _started(self, key: Key, attempt: Attempt) -> None:
        self._family.expect(attempt.reaper, attempt.gone)
        self._tell_started(key, attempt)
        log.info("attempt.started", job=key[0], attempt=key[1], pid=attempt.pid)

    def _end_all(self, verdict: Verdict) -> None:
        for attempt, _task in self._running.values():
            attempt.end(verdict, 0)

    async def _all_gone(self) -> None:
        while tasks := [task for _attempt, task in self._running.values()]:
            await asyncio.wait(tasks)

    def _lease_expired(self) -> None:
        if self._running:
            log.error("lease.expired", session=self._lease.session, attempts=len(self._running))
        late_s = self._clock.boot_s() - self._lease.deadline_boot_s
        self._end_all(lost("the minion's lease ran out", Cause.LEASE, stalled_s=late_s))

    # ---- what the agent is told

    def _tell_started(self, key: Key, attempt: Attempt) -> None:
        self._agent.send(Started(job=key[0], attempt=key[1], pid=attempt.pid, started_s=attempt.started_s))

    def _tell_end(self, key: Key) -> None:
        for message in self._ledger.story(key):
            self._agent.send(message)

    def _tell_disk(self, report: DiskReport) -> None:
        if not self._agent.behind:
            self._agent.send(report)

    def _tell_growth(self, key: Key) -> bool:
        file = self._ledger.log_of(key)
        if file is None:
            return True
        if self._agent.behind:
            return False
        self._agent.send(LogGrew(job=key[0], attempt=key[1], path=str(file.path), size_bytes=file.size_bytes))
        return True

    # ---- family

    def _known_pids(self) -> set[int]:
        return self._zygotes.pids | self._checks.pids | ({self._agent.pid} if self._agent.pid else set())

    def _is_starting(self) -> bool:
        return any(not attempt.pid for attempt, _task in self._running.values())
