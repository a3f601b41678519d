"""A model cluster: the real core, model minions and a network that does what it is told.

Connections are numbered. A message that is under way when its connection breaks is lost with it. Within a connection
the network may deliver in any order, twice, or not at all: whoever drives the world says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from cicd.core import carrying
from cicd.core.cluster import Cluster
from cicd.core.events import (
    Asker,
    Event,
    MinionBeat,
    MinionDisconnected,
    MinionFinishedJob,
    MinionSaidGoodbye,
    MinionSaidHello,
    MinionStartedJob,
    Now,
    Origin,
    RunSubmitted,
    Ticked,
)
from cicd.core.plan import Answer, Bind, Plan, Reply, Send
from cicd.core.settings import CoreSettings
from cicd.errors import CicdError
from cicd.messages.base import Digest, ErrorReply, MinionId, PipelineId, RunId, Wire
from cicd.messages.cluster import MinionRecord, TokenRecord
from cicd.messages.minion import Beat, Goodbye, Hello, JobFinished, JobStarted
from cicd.messages.pipeline import JobSpec, PipelineSpec, PluginRecord
from cicd.messages.run import Dependency, FailureKind, JobRecord, RunRecord, Status, Trigger
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.promises import BrokenPromiseError, Promises
from cicd.testing.model.store import ModelStore

_WALL_S = 1_767_600_000.0
_ENOUGH_LETTERS = 20_000


@dataclass(frozen=True)
class Letter:
    """A message under way."""

    minion: MinionId
    connection: int
    message: Wire


@dataclass
class World:
    """Everything there is.

    Attributes:
        connections: the number of each minion's connection; 0: it has none.
        bound: the connection that the master holds to be each minion's.
        to_master: messages under way to the master.
        to_minions: messages under way to minions.
        replies: what people were answered.
        check_always: check after every batch; else only where `check` is called.
    """

    minions: dict[MinionId, ModelMinion]
    settings: CoreSettings = field(default_factory=CoreSettings)
    now_s: float = 1000.0
    cluster: Cluster = field(init=False)
    store: ModelStore = field(default_factory=ModelStore)
    promises: Promises = field(default_factory=Promises)
    connections: dict[MinionId, int] = field(default_factory=dict)
    bound: dict[MinionId, int] = field(default_factory=dict)
    to_master: list[Letter] = field(default_factory=list)
    to_minions: list[Letter] = field(default_factory=list)
    replies: dict[Asker, RunRecord | MinionRecord | TokenRecord | CicdError] = field(default_factory=dict)
    check_always: bool = True
    _count: int = 0

    def __post_init__(self) -> None:
        """Start with an empty core."""
        self.cluster = Cluster(self.settings)
        self.connections = dict.fromkeys(self.minions, 0)

    @classmethod
    def of(cls, *minions: ModelMinion, settings: CoreSettings | None = None) -> Self:
        """Return a world whose minions have all joined, in this order."""
        world = cls({minion.id: minion for minion in minions}, settings or CoreSettings())
        for name in world.minions:
            world.connect(name)
        world.settle()
        return world

    @property
    def now(self) -> Now:
        """The master's clocks."""
        return Now(boot_s=self.now_s, wall_s=_WALL_S + self.now_s)

    # ---- the master

    def handle(self, *events: Event) -> Plan:
        """Let the core decide, store what it saves, then carry out its effects; check everything."""
        plan = self.cluster.handle(events, self.now)
        self.store.commit(plan)
        for effect in plan.effects:
            match effect:
                case Send(minion, message):
                    self._post(minion, self.bound.get(minion, 0), message)
                case Answer(origin, message):
                    name, _, connection = bytes(origin).decode().rpartition("/")
                    self._post(MinionId(name), int(connection), message)
                case Bind(minion, origin, _):
                    self.bound[minion] = int(bytes(origin).decode().rpartition("/")[2])
                case Reply(asker, result):
                    self.replies[asker] = result
        if self.check_always:
            self.check()
        return plan

    def _post(self, minion: MinionId, connection: int, message: Wire) -> None:
        if connection and self.connections.get(minion) == connection:
            self.to_minions.append(Letter(minion, connection, message))

    def check(self) -> None:
        """Check the core's invariants and every promise."""
        self.cluster.validate()
        self.promises.check(self.cluster, self.store, self.minions.values())

    def restart_master(self) -> None:
        """Kill the master; another takes up what the store holds. All connections break."""
        self.cluster = self.store.restore(self.settings, self.now)
        self.bound.clear()
        for minion in self.minions:
            self._drop_connection(minion)
        self.handle()

    def submit(
        self,
        name: str,
        jobs: Sequence[JobSpec],
        *,
        requires: tuple[str, ...] = (),
        request: str = "",
        timeout_s: float = 0.0,
        retry_of: RunId | None = None,
        limit: int = 0,
        depends_on: Sequence[str] = (),
        priority: int = 0,
        ref: str = "",
        supersede: bool = False,
        cancel_superseded: bool = False,
    ) -> RunId:
        """Begin a run and return its id; with `retry_of`, one that carries over what succeeded in that run.

        `limit`: so many runs of the pipeline may be active at once; 0: any number.
        """
        self._count += 1
        digest = Digest(f"{self._count:064x}")
        spec = PipelineSpec(
            name=name,
            jobs=tuple(jobs),
            run_timeout_s=timeout_s,
            max_parallel_runs=limit,
            depends_on=tuple(depends_on),
            cancel_superseded=cancel_superseded,
        )
        self.store.plugins[digest] = PluginRecord(
            digest=digest,
            size_bytes=1,
            source_digest=digest,
            source_size_bytes=1,
            commit="c",
            language="python",
            spec=spec,
            tags=requires,
        )
        run = RunRecord(
            id=RunId(f"r{self._count:04}"),
            pipeline=PipelineId(name),
            pipeline_name=name,
            number=0,
            plugin=digest,
            source_digest=digest,
            commit="c",
            trigger=Trigger(by="someone"),
            job_count=0,
            retry_of=retry_of,
            ref=ref,
            priority=priority,
            depends_on=tuple(Dependency(pipeline=PipelineId(other), name=other) for other in depends_on),
        )
        before = [job for job in self.store.jobs.values() if job.run == retry_of]
        asker = Asker(self._count)
        event = RunSubmitted(
            run=run,
            spec=spec,
            requires=requires,
            supersede=supersede,
            request=request,
            plugin_size_bytes=1,
            source_size_bytes=1,
            asker=asker,
            carried=carrying.carried(spec, before) if before else (),
        )
        self.handle(event)
        answer = self.replies[asker]
        if isinstance(answer, CicdError):
            raise answer
        return RunId(answer.id)

    def job(self, run: RunId, name: str) -> JobRecord:
        """Return what is stored of a job."""
        return next(job for job in self.store.jobs.values() if job.run == run and job.name == name)

    # ---- minions, each act with everything delivered

    def beat(self, name: str) -> None:
        """A minion sends a heartbeat."""
        self.say(MinionId(name), [self.minions[MinionId(name)].beat()])
        self.settle()

    def restart(self, name: str) -> None:
        """A minion's jobhost is killed and started again; it joins anew and beats."""
        self.minions[MinionId(name)].restart()
        self.connect(MinionId(name))
        self.settle()
        self.beat(name)

    def start(self, name: str) -> None:
        """A minion starts what it was given."""
        self.settle()
        minion = self.minions[MinionId(name)]
        for key in sorted(minion.fetching):
            self.say(minion.id, minion.start(key))
        self.settle()

    def finish(
        self,
        name: str,
        status: Status = Status.SUCCEEDED,
        outputs: dict[str, str] | None = None,
        kind: FailureKind = FailureKind.NONE,
    ) -> None:
        """What runs on a minion ends."""
        minion = self.minions[MinionId(name)]
        for key in sorted(minion.alive):
            self.say(minion.id, minion.finish(key, status, (outputs or {}).items(), kind))
        self.settle()

    # ---- time

    def advance(self, seconds: float, *, step_s: float = 1.5) -> None:
        """Let time pass for everybody; the master looks at the clock every `step_s`."""
        end = self.now_s + seconds
        while self.now_s < end:
            step = min(step_s, end - self.now_s)
            self.now_s += step
            for minion in self.minions.values():
                minion.pass_time(step)
            self.handle(Ticked())

    # ---- the network

    def connect(self, name: MinionId) -> None:
        """A minion makes a new connection and says Hello."""
        self._drop_connection(name)
        self._count += 1
        self.connections[name] = self._count
        self.say(name, [self.minions[name].hello()])

    def disconnect(self, name: MinionId) -> None:
        """A minion's connection breaks, and both sides see it."""
        bound = self.connections[name] and self.bound.get(name) == self.connections[name]
        self._drop_connection(name)
        if bound:
            self.handle(MinionDisconnected(minion=name))

    def _drop_connection(self, name: MinionId) -> None:
        self.connections[name] = 0
        self.minions[name].cut()
        self.to_master = [letter for letter in self.to_master if letter.minion != name]
        self.to_minions = [letter for letter in self.to_minions if letter.minion != name]

    def say(self, name: MinionId, messages: Iterable[Wire]) -> None:
        """A minion sends messages, if it has a connection."""
        connection = self.connections[name]
        if connection:
            self.to_master += [Letter(name, connection, message) for message in messages]

    def deliver_to_master(self, letter: Letter) -> None:
        """The master gets a message; its registry knows by which connection it came."""
        event = self._event_of(letter)
        if event is None:
            self._post(letter.minion, letter.connection, ErrorReply(code="hello_first", text="who are you?"))
        else:
            self.handle(event)

    def _event_of(self, letter: Letter) -> Event | None:
        minion, message = letter.minion, letter.message
        if isinstance(message, Hello):
            origin = Origin(f"{minion}/{letter.connection}".encode())
            return MinionSaidHello(hello=message, origin=origin, user=minion, received_boot_s=self.now_s)
        if self.bound.get(minion) != letter.connection:
            return None
        match message:
            case Beat():
                return MinionBeat(minion=minion, beat=message, received_boot_s=self.now_s)
            case JobStarted():
                return MinionStartedJob(minion=minion, started=message)
            case JobFinished():
                return MinionFinishedJob(minion=minion, finished=message)
            case Goodbye():
                return MinionSaidGoodbye(minion=minion, goodbye=message)
        raise TypeError(f"no minion says {message}")

    def deliver_to_minion(self, letter: Letter) -> None:
        """A minion gets a message and may answer it."""
        self.say(letter.minion, self.minions[letter.minion].hear(letter.message))

    def settle(self) -> None:
        """Deliver everything in order until nothing is under way.

        Raises:
            BrokenPromiseError: they answer each other for ever.
        """
        for _ in range(_ENOUGH_LETTERS):
            if not self.deliver_next():
                return
        raise BrokenPromiseError(f"no end of messages: {self.to_master} {self.to_minions}")

    def deliver_next(self) -> bool:
        """Deliver the oldest message to a minion, or else the oldest to the master; return whether there was one."""
        if self.to_minions:
            self.deliver_to_minion(self.to_minions.pop(0))
        elif self.to_master:
            self.deliver_to_master(self.to_master.pop(0))
        else:
            return False
        return True
