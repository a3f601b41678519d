"""Failed attempts that are followed by another: which, when, where, and how they are counted."""

from __future__ import annotations

import pytest

from cicd.core import retries
from cicd.core.events import Now, RunCancelRequested, Ticked
from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.cluster import HealthReason
from cicd.messages.pipeline import JobSpec, Retry
from cicd.messages.run import FailureKind, JobRecord, JobState, Result, RunState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")
INFRASTRUCTURE = FailureKind.INFRASTRUCTURE


class Bench:
    """One job `x` on minions that beat while time passes."""

    def __init__(self, *, minions: str = "a", idempotent: bool = True, **retry: object) -> None:
        self.world = World.of(*(ModelMinion(name) for name in minions))
        spec = JobSpec(name="x", idempotent=idempotent, retry=Retry(**retry))
        self.run: RunId = self.world.submit("p", [spec])
        self.world.settle()

    @property
    def job(self) -> JobRecord:
        return self.world.job(self.run, "x")

    @property
    def held_by(self) -> ModelMinion:
        assert self.job.minion is not None, self.job
        return self.world.minions[self.job.minion]

    def fail(self, kind: FailureKind = FailureKind.USER, status: Status = Status.FAILED) -> None:
        """The current attempt runs and fails."""
        name = self.held_by.name
        self.world.start(name)
        self.world.finish(name, status, kind=kind)

    def refuse(self) -> None:
        """The minion cannot fetch what the current attempt needs."""
        minion = self.held_by
        for key in sorted(minion.fetching):
            self.world.say(minion.id, minion.cannot_start(key))
        self.world.settle()

    def lose(self) -> None:
        """The minion's jobhost is killed while the attempt runs."""
        name = self.held_by.name
        self.world.start(name)
        self.world.restart(name)

    def wait(self, seconds: float) -> None:
        end = self.world.now_s + seconds
        while self.world.now_s < end:
            self.world.advance(min(0.5, end - self.world.now_s))
            for name in self.world.minions:
                self.world.beat(name)

    def why(self) -> str:
        return self.world.cluster.waits(self.run, self.world.now).get(self.job.id, "")


# ---- the job's own failures ----------------------------------------------------------------------------


def test_a_failed_job_waits_and_is_tried_again_as_often_as_it_says() -> None:
    bench = Bench(attempts=2, backoff_s=4.0)
    bench.fail()
    job = bench.job
    assert (job.state, job.attempt, job.retries, job.minion, job.message) == (JobState.BACKOFF, 1, 1, None, "user")
    assert 4.0 <= job.backoff_s <= 5.0
    assert bench.why() == f"waits {job.backoff_s:.0f} s for attempt 2 of 3, after: user"
    bench.wait(3.5)
    assert bench.job.state is JobState.BACKOFF
    assert bench.why().startswith("waits 1 s" if job.backoff_s > 4 else "waits 0 s")
    bench.wait(2.0)
    assert (bench.job.state, bench.job.message) == (JobState.ASSIGNED, "attempt 2 of 3, after: user")
    assert (bench.job.due_boot_s, bench.job.backoff_s) == (0.0, 0.0)
    bench.fail(FailureKind.TIMEOUT, Status.TIMED_OUT)
    assert 8.0 <= bench.job.backoff_s <= 10.0
    bench.wait(10.5)
    assert bench.job.message == "attempt 3 of 3, after: timeout"
    bench.fail(FailureKind.CRASH)
    assert (bench.job.state, bench.job.attempt, bench.job.retries) == (JobState.FAILED, 3, 2)
    assert bench.world.store.runs[bench.run].state is RunState.FAILED


def test_a_job_that_succeeds_at_last_has_succeeded() -> None:
    bench = Bench(attempts=5)
    bench.fail()
    bench.fail()
    bench.world.start("a")
    bench.world.finish("a", outputs={"x": "1"})
    job = bench.job
    assert (job.state, job.attempt, job.retries, job.message) == (JobState.SUCCEEDED, 3, 2, "")
    assert job.outputs == {"x": "1"}
    assert bench.world.store.runs[bench.run].state is RunState.SUCCEEDED
    assert [bench.world.store.attempts[job.id, n].result.status for n in (1, 2, 3)] == [  # type: ignore[union-attr]  they have ended
        Status.FAILED, Status.FAILED, Status.SUCCEEDED,
    ]  # fmt: skip


def test_without_a_wait_the_next_attempt_leaves_in_the_same_step() -> None:
    bench = Bench(attempts=1)
    bench.fail()
    assert (bench.job.state, bench.job.attempt) == (JobState.ASSIGNED, 2)


@pytest.mark.parametrize("kind", sorted(retries.OWN_KINDS))
def test_every_failure_of_the_jobs_own_is_tried_again_when_none_is_named(kind: FailureKind) -> None:
    bench = Bench(attempts=1)
    bench.fail(kind)
    assert bench.job.retries == 1


