"""Scheduler: feeds the core and carries its plans out.

One turn: drain the inbox, decide on everything at once, one transaction, then all effects (rule R1: commit, then send).
While the transaction is on its way new events gather for the next turn, which is what groups commits. A commit that
finds no room is tried again as it is; until then the core takes nothing in, as it must never run ahead of the store,
and only signs of life are answered (`core.standstill`, docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pykka
import structlog

from cicd.actors.base import Actor, Inbox, Tick, Wake, ask
from cicd.actors.crash import Die
from cicd.actors.gate import Gate
from cicd.actors.routes import Routes
from cicd.actors.store import StoreClient
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.codec import Codec
from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionFinishedJob, Now
from cicd.core.plan import Answer, Bind, Effect, Notice, Plan, Reply, Send
from cicd.core.standstill import Standstill
from cicd.errors import NotFoundError, ProtocolError
from cicd.messages.base import JobId, MinionId, RunId, Wire
from cicd.messages.client import MinionView
from cicd.messages.minion import TO_MINION, JobFinished, RunJob
from cicd.messages.run import FailureKind, Result, RunRecord, Status
from cicd.storage import records
from cicd.storage.base import StoreFullError, Write
from cicd.transport.base import Listener, PeerId

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RETRY_S = 0.5
"""Between tries of a commit that found no room."""
ASKERS_WAIT_S = 5.0
"""How long people whose calls are part of such a commit are left waiting for it."""

Decide = Callable[[Sequence[Event], Now], Plan]
OnReply = Callable[[Reply], None]
OnSaved = Callable[[Plan], None]


@dataclass(slots=True)
class _Waiting:
    """A plan that found no room in the store, and what happens until it does."""

    plan: Plan
    error: StoreFullError
    standstill: Standstill
    since_boot_s: float
    tried_boot_s: float


@dataclass(frozen=True, slots=True)
class AskWaits:
    """-> dict of job id to why it waits. `only`: of these jobs; None: of all."""

    run: RunId
    only: tuple[JobId, ...] | None = None


@dataclass(frozen=True, slots=True)
class AskRunWaits:
    """-> dict of run id to why it has not been let in."""

    runs: tuple[RunId, ...]


@dataclass(frozen=True, slots=True)
class AskMinions:
    """-> list of MinionView, by place; `name`: only that one (NotFoundError)."""

    name: str = ""


class Scheduler(Actor):
    """The core's shell.

    Args:
        cluster: the core, restored.
        inbox: events from the registry, the heartbeat monitor and the client desk.
        listener: the control socket.
        on_reply: called with answers to people's calls; quick.
        on_saved: called after each commit with what was saved; quick.
        decide: hands a batch to the core; None: `cluster.handle`. The journal of inputs stands between.
        gate: lets keys in; None: nothing does.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        inbox: Inbox[Event],
        store: StoreClient,
        listener: Listener,
        routes: Routes,
        clock: Clock,
        on_reply: OnReply,
        on_saved: OnSaved,
        die: Die,
        decide: Decide | None = None,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(die)
        self._gate = gate
        self._cluster = cluster
        self._decide = decide or cluster.handle
        self._inbox = inbox
        self._store = store
        self._listener = listener
        self._routes = routes
        self._clock = clock
        self._on_reply = on_reply
        self._on_saved = on_saved
        self._codec = Codec(TO_MINION)
        self._waiting: _Waiting | None = None
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)

    def on_stop(self) -> None:
        """Let a plan that waits for room go: nothing of it was told to anybody."""
        self._stop_ticking()

    def on_receive(self, message: Any) -> Any:
        """Take a turn, or answer a question about the present."""
        if isinstance(message, Wake | Tick):
            self._turn()
            return None
        if isinstance(message, AskWaits):
            return self._cluster.waits(message.run, self._now(), message.only)
        if isinstance(message, AskRunWaits):
            return self._cluster.run_waits(message.runs)
        if isinstance(message, AskMinions):
            return self._minions(message.name)
        raise TypeError(f"Scheduler: {type(message).__name__}")

    def _now(self) -> Now:
        return Now(boot_s=self._clock.boot_s(), wall_s=self._clock.wall_s())

    def _turn(self) -> None:
        events = self._inbox.drain()
        if self._waiting is not None:
            kept = self._wait(self._waiting, events)
            if kept is None:
                return
            events = kept
        plan = self._decide(events, self._now())
        if plan.saves and not self._commit(plan):
            return
        self._carry_out_all(plan)

    def _commit(self, plan: Plan) -> bool:
        """Store a plan; return whether there was room. If not, it waits."""
        try:
            self._store.commit(writes_of(plan))
        except StoreFullError as error:
            now = self._clock.boot_s()
            if self._waiting is None:
                effect = "nothing new is taken in until there is room; what runs goes on"
                log.error("store.full", error=error.message, effect=effect)  # noqa: TRY400  it is expected
                self._waiting = _Waiting(plan, error, Standstill(self._cluster.book), now, now)
                self._ticker = Ticker(self.actor_ref, RETRY_S, "store-full")
                self._ticker.start()
            self._waiting.tried_boot_s = now
            return False
        self._on_saved(plan)
        return True

    def _wait(self, waiting: _Waiting, events: list[Event]) -> list[Event] | None:
        """Try a waiting plan again; return what the core has to take in next, or None: there still is no room."""
        now = self._clock.boot_s()
        if now - waiting.tried_boot_s >= RETRY_S and self._commit(waiting.plan):
            log.info("store.has_room", waited_s=round(now - waiting.since_boot_s, 1))
            self._waiting = None
            self._stop_ticking()
            self._carry_out_all(waiting.plan)
            return [*waiting.standstill.kept(), *events]
        for effect in waiting.standstill.take(events, waiting.error):
            self._carry_out(effect)
        if now - waiting.since_boot_s >= ASKERS_WAIT_S:
            self._answer_askers(waiting)
        return None

    def _answer_askers(self, waiting: _Waiting) -> None:
        """Tell those whose calls wait in the plan; what they asked for is done once there is room."""
        error = StoreFullError(
            f"{waiting.error.message}; what you asked for was taken in, and is done once there is room"
        )
        effects = waiting.plan.effects
        for effect in effects:
            if isinstance(effect, Reply):
                self._on_reply(Reply(effect.asker, error))
        waiting.plan.effects = [effect for effect in effects if not isinstance(effect, Reply)]

    def _stop_ticking(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def _carry_out_all(self, plan: Plan) -> None:
        for effect in plan.effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(minion, message):
                self._send(minion, message)
            case Answer(origin, message):
                self._listener.send(PeerId(origin), self._codec.encode(message))
            case Bind(minion, origin, name):
                self._routes.bind(minion, PeerId(origin), name)
                log.info("minion.joined", minion=minion, name=name)
            case Reply():
                self._on_reply(effect)
            case Notice(minion, name, state, why):
                log.info("minion.state", minion=minion, name=name, state=state, why=why)
            case _ if self._gate is not None:
                self._gate.carry_out(effect)

    def _send(self, minion: MinionId, message: Wire) -> None:
        peer = self._routes.peer_of(minion)
        if peer is None:
            return  # it will say Hello, and the core sends again what is still wanted
        try:
            frame = self._codec.encode(message)
        except ProtocolError as error:
            if not isinstance(message, RunJob):
                raise
            self._inbox.put([_unsendable(minion, message, error.message)])
            return
        self._listener.send(peer, frame)

    def _minions(self, name: str) -> list[MinionView]:
        if name:
            found = self._cluster.minion(name)
            if found is None:
                raise NotFoundError(f"no minion is called {name!r}")
            entries = [found]
        else:
            entries = sorted(self._cluster.book.minions.values(), key=lambda entry: entry.record.ring)
        return [
            MinionView(
                minion=entry.record,
                connection=entry.connection,
                seen_s=entry.seen_wall_s,
                running=tuple(entry.running),
                load=entry.load,
                health=entry.health,
                availability=entry.record.availability,
            )
            for entry in entries
        ]


def _unsendable(minion: MinionId, message: RunJob, why: str) -> Event:
    result = Result(status=Status.FAILED, failure_kind=FailureKind.USER, message=f"the job cannot be sent: {why}")
    finished = JobFinished(session=message.session, job=message.job, attempt=message.attempt, result=result)
    return MinionFinishedJob(minion=minion, finished=finished)


def writes_of(plan: Plan) -> list[Write]:
    """Return the writes of everything that a plan saves."""
    writes: list[Write] = []
    for minion in plan.forgotten_minions.values():
        writes += records.delete_minion(minion)
    for minion_record in plan.minions.values():
        writes += records.save_minion(minion_record)
    for run in plan.runs.values():
        writes += records.save_run(run)
    for job in plan.jobs.values():
        writes += records.save_job(job)
    for attempt in plan.attempts.values():
        writes += records.save_attempt(attempt)
    for pipeline, last in plan.last_runs.items():
        writes += records.save_last_run(pipeline, last)
    for request, run_id in plan.requests.items():
        writes += records.save_request(request, run_id)
    for token in plan.tokens.values():
        writes += records.save_token(token)
    for removed in plan.removed_keys.values():
        writes += records.save_removed_key(removed)
    return writes


class SchedulerClient:
    """How other actors ask the Scheduler about the present."""

    def __init__(self, actor: pykka.ActorRef[Scheduler]) -> None:
        self._actor = actor

    def waits(self, run: RunId, only: Sequence[JobId] | None = None) -> dict[JobId, str]:
        """Return why the jobs of a run wait; `only`: these jobs."""
        asked = AskWaits(run, None if only is None else tuple(only))
        texts: dict[JobId, str] = ask(self._actor, asked, timeout_s=10)
        return texts

    def run_waits(self, runs: Iterable[RunRecord]) -> dict[RunId, str]:
        """Return why runs have not been let in. Asks nobody when all have."""
        waiting = tuple(run.id for run in runs if run.waiting)
        texts: dict[RunId, str] = ask(self._actor, AskRunWaits(waiting), timeout_s=10) if waiting else {}
        return texts

    def minions(self, name: str = "") -> list[MinionView]:
        """Return how minions are now.

        Raises:
            NotFoundError: no minion has this name or id.
        """
        views: list[MinionView] = ask(self._actor, AskMinions(name), timeout_s=10)
        return views
