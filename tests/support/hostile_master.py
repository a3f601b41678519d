"""All of a master that hears frames, on memory, with its time standing still: what a hostile peer does to it is seen.

There is a victim with a running job and a log, and jobs that wait; a hostile minion that has joined by a key of its
own; a stranger with a right key and no name; a join token that is used up; and an operator who only reads.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import msgpack
import pykka

from actors_support import Deaths, RecordingListener, run_record
from cicd.actors.archive import Archive
from cicd.actors.base import Inbox, Wake
from cicd.actors.desk.calls import Calls
from cicd.actors.desk.client_desk import ClientDesk
from cicd.actors.desk.tools import About, Tools
from cicd.actors.enroller import Enroller
from cicd.actors.gate import Gate
from cicd.actors.log_files import LogFiles
from cicd.actors.minion_registry import MinionRegistry
from cicd.actors.routes import Routes
from cicd.actors.scheduler import Scheduler, SchedulerClient
from cicd.actors.store import Store, StoreClient
from cicd.codec import Codec
from cicd.core.cluster import Cluster
from cicd.core.events import Event, RunSubmitted, TokenCreated
from cicd.core.settings import CoreSettings
from cicd.ids import IdSource
from cicd.messages import bulk, client, enrol, minion
from cicd.messages.base import JobId, MinionId, Wire, job_id
from cicd.messages.cluster import TokenRecord
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import LogRecord
from cicd.storage import records
from cicd.storage.memory import MemoryStorage
from cicd.testing.fake_clock import FakeClock
from cicd.testing.model.promises import picture
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, PeerId
from cicd.transport.policy import KeyRing, minion_user
from sample_values import sample

VICTIM, EVIL = MinionId("id-victim"), MinionId("id-evil")
VICTIM_SESSION = 6
RUN = run_record("01run")
JOBS = tuple(job_id(RUN.id, index) for index in range(3))
TOKEN = TokenRecord(id="used-up", client_public="p" * 40, created_s=0.0, uses=1, max_uses=1, enrol_only=True)
_BATCH = 2000
_READS = (
    client.Status,
    client.ListPipelines,
    client.ShowPipeline,
    client.ListRuns,
    client.ShowRun,
    client.ListMinions,
    client.ShowMinion,
    client.ListTokens,
    client.ReadLog,
    client.FollowRun,
    client.FollowBuild,
)


class _Deaf(RecordingListener):
    """What is sent is counted, not kept: there is much of it."""

    def send(self, peer: PeerId, frame: bytes) -> None:
        self.counters.sent += 1


class HostileMaster:
    """The master's actors; `throw` hands frames to one of its sockets.

    Args:
        folder: for logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deaths = Deaths()
        self.clock = FakeClock()
        self.storage = MemoryStorage()
        self.cluster = Cluster(CoreSettings())
        self.events: Inbox[Event] = Inbox()
        self.dropped: dict[str, Counter[str]] = {}
        self.inboxes: dict[str, Inbox[Any]] = {}
        self.actors: dict[str, pykka.ActorRef[Any]] = {}
        self.listeners = {name: _Deaf() for name in ("control", "bulk", "enrol", "client")}
        self.routes = Routes(lambda _peer, _name: None)
        keyring = KeyRing()
        work = (self.listeners["control"], self.listeners["bulk"])
        self.store_actor = Store.start(self.storage, self.deaths)
        store = StoreClient(self.store_actor)
        self.scheduler = Scheduler.start(
            cluster=self.cluster,
            inbox=self.events,
            store=store,
            listener=self.listeners["control"],
            routes=self.routes,
            clock=self.clock,
            on_reply=lambda reply: self.inboxes["client"].put([reply]),
            on_saved=lambda plan: self.inboxes["client"].put([plan]),
            die=self.deaths,
            gate=Gate(keyring, self.listeners["enrol"], work, self.routes),
        )
        for name in self.listeners:
            self.dropped[name] = Counter()
            self.inboxes[name] = Inbox()
        self.actors["control"] = MinionRegistry.start(
            self.inboxes["control"],
            self.events,
            self.listeners["control"],
            self.routes,
            self.deaths,
            dropped=self.dropped["control"],
        )
        self.actors["bulk"] = Archive.start(
            inbox=self.inboxes["bulk"],
            listener=self.listeners["bulk"],
            storage=self.storage,
            store=store,
            logs=LogFiles(folder / "logs"),
            data_dir=folder,
            on_log=lambda _news: None,
            die=self.deaths,
            dropped=self.dropped["bulk"],
        )
        self.actors["enrol"] = Enroller.start(
            self.inboxes["enrol"], self.events, self.listeners["enrol"], self.dropped["enrol"], self.deaths
        )
        tools = {
            "storage": self.storage,
            "store": store,
            "scheduler": SchedulerClient(self.scheduler),
            "events": self.events,
            "logs": LogFiles(folder / "logs"),
            "dropped": dict,
            "clock": self.clock,
            "ids": IdSource(self.clock),
            "about": About(started_s=0.0, data_dir=folder, endpoints={}),
        }
        # The rest of the tools is for calls that change something.
        calls = Calls(Tools(**{field.name: tools.get(field.name) for field in fields(Tools)}))
        self.actors["client"] = ClientDesk.start(
            self.inboxes["client"],
            self.listeners["client"],
            calls,
            self.clock,
            self.deaths,
            dropped=self.dropped["client"],
        )
        self._settle_in(store)

    def _settle_in(self, store: StoreClient) -> None:
        """Let victim and evil join, the victim hold a job, and one of its logs end."""
        self.events.put([TokenCreated(token=TOKEN)])
        store.commit(records.save_log(LogRecord(job=JOBS[0], attempt=1, size_bytes=5, lines=1, sha256="0" * 64)))
        for who, session, slots in ((VICTIM, VICTIM_SESSION, 1), (EVIL, 1, 1)):
            hello = minion.Hello(
                minion=who, name=who, hostname="h", version="1", platform="p", slots=slots, session=session
            )
            self._say("control", who, hello, user="older")
            self._say("bulk", who, bulk.BulkHello(minion=who, session=session), user="older")
            if who == VICTIM:
                jobs = tuple(JobSpec(name=f"j{index}", labels=("gpu",) if index else ()) for index in range(3))
                self.events.put([RunSubmitted(run=RUN, spec=PipelineSpec(name="p", jobs=jobs))])
                self.settle()
                started = minion.JobStarted(session=VICTIM_SESSION, job=JOBS[0], attempt=1, pid=1, started_s=1.0)
                self._say("control", who, started, user="older")
                chunk = bulk.LogChunk(job=JOBS[0], attempt=1, seq=0, offset=0, data=b"hello", crc32=0x3610A686)
                self._say("bulk", who, chunk, user="older")
        job = self.cluster.book.jobs[JOBS[0]]
        assert (job.record.state, job.record.minion) == ("running", VICTIM)

    def _say(self, socket: str, who: MinionId, message: Wire, user: str) -> None:
        peer = PeerId(f"peer-{who}".encode())
        self.inboxes[socket].put([Delivery(peer, user, Codec(()).encode(message), self.clock.boot_s())])
        self.settle()

    def settle(self) -> None:
        """Return when everything that was put in has been worked off."""
        for name in self.actors:
            wait_until(lambda name=name: not len(self.inboxes[name]), 60)  # type: ignore[misc]  # bound now
            self._pass(self.actors[name])
        wait_until(lambda: not len(self.events), 60)
        self._pass(self.scheduler)
        self._pass(self.actors["client"])

    def _pass(self, actor: pykka.ActorRef[Any]) -> None:
        if not self.deaths.seen:
            actor.ask(Wake(), timeout=60)

    def throw(self, socket: str, peer: str, user: str, frames: Iterable[bytes]) -> int:
        """Hand frames over as the socket loop would; return how many."""
        batch: list[Delivery] = []
        count = 0
        for frame in frames:
            batch.append(Delivery(PeerId(peer.encode()), user, frame, self.clock.boot_s()))
            if len(batch) == _BATCH:
                count += self._flush(socket, batch)
                batch = []
        return count + self._flush(socket, batch)

    def _flush(self, socket: str, batch: list[Delivery]) -> int:
        self.inboxes[socket].put(batch)
        self.settle()
        assert not self.deaths.seen, self.deaths.seen
        return len(batch)

    def state(self) -> dict[str, object]:
        """Return everything that must not change: the core, the store, the files; without the evil one's own record."""
        now: dict[str, object] = {f"core {key}": value for key, value in picture(self.cluster).items()}
        known = dict(now.pop("core minions"))  # type: ignore[call-overload]  # a dict
        known.pop(EVIL)
        now["core minions"] = known
        with self.storage.snapshot() as view:
            kept = view.range(b"", b"\xff")
        now |= {f"store {key!r}": value for key, value in kept if EVIL.encode() not in key}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return now | {f"file {path}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def stop(self) -> None:
        """End it all."""
        pykka.ActorRegistry.stop_all(timeout=20)
        self.storage.close()


def corpus(kinds: Iterable[type[Wire]], **values: object) -> list[bytes]:
    """Return a right frame of each kind, whose fields of these names have these values."""
    found = []
    for kind in kinds:
        tree = msgpack.unpackb(Codec(()).encode(sample(kind)))
        tree |= {name: value for name, value in values.items() if name in kind.__struct_fields__}
        frame = msgpack.packb(tree)
        Codec((kind,)).decode(frame)  # it is right
        found.append(frame)
    return found


def minion_frames(job: JobId = JOBS[0]) -> list[bytes]:
    """Return what a minion may say on the control socket, as if it were the victim."""
    kinds = [kind for kind in minion.FROM_MINION if kind is not minion.Goodbye]
    entry = {"job": job, "attempt": 1, "state": "finished", "result": {"status": "succeeded"}}
    return corpus(
        kinds, minion=VICTIM, name=VICTIM, session=VICTIM_SESSION, job=job, attempt=1, inventory=[entry], protocol=1
    )


def bulk_frames(job: JobId = JOBS[0]) -> list[bytes]:
    """Return what a minion may say on the bulk socket, as if it were the victim."""
    values: dict[str, object] = {"minion": VICTIM, "session": VICTIM_SESSION, "job": job, "attempt": 1, "protocol": 1}
    return corpus(bulk.TO_MASTER, **values, offset=5, data=b"more", crc32=0x5F29D461)


def enrol_frames() -> list[bytes]:
    """Return what a minion may say on the enrol socket."""
    return corpus(enrol.FROM_JOINER, minion=EVIL, name="evil", key="k" * 40, hostname="h", version="1", protocol=1)


def read_frames() -> list[bytes]:
    """Return what an operator may say who changes nothing."""
    assert set(_READS) <= set(get_args(client.Call))
    codec = Codec(client.FROM_CLIENT)
    calls = [codec.encode(client.Request(id=index + 1, call=sample(kind))) for index, kind in enumerate(_READS)]
    calls += [codec.encode(client.Request(id=90, call=client.ShowRun(run=RUN.id)))]
    calls += [codec.encode(client.Request(id=91, call=client.FollowRun(run=RUN.id)))]
    return [*calls, codec.encode(client.Credit(id=1, seq=2)), codec.encode(client.StopStream(id=2))]


EVIL_USER = minion_user(EVIL)