def test_only_what_is_named_is_tried_again() -> None:
    bench = Bench(attempts=2, on=(FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY))
    bench.fail(FailureKind.TIMEOUT, Status.TIMED_OUT)
    bench.fail(FailureKind.OUT_OF_MEMORY)
    assert bench.job.state is JobState.ASSIGNED
    bench = Bench(attempts=2, on=(FailureKind.TIMEOUT,))
    bench.fail(FailureKind.NONE)
    assert (bench.job.state, bench.job.retries) == (JobState.FAILED, 0)


def test_what_is_cancelled_is_not_tried_again_nor_waited_for() -> None:
    bench = Bench(attempts=2, backoff_s=4.0)
    bench.world.start("a")
    bench.world.handle(RunCancelRequested(run=bench.run, by="ann"))
    bench.world.finish("a", Status.FAILED)
    assert (bench.job.state, bench.job.retries) == (JobState.FAILED, 0)
    bench = Bench(attempts=2, backoff_s=4.0)
    bench.fail()
    bench.world.handle(RunCancelRequested(run=bench.run, by="ann"))
    assert (bench.job.state, bench.job.message) == (JobState.CANCELLED, "cancelled by ann")
    assert not list(bench.world.cluster.book.timers)


def test_a_job_that_is_not_idempotent_is_never_tried_again_by_itself() -> None:
    bench = Bench(attempts=2, idempotent=False)
    bench.fail()
    assert (bench.job.state, bench.job.retries) == (JobState.FAILED, 0)


# ---- the infrastructure's ------------------------------------------------------------------------------


def test_a_loss_uses_up_no_retry_and_a_failure_no_loss() -> None:
    bench = Bench(attempts=1)
    bench.lose()
    bench.lose()
    assert (bench.job.lost, bench.job.retries) == (2, 0)
    assert bench.job.message == "attempt 3 of 4, after: its processes on a are gone"
    bench.fail()
    assert (bench.job.state, bench.job.lost, bench.job.retries) == (JobState.ASSIGNED, 2, 1)
    bench.fail()
    assert (bench.job.state, bench.job.lost, bench.job.attempt) == (JobState.FAILED, 2, 4)


def test_a_job_is_poisoned_by_the_third_loss_whatever_it_asks_for() -> None:
    bench = Bench(attempts=9)
    for _ in range(3):
        bench.lose()
    assert (bench.job.state, bench.job.attempt) == (JobState.POISONED, 3)


def test_what_a_minion_cannot_start_is_tried_three_times_with_waits_and_counts_as_lost() -> None:
    bench = Bench()
    bench.refuse()
    assert (bench.job.state, bench.job.lost, bench.job.avoid) == (JobState.BACKOFF, 1, None)
    assert retries.INFRASTRUCTURE_BACKOFF_S <= bench.job.backoff_s <= 2.5
    bench.wait(3.0)
    bench.refuse()
    assert 4.0 <= bench.job.backoff_s <= 5.0
    bench.wait(5.5)
    bench.refuse()
    assert (bench.job.state, bench.job.attempt, bench.job.lost, bench.job.retries) == (JobState.FAILED, 3, 3, 0)
    assert bench.job.message == "infrastructure; lost or failed by the infrastructure 3 times"


def test_another_minion_is_taken_where_there_is_one() -> None:
    bench = Bench(minions="ab")
    first = bench.held_by
    bench.refuse()
    assert bench.job.avoid == first.id
    bench.wait(3.0)
    assert bench.held_by is not first
    assert bench.job.avoid is None


def test_another_minion_is_waited_for_but_not_for_long_and_not_where_there_is_none() -> None:
    bench = Bench(minions="ab")
    bench.refuse()
    bench.world.submit("other", [JobSpec(name="busy")])
    bench.world.start("b")
    bench.wait(3.0)
    assert bench.job.state is JobState.QUEUED
    assert bench.why() == "a: failed the last attempt, b: 1 of 1 slots busy"
    bench.wait(retries.AVOID_S - 3.0)
    assert bench.job.state is JobState.QUEUED
    bench.wait(3.0)
    assert (bench.job.state, bench.job.minion, bench.job.avoid) == (JobState.ASSIGNED, A, None)

    bench = Bench(minions="ab")
    bench.world.disconnect(B)
    bench.wait(0.5)
    bench.world.minions[B].restart()
    bench.world.advance(14.0)  # b is lost; a must not be
    bench.world.connect(A)
    bench.world.settle()
    bench.refuse()
    assert bench.job.avoid is None


def test_a_minion_that_is_not_well_is_no_other_to_wait_for() -> None:
    bench = Bench(minions="ab")
    bench.world.minions[B].health = (HealthReason(source="disk", text="full"),)
    bench.world.beat("b")
    bench.refuse()
    assert bench.job.avoid is None
    bench.wait(3.0)
    assert bench.job.minion == A


