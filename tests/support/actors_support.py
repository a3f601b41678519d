"""What the tests of actors share: a listener that remembers, a death that is seen, a master's inside on memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pykka

from cicd.actors.base import Inbox
from cicd.actors.routes import Routes
from cicd.actors.scheduler import Scheduler, SchedulerClient
from cicd.actors.store import Store, StoreClient
from cicd.clock import SystemClock
from cicd.codec import Codec
from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionSaidHello, Origin, RunSubmitted
from cicd.core.plan import Plan, Reply
from cicd.core.settings import CoreSettings
from cicd.messages.base import Digest, MinionId, PipelineId, RunId, Wire
from cicd.messages.minion import TO_MINION, Hello, RunJob
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import RunRecord, Trigger
from cicd.storage.memory import MemoryStorage
from cicd.transport.base import Counters, OnBatch, OnDeath, OnPeer, PeerId


class RecordingListener:
    """A listener without a socket: what is sent through it is kept."""

    address = "memory://recording"

    def __init__(self, kinds: tuple[type[Wire], ...] = TO_MINION) -> None:
        self.counters = Counters()
        self.sent: list[tuple[PeerId, Wire]] = []
        self._codec = Codec(kinds)

    def start(self, on_batch: OnBatch, on_peer: OnPeer, on_death: OnDeath) -> None:
        """Nothing arrives by itself."""

    def send(self, peer: PeerId, frame: bytes) -> None:
        self.sent.append((peer, self._codec.decode(frame)))

    def close(self) -> None:
        """Nothing to close."""

    def of(self, kind: type[Wire]) -> list[Wire]:
        return [message for _, message in list(self.sent) if isinstance(message, kind)]


@dataclass
class Deaths:
    """A `die` that is seen instead of ending the tests."""

    seen: list[tuple[str, BaseException | None]] = field(default_factory=list)
    happened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, what: str, error: BaseException | None) -> None:
        self.seen.append((what, error))
        self.happened.set()


class MasterInside:
    """Scheduler and Store on memory, with a recording control socket."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.deaths = Deaths()
        self.listener = RecordingListener()
        self.events: Inbox[Event] = Inbox()
        self.replies: list[Reply] = []
        self.plans: list[Plan] = []
        self.names: dict[bytes, str] = {}
        self.routes = Routes(self.names.__setitem__)
        self.store_actor = Store.start(self.storage, self.deaths)
        self.store = StoreClient(self.store_actor)
        self.scheduler_actor = Scheduler.start(
            cluster=Cluster(CoreSettings()),
            inbox=self.events,
            store=self.store,
            listener=self.listener,
            routes=self.routes,
            clock=SystemClock(),
            on_reply=self.replies.append,
            on_saved=self.plans.append,
            die=self.deaths,
        )
        self.scheduler = SchedulerClient(self.scheduler_actor)

    def stop(self) -> None:
        pykka.ActorRegistry.stop_all(timeout=5)
        self.storage.close()

    def hello(self, name: str, *, slots: int = 1) -> None:
        hello = Hello(minion=MinionId(f"id-{name}"), name=name, hostname="h", version="1", platform="p", slots=slots)
        now = SystemClock().boot_s()
        self.events.put([MinionSaidHello(hello=hello, origin=Origin(name.encode()), user="t", received_boot_s=now)])

    def submit(self, run: str, jobs: tuple[JobSpec, ...]) -> None:
        self.events.put([RunSubmitted(run=run_record(run), spec=PipelineSpec(name="p", jobs=jobs))])

    def runs_sent(self) -> list[RunJob]:
        return [message for message in self.listener.of(RunJob) if isinstance(message, RunJob)]


def run_record(run: str, pipeline: str = "pipeline") -> RunRecord:
    return RunRecord(
        id=RunId(run),
        pipeline=PipelineId(pipeline),
        pipeline_name="p",
        number=0,
        plugin=Digest("d" * 64),
        source_digest=Digest("e" * 64),
        commit="c" * 40,
        trigger=Trigger(by="ada"),
        job_count=0,
    )
