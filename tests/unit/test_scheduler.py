"""The Scheduler: commit, then send; one commit for many events; nothing taken in while the store is full."""

from __future__ import annotations

import threading

import pytest

from actors_support import MasterInside, run_record
from cicd.actors import scheduler
from cicd.clock import SystemClock
from cicd.core.events import Asker, MinionBeat, MinionFinishedJob, RunCancelRequested, RunSubmitted
from cicd.messages.base import MinionId, RunId, job_id
from cicd.messages.minion import Beat, BeatAck, JobFinished, ResultAck
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import JobState, Result, RunState, Status
from cicd.storage.base import StoreFullError
from cicd.storage.records import Records
from cicd.testing.waiting import wait_until


@pytest.fixture
def master():
    inside = MasterInside()
    yield inside
    inside.stop()


def finished(run: str, index: int, attempt: int = 1) -> MinionFinishedJob:
    result = Result(status=Status.SUCCEEDED)
    message = JobFinished(session=1, job=job_id(RunId(run), index), attempt=attempt, result=result)
    return MinionFinishedJob(minion=MinionId("id-m"), finished=message)


def test_a_thousand_queued_results_take_fewer_than_fifty_commits(master):
    """Group commit: what gathers while a transaction is on its way is one transaction."""
    master.hello("m", slots=1000)
    master.submit("run", tuple(JobSpec(name=f"job-{index}") for index in range(1000)))
    wait_until(lambda: len(master.runs_sent()) == 1000, timeout_s=20)
    before = master.store.commits()

    for index in range(1000):
        master.events.put([finished("run", index)])
    wait_until(lambda: len(master.listener.of(ResultAck)) == 1000, timeout_s=20)

    assert master.store.commits() - before < 50
    run = Records(master.storage).run(RunId("run"))
    assert run is not None
    assert run.state is RunState.SUCCEEDED


def test_nothing_is_sent_before_it_is_stored(master):
    """A commit that finds no room holds everything back, and is tried again as it is."""
    gate = threading.Event()
    commit = master.storage.commit
    tries = []

    def full_until_opened(preconditions, writes):
        tries.append(list(writes))
        if not gate.is_set():
            raise StoreFullError("no room")
        commit(preconditions, writes)

    master.storage.commit = full_until_opened
    master.hello("m")
    master.submit("run", (JobSpec(name="only"),))
    wait_until(lambda: len(tries) >= 2, timeout_s=10)
    assert master.listener.sent == []
    assert tries[0] == tries[1]

    gate.set()
    wait_until(lambda: len(master.runs_sent()) == 1, timeout_s=10)
    job = Records(master.storage).job(RunId("run"), 0)
    assert job is not None
    assert job.state is JobState.ASSIGNED
    assert not master.deaths.seen


class FullDisk:
    """A store that takes nothing until it is freed."""

    def __init__(self, storage) -> None:
        self._commit = storage.commit
        self.full = True
        self.tries = 0
        storage.commit = self.commit

    def commit(self, preconditions, writes):
        self.tries += 1
        if self.full:
            raise StoreFullError("no room")
        self._commit(preconditions, writes)


def test_a_full_disk_costs_no_minion_its_lease_and_nothing_is_decided(master):
    """Beats are answered, calls refused; results wait for room, and it goes on by itself."""
    master.hello("m")
    master.submit("run", (JobSpec(name="a"), JobSpec(name="b")))
    wait_until(lambda: len(master.runs_sent()) == 1, timeout_s=10)
    disk = FullDisk(master.storage)
    master.events.put([finished("run", 0)])
    wait_until(lambda: disk.tries, timeout_s=10)
    plans = len(master.plans)

    # Not of the plan that waits, which has the first job's result: that is not told before it is stored.
    now = SystemClock().boot_s()
    beat = Beat(session=1, seq=5, sent_boot_s=now, inventory=())
    master.events.put([MinionBeat(minion=MinionId("id-m"), beat=beat, received_boot_s=now)])
    master.events.put([RunCancelRequested(run=RunId("run"), by="ada", asker=Asker(1))])
    wait_until(lambda: master.replies, timeout_s=10)
    assert isinstance(master.replies[0].result, StoreFullError)
    assert [ack.seq for ack in master.listener.of(BeatAck)] == [5]
    assert master.listener.of(ResultAck) == []
    tries = disk.tries
    wait_until(lambda: disk.tries >= tries + 2, timeout_s=10)
    assert len(master.plans) == plans

    disk.full = False
    wait_until(lambda: len(master.runs_sent()) >= 2, timeout_s=10)
    assert len(master.listener.of(ResultAck)) == 1
    # The beat that was answered is the core's too, only later: it is answered again.
    wait_until(lambda: len(master.listener.of(BeatAck)) == 2, timeout_s=10)
    assert not master.deaths.seen


def test_people_whose_call_waits_for_room_are_told(master, monkeypatch):
    monkeypatch.setattr(scheduler, "ASKERS_WAIT_S", 0.0)
    disk = FullDisk(master.storage)
    record = run_record("run")
    spec = PipelineSpec(name="p", jobs=(JobSpec(name="a"),))
    master.events.put([RunSubmitted(run=record, spec=spec, asker=Asker(3))])
    wait_until(lambda: master.replies, timeout_s=10)
    assert "is done once there is room" in master.replies[0].result.message
    disk.full = False
    wait_until(lambda: Records(master.storage).run(RunId("run")), timeout_s=10)
    assert len(master.replies) == 1


def test_a_dead_scheduler_ends_the_process(master):
    """An exception in a turn is not survived: half a master is worse than none."""
    master.events.put([object()])
    assert master.deaths.happened.wait(5)
    assert master.deaths.seen[0][0] == "Scheduler"


def test_why_a_job_waits_is_told(master):
    """The present is asked of the Scheduler, in words."""
    master.submit("run", (JobSpec(name="a"), JobSpec(name="b", needs=("a",))))
    wait_until(lambda: bool(master.plans), timeout_s=5)
    texts = master.scheduler.waits(RunId("run"))
    assert texts[job_id(RunId("run"), 0)] == "no minion has joined"
    assert texts[job_id(RunId("run"), 1)] == "needs a (queued)"


def test_a_job_that_is_too_large_to_send_fails_clearly(master):
    """Parameters that fit into no frame end the job, not the master."""
    from msgspec.structs import replace

    master.hello("m")
    record = replace(run_record("run"), params={"big": "x" * 300_000})
    master.events.put([RunSubmitted(run=record, spec=PipelineSpec(name="p", jobs=(JobSpec(name="a"),)))])

    def job():
        return Records(master.storage).job(RunId("run"), 0)

    wait_until(lambda: (found := job()) is not None and found.state is JobState.FAILED, timeout_s=5)
    assert "cannot be sent" in job().message
