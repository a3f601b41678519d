"""What the journal of inputs costs the Scheduler: processor time of its turns with and without it, in one run.

A real Scheduler and a real store. Blocks with and without the journal take turns, so that both see the same machine.
Measured is the processor time of the Scheduler's thread alone, which leaves out what the store's and the journal's own
threads do, and that of the whole process, which holds what the test itself does.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pykka
import pytest

from actors_support import Deaths, run_record
from cicd.actors.base import Inbox
from cicd.actors.routes import Routes
from cicd.actors.scheduler import Scheduler
from cicd.actors.store import Store, StoreClient
from cicd.clock import SystemClock
from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionBeat, MinionFinishedJob, MinionSaidHello, Now, Origin, RunSubmitted, Ticked
from cicd.core.plan import Plan
from cicd.core.settings import CoreSettings
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import Load
from cicd.messages.minion import Beat, Entry, EntryState, Hello, JobFinished
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import Result, Status
from cicd.replay.files import Limits
from cicd.replay.writer import InputJournal
from cicd.storage.lmdb import LmdbStorage
from cicd.testing.waiting import wait_until
from cicd.transport.base import Counters, PeerId

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MINIONS = 50
JOBS = 50


class Sink:
    """A control socket that takes everything."""

    address = "memory://sink"

    def __init__(self) -> None:
        self.counters = Counters()

    def start(self, *_: object) -> None:
        """Nothing arrives by itself."""

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Take it."""

    def close(self) -> None:
        """Nothing to close."""


class Timed(Scheduler):
    """A Scheduler that says how much processor time its turns took."""

    spent_s = 0.0

    def _turn(self) -> None:
        began = time.thread_time()
        super()._turn()
        Timed.spent_s += time.thread_time() - began


class Inside:
    """A Scheduler on a store on the disk; the journal is in use or not, as it is told."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.storage = LmdbStorage(folder / "store", max_size_bytes=1 << 30)
        self.cluster = Cluster(CoreSettings())
        now = Now(boot_s=self.clock.boot_s(), wall_s=self.clock.wall_s())
        self.journal = InputJournal(folder / "journal", self.cluster, now, Limits())
        self.events: Inbox[Event] = Inbox()
        self.journalled = True
        self.turns = self.taken = self.seq = self.runs = 0
        deaths = Deaths()
        routes = Routes(lambda _peer, _name: None)
        self.store = Store.start(self.storage, deaths)
        Timed.start(
            cluster=self.cluster,
            inbox=self.events,
            store=StoreClient(self.store),
            listener=Sink(),
            routes=routes,
            clock=self.clock,
            on_reply=lambda _: None,
            on_saved=lambda _: None,
            die=deaths,
            decide=self.decide,
        )
        for index in range(MINIONS):
            hello = Hello(
                minion=MinionId(f"m{index}"), name=f"m{index}", hostname="h", version="1", platform="p", slots=1
            )
            self.put(MinionSaidHello(hello=hello, origin=Origin(b"%d" % index), user="", received_boot_s=now.boot_s))
        self.settle()

    def decide(self, events: list[Event], now: Now) -> Plan:
        plan = self.journal.handle(events, now) if self.journalled else self.cluster.handle(events, now)
        self.turns += 1
        self.taken += len(events)
        return plan

    def put(self, *events: Event) -> None:
        self.wanted = getattr(self, "wanted", 0) + len(events)
        self.events.put(events)

    def settle(self) -> None:
        wait_until(lambda: self.taken >= self.wanted, timeout_s=60)

    def beats(self, rounds: int) -> None:
        """Everybody beats, with a job running; a few arrive together."""
        held = {minion: next(iter(entry.running), None) for minion, entry in self.cluster.book.minions.items()}
        for _ in range(rounds):
            self.seq += 1
            now = self.clock.boot_s()
            for index, (minion, job) in enumerate(held.items()):
                inventory = (Entry(job=job, attempt=1, state=EntryState.RUNNING),) if job is not None else ()
                load = Load(load1=self.seq * 0.01, memory_free_bytes=self.seq * 4096)
                beat = Beat(session=1, seq=self.seq, sent_boot_s=now, inventory=inventory, load=load)
                self.put(MinionBeat(minion=minion, beat=beat, received_boot_s=now))
                if index % 5 == 0:
                    self.settle()
            self.put(Ticked())
            self.settle()

    def jobs(self, rounds: int) -> None:
        """Runs of fifty jobs are submitted, given out and end, a job a turn."""
        for _ in range(rounds):
            self.runs += 1
            run = f"run-{self.runs}"
            spec = PipelineSpec(name="p", jobs=tuple(JobSpec(name=f"j{index}") for index in range(JOBS)))
            self.put(RunSubmitted(run=run_record(run), spec=spec))
            self.settle()
            for index in range(JOBS):
                job = self.cluster.book.jobs[JobId(f"{run}-{index}")].record
                finished = JobFinished(session=1, job=job.id, attempt=1, result=Result(status=Status.SUCCEEDED))
                self.put(MinionFinishedJob(minion=job.minion or MinionId(""), finished=finished))
                self.settle()

    def stop(self) -> None:
        pykka.ActorRegistry.stop_all(timeout=5)
        self.journal.close()
        self.storage.close()


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    inside = Inside(tmp_path)
    yield inside
    inside.stop()


@pytest.mark.parametrize("work", ["beats", "jobs"])
def test_the_journal_costs_little(
    work: str, inside: Inside, size: Callable[[int, int], int], figure: Callable[..., None]
) -> None:
    blocks, rounds = size(12, 100), 10 if work == "beats" else 1
    spent: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    if work == "beats":
        spec = PipelineSpec(name="p", jobs=tuple(JobSpec(name=f"j{index}") for index in range(MINIONS)))
        inside.put(RunSubmitted(run=run_record("held"), spec=spec))
        inside.settle()
    getattr(inside, work)(rounds)
    for block in range(2 * blocks):
        inside.journalled = block % 2 == 0
        gc.collect()
        began = time.process_time(), Timed.spent_s
        getattr(inside, work)(rounds)
        if inside.journalled:
            inside.journal.sync()
        spent[inside.journalled].append((time.process_time() - began[0], Timed.spent_s - began[1]))
    # The least of each: what other processes do to the caches only ever adds.
    whole, turns = (min(took[of] for took in spent[True]) / min(took[of] for took in spent[False]) for of in (0, 1))
    figure(f"journal of inputs, {work}", blocks=blocks, turns=round(turns, 3), whole_process=round(whole, 3))
    assert turns < 1.6
