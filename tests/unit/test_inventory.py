"""What a minion's journal proves, what its absences prove, and what is said again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cicd.core.events import (
    MinionBeat,
    MinionFinishedJob,
    MinionSaidHello,
    MinionStartedJob,
    Origin,
    RunCancelRequested,
)
from cicd.core.plan import Plan, Send
from cicd.messages.base import JobId, MinionId
from cicd.messages.evidence import Cause
from cicd.messages.minion import Beat, CancelJob, Entry, EntryState, JobFinished, JobStarted, ResultAck, RunJob
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobRecord, JobState, Result, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")


class Bench:
    """One job on minion a, whose words the test puts together itself."""

    def __init__(self, *, idempotent: bool = True, started: bool = False, minions: str = "a") -> None:
        self.world = World.of(*(ModelMinion(name) for name in minions))
        run = self.world.submit("p", [JobSpec(name="x", idempotent=idempotent)])
        self.world.settle()
        self.id = self.world.job(run, "x").id
        if started:
            self.world.start("a")
        self.world.check_always = False  # the test says what no minion would
        self.seq = 100

    @property
    def job(self) -> JobRecord:
        return self.world.store.jobs[self.id]

    def entry(self, state: str, attempt: int = 1, **result: object) -> Entry:
        return Entry(job=self.id, attempt=attempt, state=EntryState(state), result=Result(**result) if result else None)

    def beat(self, *inventory: Entry, session: int = 1, minion: MinionId = A) -> Plan:
        self.seq += 1
        beat = Beat(session=session, seq=self.seq, sent_boot_s=0.0, inventory=inventory)
        plan = self.world.handle(MinionBeat(minion=minion, beat=beat, received_boot_s=self.world.now_s))
        self.world.cluster.validate()
        return plan

    def hello(self, *inventory: Entry, session: int = 0, minion: MinionId = A) -> Plan:
        said = self.world.minions[minion].hello()
        hello = type(said)(
            **{name: getattr(said, name) for name in said.__struct_fields__}
            | {"session": session, "inventory": inventory}
        )
        origin = Origin(f"{minion}/99".encode())
        event = MinionSaidHello(hello=hello, origin=origin, user="u", received_boot_s=self.world.now_s)
        plan = self.world.handle(event)
        self.world.cluster.validate()
        return plan

    def wait(self, seconds: float, *inventory: Entry) -> list[Plan]:
        """Time passes with a beat each second."""
        plans = []
        for _ in range(round(seconds)):
            self.world.advance(1.0)
            plans.append(self.beat(*inventory))
        return plans

    def cancel(self) -> None:
        self.world.handle(RunCancelRequested(run=self.job.run, by="ann"))


def sent(plan: Plan, kind: type) -> list[object]:
    return [effect.message for effect in plan.effects if isinstance(effect, Send) and isinstance(effect.message, kind)]


# ---- what is listed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["hello", "beat"])
def test_an_entry_that_runs_is_a_start_whose_word_was_lost(way: str) -> None:
    bench = Bench()
    plan = bench.hello(bench.entry("running"), session=1) if way == "hello" else bench.beat(bench.entry("running"))
    assert bench.job.state is JobState.RUNNING
    assert bench.job.started_s == bench.world.now.wall_s
    assert bench.world.store.attempts[bench.id, 1].started_s == bench.world.now.wall_s
    assert not sent(plan, RunJob)
    assert not bench.beat(bench.entry("running")).saves, "again: nothing"


@pytest.mark.parametrize("started", [True, False])
def test_a_result_in_a_list_counts_and_is_acknowledged(started: bool) -> None:  # noqa: FBT001  a table's column
    bench = Bench(started=started)
    bench.world.advance(5.0)
    plan = bench.beat(bench.entry("finished", status=Status.SUCCEEDED, outputs={"a": "1"}, run_s=2.0, log_bytes=7))
    assert (bench.job.state, bench.job.outputs) == (JobState.SUCCEEDED, {"a": "1"})
    assert sent(plan, ResultAck) == [ResultAck(job=bench.id, attempt=1)]
    result = bench.world.store.attempts[bench.id, 1].result
    assert result is not None
    assert result.log_bytes == 7
    began = bench.job.queued_s if started else bench.world.now.wall_s - 2.0
    assert bench.job.started_s == began, "also where nobody said that it had started"


def test_a_job_is_never_said_to_have_started_before_it_was_queued() -> None:
    bench = Bench()
    bench.beat(bench.entry("finished", status=Status.SUCCEEDED, run_s=1e6))
    assert bench.job.started_s == bench.job.queued_s


def test_a_result_too_large_for_a_list_is_waited_for() -> None:
    bench = Bench(started=True)
    assert not sent(bench.beat(bench.entry("finished")), ResultAck)
    assert bench.job.state is JobState.RUNNING
    bench.wait(30, bench.entry("finished"))
    assert bench.job.state is JobState.RUNNING


@pytest.mark.parametrize("result", [{}, {"status": Status.SUCCEEDED, "message": "half way"}])
def test_a_dead_entry_is_a_loss_whatever_it_says(result: dict[str, object]) -> None:
    bench = Bench(started=True, minions="ab")
    plan = bench.beat(bench.entry("dead", **result))
    assert sent(plan, ResultAck) == [ResultAck(job=bench.id, attempt=1)]
    assert (bench.job.attempt, bench.job.lost, bench.job.minion) == (2, 1, "b")
    lost = bench.world.store.attempts[bench.id, 1].result
    assert lost is not None
    assert (lost.status, lost.failure_kind) == (Status.LOST, "infrastructure")
    assert lost.message == (result.get("message") or "its processes on a are gone")


def test_three_losses_poison_a_job() -> None:
    bench = Bench()
    for attempt in (1, 2, 3):
        assert bench.job.attempt == attempt
        bench.beat(bench.entry("dead", attempt))
    assert (bench.job.state, bench.job.lost) == (JobState.POISONED, 3)
    assert "lost 3 times" in bench.job.message
    assert bench.world.store.runs[bench.job.run].state is RunState.FAILED


def test_a_result_that_says_lost_is_a_loss() -> None:
    bench = Bench(started=True)
    finished = JobFinished(session=1, job=bench.id, attempt=1, result=Result(status=Status.LOST))
    bench.world.handle(MinionFinishedJob(minion=A, finished=finished))
    assert (bench.job.lost, bench.job.attempt) == (1, 2)
    assert bench.world.store.attempts[bench.id, 1].result.status is Status.LOST


# ---- what is stale -------------------------------------------------------------------------------------


def test_a_stale_result_is_acknowledged_and_dropped_and_a_stale_process_ended() -> None:
    bench = Bench(minions="ab")
    bench.beat(bench.entry("dead"))
    assert (bench.job.attempt, bench.job.minion) == (2, "b")
    before = bench.job
    plan = bench.beat(bench.entry("finished", status=Status.SUCCEEDED))
    assert sent(plan, ResultAck) == [ResultAck(job=bench.id, attempt=1)]
    plan = bench.beat(bench.entry("running"))
    assert sent(plan, CancelJob) == [CancelJob(session=1, job=bench.id, attempt=1, grace_s=0.0, reason="superseded")]
    started = JobStarted(session=1, job=bench.id, attempt=1, pid=1, started_s=1.0)
    assert sent(bench.world.handle(MinionStartedJob(minion=A, started=started)), CancelJob)
    assert bench.job is before
    assert bench.world.cluster.book.refused == 0, "it was its own attempt once"


def test_what_was_never_given_is_counted_and_changes_nothing() -> None:
    bench = Bench(minions="ab")
    before = bench.job
    result = Result(status=Status.SUCCEEDED)
    for minion, attempt in ((B, 1), (A, 2), (B, 7)):
        finished = JobFinished(session=1, job=bench.id, attempt=attempt, result=result)
        plan = bench.world.handle(MinionFinishedJob(minion=minion, finished=finished))
        assert not plan.saves
    assert bench.job is before
    assert bench.world.cluster.book.refused == 3
    unheard_of = JobFinished(session=1, job=JobId("gone-0"), attempt=1, result=result)
    plan = bench.world.handle(MinionFinishedJob(minion=A, finished=unheard_of))
    assert sent(plan, ResultAck), "a run that has ended: let go"
    assert bench.world.cluster.book.refused == 3


def test_a_result_for_a_job_that_nobody_was_given_yet_is_counted() -> None:
    world = World.of(ModelMinion("a"))
    run = world.submit("p", [JobSpec(name="x"), JobSpec(name="y")])
    finished = JobFinished(session=1, job=world.job(run, "y").id, attempt=1, result=Result(status=Status.SUCCEEDED))
    world.handle(MinionFinishedJob(minion=A, finished=finished))
    assert world.job(run, "y").state is JobState.QUEUED
    assert world.cluster.book.refused == 1


# ---- in doubt ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [True, False])
def test_a_job_that_is_not_idempotent_is_in_doubt_when_lost_also_if_only_assigned(started: bool) -> None:  # noqa: FBT001  a table's column
    bench = Bench(idempotent=False, started=started, minions="ab")
    bench.world.disconnect(A)
    for _ in range(14):
        bench.world.advance(1.0)
        bench.beat(minion=B)
    assert (bench.job.state, bench.job.attempt) == (JobState.UNKNOWN, 1)
    assert "not idempotent" in bench.job.message
    assert bench.world.store.runs[bench.job.run].state is RunState.RUNNING


@pytest.mark.parametrize(
    ("status", "state"), [(Status.SUCCEEDED, JobState.SUCCEEDED), (Status.FAILED, JobState.FAILED)]
)
def test_a_late_result_resolves_doubt_also_from_a_session_that_is_over(status: Status, state: JobState) -> None:
    bench = Bench(idempotent=False, started=True)
    bench.world.advance(13.0)
    assert bench.job.state is JobState.UNKNOWN
    finished = JobFinished(session=1, job=bench.id, attempt=1, result=Result(status=status))
    plan = bench.world.handle(MinionFinishedJob(minion=A, finished=finished))
    assert bench.job.state is state
    assert bench.job.message == ""
    assert sent(plan, ResultAck)
    assert not bench.world.cluster.book.runs


def test_doubt_is_not_resolved_by_less_than_a_result() -> None:
    bench = Bench(idempotent=False, started=True)
    bench.world.advance(13.0)
    before, attempt = bench.job, bench.world.store.attempts[bench.id, 1]
    bench.hello(bench.entry("running"))
    plan = bench.beat(bench.entry("dead"), session=2)
    assert sent(plan, ResultAck), "there is nothing more to come"
    assert bench.job is before
    # Only the verdict on it is a better one now.
    after = bench.world.store.attempts[bench.id, 1]
    assert after.result.evidence.cause == Cause.JOBHOST_ENDED
    assert replace(after, result=replace(after.result, evidence=attempt.result.evidence)) == attempt


def test_cancelling_resolves_doubt_and_frees_the_run() -> None:
    bench = Bench(idempotent=False, started=True)
    bench.world.advance(13.0)
    bench.cancel()
    assert bench.job.state is JobState.CANCELLED
    assert bench.world.store.runs[bench.job.run].state is RunState.CANCELLED


# ---- what is absent ------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotent", [True, False])
def test_absent_from_a_newer_session_never_began_and_counts_as_no_loss(idempotent: bool) -> None:  # noqa: FBT001  a table's column
    bench = Bench(idempotent=idempotent)
    bench.hello()
    assert (bench.job.state, bench.job.attempt) == (JobState.ASSIGNED, 1), "a Hello may have been written before"
    bench.beat(session=2)
    assert (bench.job.state, bench.job.attempt, bench.job.lost) == (JobState.ASSIGNED, 2, 0)
    withdrawn = bench.world.store.attempts[bench.id, 1].result
    assert withdrawn is not None
    assert withdrawn.message == "a started anew before it began"


def test_a_hello_that_was_read_late_takes_nothing_from_a_job_that_runs() -> None:
    """Written before the job began, read after; its minion beats in the session that it has."""
    bench = Bench(started=True)
    bench.hello()
    assert bench.job.state is JobState.RUNNING
    bench.beat(bench.entry("running"), session=1)
    assert (bench.job.state, bench.job.attempt) == (JobState.RUNNING, 1)


def test_running_and_absent_from_a_newer_session_is_lost() -> None:
    bench = Bench(started=True)
    bench.hello()
    bench.beat(session=2)
    assert (bench.job.attempt, bench.job.lost) == (2, 1)


def test_running_and_absent_from_its_own_session_is_lost_after_a_lease_and_margin_of_it() -> None:
    bench = Bench(started=True)
    bench.wait(5)
    bench.wait(1, bench.entry("running"))
    plans = bench.wait(13)
    assert not any(sent(plan, RunJob) for plan in plans), "to send it again might run it twice"
    started = JobStarted(session=1, job=bench.id, attempt=1, pid=1, started_s=1.0)
    bench.world.handle(MinionStartedJob(minion=A, started=started))
    bench.wait(13)
    assert bench.job.state is JobState.RUNNING
    bench.hello(session=1)
    assert bench.job.state is JobState.RUNNING
    bench.wait(1)
    assert (bench.job.attempt, bench.job.lost) == (2, 1)


def test_an_assignment_that_a_live_connection_lost_is_sent_again_later_and_later() -> None:
    bench = Bench()
    times = []
    for second in range(1, 130):
        bench.world.advance(1.0)
        if sent(bench.beat(), RunJob):
            times.append(second)
    assert times == [2, 4, 8, 16, 32, 62, 92, 122]
    assert bench.job.attempt == 1
    bench.beat(bench.entry("running"))
    bench.world.advance(1.0)
    assert bench.job.state is JobState.RUNNING
    assert not sent(bench.beat(), RunJob), "never again once it ran"


def test_a_hello_of_the_same_session_is_sent_its_orders_at_once() -> None:
    bench = Bench()
    (order,) = sent(bench.hello(session=1), RunJob)
    assert (order.attempt, order.session) == (1, 1)
    assert not sent(bench.hello(session=0), RunJob), "a new session may have to give them back"


# ---- cancels -------------------------------------------------------------------------------------------


def test_a_cancel_that_was_lost_is_said_again_but_not_with_every_beat() -> None:
    bench = Bench(started=True)
    bench.cancel()
    said = []
    for second in range(1, 8):
        bench.world.advance(1.0)
        if sent(bench.beat(bench.entry("running")), CancelJob):
            said.append(second)
    assert said == [2, 4, 6]
    assert sent(bench.hello(bench.entry("running"), session=1), CancelJob)


def test_an_order_that_was_lost_and_is_cancelled_is_sent_with_its_cancel() -> None:
    """So that somebody says how it ended."""
    bench = Bench()
    bench.cancel()
    bench.world.advance(2.0)
    kinds = [type(effect.message) for effect in bench.beat().effects if isinstance(effect, Send)]
    assert kinds[:2] == [RunJob, CancelJob]


@pytest.mark.parametrize("end", ["dead", "withdrawn", "expired", "forgotten"])
def test_a_cancelled_job_whose_attempt_is_lost_is_cancelled(end: str) -> None:
    bench = Bench(started=end != "withdrawn", idempotent=end != "forgotten")
    bench.cancel()
    if end == "dead":
        bench.beat(bench.entry("dead"))
    elif end == "expired":
        bench.world.advance(13.0)
    else:
        bench.hello()
        bench.beat(session=2)
    assert bench.job.state is JobState.CANCELLED
    assert bench.job.message.startswith("cancelled by ann")
    assert bench.world.store.runs[bench.job.run].state is RunState.CANCELLED


# ---- attempts ------------------------------------------------------------------------------------------


def test_a_second_attempt_starts_its_clock_anew() -> None:
    bench = Bench(started=True, minions="ab")
    bench.world.advance(1.0)
    bench.beat(bench.entry("dead"))
    assert (bench.job.state, bench.job.started_s) == (JobState.ASSIGNED, 0.0)
    assert bench.job.queued_s == bench.world.now.wall_s
    assert bench.job.message == "attempt 2, after: its processes on a are gone"


def test_the_process_is_noted_also_when_a_heartbeat_was_first_to_tell() -> None:
    bench = Bench()
    bench.beat(bench.entry("running"))
    assert bench.world.store.attempts[bench.id, 1].pid == 0
    started = JobStarted(session=1, job=bench.id, attempt=1, pid=77, started_s=1.0)
    bench.world.handle(MinionStartedJob(minion=A, started=started))
    assert bench.world.store.attempts[bench.id, 1].pid == 77
    assert bench.job.state is JobState.RUNNING
