"""The master: the real core in a shell that does what `cicd.actors.scheduler` does, and may die between any two steps.

One turn: drain the inbox, decide, commit, then the effects one by one. A commit that finds no room is tried again as it
is; meanwhile the real `Standstill` answers signs of life.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from cicd.actors.routes import Routes
from cicd.actors.scheduler import ASKERS_WAIT_S, RETRY_S
from cicd.core.cluster import Cluster
from cicd.core.events import (
    Event,
    MinionBeat,
    MinionDisconnected,
    MinionFinishedJob,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionStartedJob,
    Now,
    Origin,
    Ticked,
)
from cicd.core.plan import Answer, Bind, Effect, Plan, Reply, Send
from cicd.core.settings import CoreSettings
from cicd.core.standstill import Standstill
from cicd.messages.base import ErrorReply, MinionId, Wire
from cicd.messages.minion import Beat, Goodbye, Hello, JobFinished, JobStarted
from cicd.storage.base import StoreFullError
from cicd.testing.model.store import ModelStore
from cicd.testing.simulator.clockwork import Action, Process
from cicd.transport.base import PeerId

if TYPE_CHECKING:
    from cicd.testing.simulator.world import World

_TICK_S = 0.25
_COMMIT_S = (0.001, 0.002, 0.02)
_FULL = StoreFullError("the disk is full")


@dataclass(slots=True)
class _Waiting:
    """A plan that found no room, and what happens until it does."""

    plan: Plan
    standstill: Standstill
    since_boot_s: float
    tried_boot_s: float


class SimMaster:
    """The master's process, again and again.

    Attributes:
        disk_full: how many times over the store has no room.
        fuse: steps that are still done before it dies; None: it need not die.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.settings = CoreSettings()
        self.store = ModelStore()
        self.process = Process()
        self.process.end()
        self.cluster = Cluster(self.settings)
        self.disk_full = 0
        self.wall_jump_s = 0.0
        self.fuse: int | None = None
        self._routes = Routes(lambda _peer, _name: None)
        self._inbox: list[Event] = []
        self._working = False
        self._waiting: _Waiting | None = None
        self._begun_s = world.clockwork.now_s - 5000.0
        self.awake_since_s = 0.0

    @property
    def listens(self) -> bool:
        """Whether connections are taken."""
        return self.process.alive and not self.process.paused

    @property
    def boot_s(self) -> float:
        """The clock of the master's machine."""
        return self._world.clockwork.now_s - self._begun_s

    @property
    def now(self) -> Now:
        """Both clocks."""
        return Now(boot_s=self.boot_s, wall_s=1_767_600_000.0 + self._world.clockwork.now_s + self.wall_jump_s)

    # ---- life and death

    def start(self) -> None:
        """Start from the store."""
        if self.process.alive:
            return
        self.process = Process()
        self.awake_since_s = self._world.clockwork.now_s
        self.fuse = None
        self._inbox = []
        self._working = False
        self._waiting = None
        self._routes = Routes(lambda _peer, _name: None)
        self.cluster = self.store.restore(self.settings, self.now)
        self._world.witness.restarted(self)
        if not self._world.rules.start_grace:
            for entry in self.cluster.book.minions.values():
                entry.expires_boot_s = self.boot_s
        self._world.tell("master", "starts", f"{len(self.cluster.book.runs)} active runs")
        self._tick(self.process)

    def kill(self, again_s: float, *, crash: bool = False) -> None:
        """Die now; be started again."""
        if self.process.alive:
            self._world.tell("master", "dies")
            self.process.end()
            self._world.network.master_gone()
            self._world.people.master_gone()
            if crash:
                self._begun_s = self._world.clockwork.now_s - 1.0
            self._world.clockwork.after(again_s, self.start)

    def pause(self) -> Action:
        """Stand still; return what lets it go on."""
        process = self.process
        process.pause()
        return process.resume

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be done."""
        return self.process.alive and not self._working and not self._inbox and self._waiting is None

    def _tick(self, process: Process) -> None:
        if process.alive:
            process.do(lambda: self.put(Ticked()))
            self._world.clockwork.after(_TICK_S, lambda: self._tick(process))

    # ---- what comes in

    def put(self, event: Event) -> None:
        """Hand in an event; the turn follows at once, unless one is on its way."""
        self._inbox.append(event)
        if not self._working:
            self._turn()

    def receive(self, peer: PeerId, message: Wire) -> None:
        """A frame: what the registry makes of it."""
        minion = self._routes.minion_of(peer)
        if isinstance(message, Hello):
            self._world.witness.heard(message.minion, message)
            origin = Origin(peer)
            self.put(MinionSaidHello(hello=message, origin=origin, user="", received_boot_s=self.boot_s))
        elif minion is None:
            self._world.network.down(peer, ErrorReply(code="hello_first", text="", kind=""))
        else:
            event = self._of_minion(minion, message)
            if event is not None:
                self.put(event)

    def _of_minion(self, minion: MinionId, message: Wire) -> Event | None:
        match message:
            case Beat():
                self._world.witness.heard(minion, message)
                if not self._world.rules.beat_order:
                    message = replace(message, seq=self.cluster.book.minions[minion].beat_seq + 1)
                return MinionBeat(minion=minion, beat=message, received_boot_s=self.boot_s)
            case JobStarted():
                return MinionStartedJob(minion=minion, started=message)
            case JobFinished():
                return MinionFinishedJob(minion=minion, finished=message)
            case Goodbye():
                self._world.witness.goodbye(minion, message.session)
                return MinionSaidGoodbye(minion=minion, goodbye=message)
        return None

    def peer_gone(self, peer: PeerId) -> None:
        """A connection broke."""
        minion = self._routes.unbind(peer)
        if minion is not None:
            self.put(MinionDisconnected(minion=minion))

    # ---- a turn

    def _turn(self) -> None:
        self._working = True
        self._go_on(self.process, self._steps())

    def _steps(self) -> Iterator[float]:
        """Do one thing after another; yield before each the time it takes."""
        events, self._inbox = self._inbox, []
        if self._waiting is not None:
            kept: list[Event] = []
            yield from self._wait(self._waiting, events, kept)
            if self._waiting is not None:
                return
            events = kept + events
        rules = self._world.rules
        if not rules.stall_grace:
            self.cluster._last_boot_s = self.boot_s  # noqa: SLF001  the rule that is left out
        plan = self.cluster.handle(events, self.now)
        self._world.witness.decided(self, ticked=any(isinstance(event, Ticked) for event in events))
        if not rules.commit_first:
            yield from self._carry_out_all(plan)
        if plan.saves:
            yield self._world.chance.one_of(_COMMIT_S)
            if self.disk_full:
                self._world.tell("master", "commit finds no room")
                if rules.commit_again:
                    standstill = Standstill(self.cluster.book)
                    self._waiting = _Waiting(plan, standstill, self.boot_s, self.boot_s)
                return
            yield from self._commit(plan)
        if rules.commit_first:
            yield from self._carry_out_all(plan)

    def _commit(self, plan: Plan) -> Iterator[float]:
        self.store.commit(plan)
        yield 0.0
        self._world.witness.committed(self, plan)

    def _carry_out_all(self, plan: Plan) -> Iterator[float]:
        for effect in plan.effects:
            yield 0.0
            self._carry_out(effect)

    def _wait(self, waiting: _Waiting, events: list[Event], kept: list[Event]) -> Iterator[float]:
        """Try a plan that found no room again; until there is some, only signs of life are answered."""
        if self.boot_s - waiting.tried_boot_s >= RETRY_S:
            yield self._world.chance.one_of(_COMMIT_S)
            waiting.tried_boot_s = self.boot_s
            if not self.disk_full:
                yield from self._commit(waiting.plan)
                self._waiting = None
                yield from self._carry_out_all(waiting.plan)
                kept += waiting.standstill.kept()
                self._world.tell("master", "there is room again")
                return
        for effect in waiting.standstill.take(events, _FULL):
            yield 0.0
            self._carry_out(effect)
        if self.boot_s - waiting.since_boot_s >= ASKERS_WAIT_S:
            waiting.plan.effects = [effect for effect in waiting.plan.effects if not isinstance(effect, Reply)]

    def _go_on(self, process: Process, steps: Iterator[float]) -> None:
        """Do steps until one takes time; a fuse that has burnt down ends the process between two."""
        for takes_s in steps:
            if self.fuse is not None:
                self.fuse -= 1
                if self.fuse < 0:
                    self.kill(self._world.chance.one_of((0.3, 1.0, 5.0, 12.0)))
                    return
            if takes_s:
                self._world.clockwork.after(takes_s, lambda: process.do(lambda: self._go_on(process, steps)))
                return
            if not process.alive:
                return
        self._working = False
        if self._inbox:
            self._turn()

    def _carry_out(self, effect: Effect) -> None:
        network = self._world.network
        match effect:
            case Send(minion, message):
                self._world.tell("master", f"to {minion}:", message)
                peer = self._routes.peer_of(minion)
                if peer is not None:
                    network.down(peer, message)
            case Answer(origin, message):
                self._world.tell("master", f"to {origin.decode()}:", message)
                network.down(PeerId(origin), message)
            case Bind(minion, origin, name):
                self._routes.bind(minion, PeerId(origin), name)
            case Reply():
                self._world.people.answered(effect)