def test_the_other_minion_may_leave_while_it_is_waited_for() -> None:
    bench = Bench(minions="ab")
    bench.refuse()
    bench.world.submit("other", [JobSpec(name="busy")])
    bench.wait(3.0)
    bench.world.say(B, [bench.world.minions[B].goodbye()])
    bench.world.settle()
    end = bench.world.now_s + retries.AVOID_S + 1
    while bench.world.now_s < end:
        bench.world.advance(1.0)
        bench.world.beat("a")
        if bench.job.minion is None:  # the other job has come here
            bench.world.start("a")
            bench.world.finish("a")
    assert bench.job.minion == A


def test_what_began_and_is_not_idempotent_is_not_tried_again_what_never_began_is() -> None:
    bench = Bench(idempotent=False)
    bench.refuse()
    assert bench.job.state is JobState.BACKOFF
    bench.wait(3.0)
    bench.fail(INFRASTRUCTURE)
    assert (bench.job.state, bench.job.lost) == (JobState.FAILED, 2)


def test_a_run_that_is_cancelled_does_not_try_again_what_the_infrastructure_failed() -> None:
    bench = Bench()
    bench.world.start("a")
    bench.world.handle(RunCancelRequested(run=bench.run, by="ann"))
    bench.world.finish("a", Status.FAILED, kind=INFRASTRUCTURE)
    assert (bench.job.state, bench.job.message) == (JobState.FAILED, "infrastructure")


# ---- restarts and clocks -------------------------------------------------------------------------------


def test_a_restart_of_the_master_changes_nothing_of_a_wait() -> None:
    bench = Bench(attempts=1, backoff_s=20.0)
    bench.fail()
    before = bench.job
    bench.wait(5.0)
    bench.world.restart_master()
    assert bench.job is before
    left = before.backoff_s - 5.0
    assert abs(bench.world.cluster.book.timers.left_s(before.id, bench.world.now_s) - left) < 0.1


@pytest.mark.parametrize("boot_s", [3.0, 1e9])
@pytest.mark.parametrize("wall_s", [0.0, 1e12])
def test_after_a_restart_of_the_machine_it_waits_at_most_the_whole_again_whatever_the_wall_clock_says(
    boot_s: float, wall_s: float
) -> None:
    bench = Bench(attempts=1, backoff_s=20.0)
    bench.fail()
    wait_s = bench.job.backoff_s
    cluster = bench.world.store.restore(bench.world.settings, Now(boot_s=boot_s, wall_s=wall_s))
    expected = wait_s if boot_s < bench.job.due_boot_s else 0.0
    assert cluster.book.timers.left_s(bench.job.id, boot_s) == expected
    plan = cluster.handle([Ticked()], Now(boot_s=boot_s + expected, wall_s=wall_s))
    assert plan.jobs[bench.job.id].state is JobState.QUEUED


def test_a_minion_is_avoided_after_a_restart_of_the_master_too() -> None:
    bench = Bench(minions="ab")
    bench.refuse()
    bench.world.submit("other", [JobSpec(name="busy")])
    bench.wait(3.0)
    assert bench.job.avoid == A
    bench.world.restart_master()
    bench.world.connect(A)
    bench.world.settle()
    bench.world.beat("a")
    assert bench.job.state is JobState.QUEUED
    assert bench.world.cluster.book.timers.left_s(bench.job.id, bench.world.now_s) > retries.AVOID_S - 1


# ---- numbers -------------------------------------------------------------------------------------------


def test_waits_double_up_to_an_hour_or_what_was_asked_for_and_are_spread_by_the_job_and_attempt() -> None:
    job = JobId("r-0")
    plain = [retries.backoff_s(10.0, before, job, 1) for before in range(12)]
    assert plain[1] == pytest.approx(2 * plain[0])
    assert plain[11] == pytest.approx(plain[0] / 10.0 * retries.MAX_BACKOFF_S)
    assert retries.backoff_s(10.0, 10**6, job, 1) == plain[11]
    assert retries.backoff_s(86_400.0, 3, job, 1) >= 86_400.0
    assert retries.backoff_s(0.0, 3, job, 1) == 0.0
    many = [retries.backoff_s(100.0, 0, JobId(f"r-{n}"), attempt) for n in range(50) for attempt in (1, 2)]
    assert all(100.0 <= wait <= 125.0 for wait in many)
    assert max(many) - min(many) > 20.0
    assert len(set(many)) == 100
    assert many[0] == retries.backoff_s(100.0, 0, JobId("r-0"), 1)


def test_a_failure_that_names_no_kind_is_its_users() -> None:
    assert retries.kind_of(Result(status=Status.FAILED)) is FailureKind.USER
    assert retries.kind_of(Result(status=Status.TIMED_OUT, failure_kind=INFRASTRUCTURE)) is FailureKind.TIMEOUT
