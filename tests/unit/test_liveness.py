"""Leases and silence: suspect, lost, fenced; whose pause it was."""

from __future__ import annotations

import pytest

from cicd.core.events import MinionBeat, MinionDisconnected, MinionSaidGoodbye, MinionSaidHello, Origin, Ticked
from cicd.core.plan import Send
from cicd.messages.base import MinionId
from cicd.messages.cluster import Connection, Load
from cicd.messages.minion import Beat, BeatAck, Fenced, Goodbye
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")


def world_with_a_job(*, idempotent: bool = True, minions: str = "a") -> tuple[World, str]:
    world = World.of(*(ModelMinion(name) for name in minions))
    run = world.submit("p", [JobSpec(name="x", idempotent=idempotent)])
    world.start("a")
    return world, world.job(run, "x").id


def connection(world: World, name: str = "a") -> Connection:
    return world.cluster.book.minions[MinionId(name)].connection


def beat_event(world: World, *, session: int = 1, seq: int = 1, received_ago_s: float = 0.0) -> MinionBeat:
    beat = Beat(session=session, seq=seq, sent_boot_s=3.0, load=Load(load1=1.5))
    return MinionBeat(minion=A, beat=beat, received_boot_s=world.now_s - received_ago_s)


# ---- silence -------------------------------------------------------------------------------------------


def test_silence_makes_a_minion_suspect_at_three_seconds_and_a_beat_makes_it_ready() -> None:
    world = World.of(ModelMinion("a"))
    world.advance(2.9)
    assert connection(world) is Connection.READY
    world.advance(0.1)
    assert connection(world) is Connection.SUSPECT
    run = world.submit("p", [JobSpec(name="x")])
    assert world.job(run, "x").state is JobState.QUEUED
    world.beat("a")
    assert connection(world) is Connection.READY
    assert world.job(run, "x").state is JobState.ASSIGNED, "in the same step"


def test_what_runs_is_given_up_when_lease_and_margin_are_over_and_not_before() -> None:
    world, job = world_with_a_job()
    world.advance(12.9)
    assert world.store.jobs[job].state is JobState.RUNNING
    assert connection(world) is Connection.SUSPECT
    world.advance(0.1)
    assert connection(world) is Connection.LOST
    record = world.store.jobs[job]
    assert (record.state, record.lost, record.message) == (JobState.QUEUED, 1, "a was lost: not heard of for 13 s")
    assert world.store.minions[A].fenced
    attempt = world.store.attempts[job, 1]
    assert attempt.result is not None
    assert (attempt.result.status, attempt.finished_s) == ("lost", world.now.wall_s)


def test_floor_and_loss_are_one_transaction() -> None:
    world, job = world_with_a_job()
    world.advance(12.9)
    world.now_s += 0.1
    plan = world.handle(Ticked())
    assert set(plan.minions) == {A}
    assert set(plan.jobs) == {job}
    assert set(plan.attempts) == {(job, 1)}


def test_the_lease_counts_from_when_a_beat_was_received_not_from_when_it_is_read() -> None:
    world, _ = world_with_a_job()
    world.advance(9.0)
    world.handle(beat_event(world, received_ago_s=1.0))
    world.advance(11.9)
    assert connection(world) is Connection.SUSPECT
    world.advance(0.1)
    assert connection(world) is Connection.LOST


def test_a_beat_read_late_takes_nothing_from_a_lease() -> None:
    world = World.of(ModelMinion("a"))
    before = world.cluster.book.minions[A].expires_boot_s
    world.handle(beat_event(world, received_ago_s=500.0))
    assert world.cluster.book.minions[A].expires_boot_s == before


def test_a_broken_connection_stops_new_work_at_once_and_the_lease_goes_on() -> None:
    world, job = world_with_a_job()
    world.disconnect(A)
    assert connection(world) is Connection.SUSPECT
    assert world.store.jobs[job].state is JobState.RUNNING
    world.handle(MinionDisconnected(minion=A), MinionDisconnected(minion=B))
    assert connection(world) is Connection.SUSPECT
    world.connect(A)
    world.settle()
    world.finish("a")
    assert world.store.jobs[job].state is JobState.SUCCEEDED
    world.advance(20.0)
    world.handle(MinionDisconnected(minion=A))
    assert connection(world) is Connection.LOST


# ---- beats ---------------------------------------------------------------------------------------------


def test_a_beat_is_answered_with_what_it_said() -> None:
    world = World.of(ModelMinion("a"))
    plan = world.handle(beat_event(world, seq=4))
    assert plan.effects == [Send(A, BeatAck(session=1, seq=4, sent_boot_s=3.0, wall_s=world.now.wall_s))]
    assert not plan.saves, "a heartbeat costs no transaction"
    assert world.cluster.book.minions[A].load.load1 == 1.5


@pytest.mark.parametrize("seq", [4, 3])
def test_a_beat_that_is_not_newer_is_dropped(seq: int) -> None:
    world = World.of(ModelMinion("a"))
    world.handle(beat_event(world, seq=4))
    world.advance(2.0)
    before = world.cluster.book.minions[A].seen_boot_s
    plan = world.handle(beat_event(world, seq=seq))
    assert plan.effects == []
    assert world.cluster.book.refused == 1
    assert world.cluster.book.minions[A].seen_boot_s == before


def test_a_beat_of_nobody_or_of_a_session_that_was_never_given_is_dropped() -> None:
    world = World({})
    assert world.handle(beat_event(world)).effects == []
    world = World.of(ModelMinion("a"))
    assert world.handle(beat_event(world, session=2)).effects == []
    assert world.cluster.book.refused == 1


def test_a_beat_of_a_session_below_the_floor_is_told_so() -> None:
    world = World.of(ModelMinion("a"))
    world.restart("a")
    assert world.handle(beat_event(world, session=1)).effects == [Send(A, Fenced(floor=2))]
    world.advance(13.0)
    assert world.handle(beat_event(world, session=2)).effects == [Send(A, Fenced(floor=3))]
    assert connection(world) is Connection.LOST


def test_a_minion_that_hears_it_is_fenced_kills_all_and_joins_anew() -> None:
    world, job = world_with_a_job()
    minion = world.minions[A]
    world.advance(9.0)
    minion.rate = 0.0  # its clock stands still: its own lease does not save us here
    world.advance(4.0)
    assert world.store.jobs[job].state is JobState.QUEUED
    world.check_always = False
    world.beat("a")
    assert not minion.alive
    assert (minion.session, minion.welcomed) == (2, True)
    world.check()


# ---- leaving -------------------------------------------------------------------------------------------


def test_a_goodbye_gives_up_at_once_and_poisons_nothing() -> None:
    world, job = world_with_a_job(minions="ab")
    for times in range(1, 8):
        name = world.store.jobs[job].minion
        assert name is not None
        world.start(name)
        world.say(name, [world.minions[name].goodbye()])
        world.settle()
        assert connection(world, name) is Connection.LOST
        record = world.store.jobs[job]
        assert (record.attempt, record.lost) == (times + 1, 0)
        world.restart(name)
    assert record.state is JobState.ASSIGNED


def test_a_job_that_is_not_idempotent_is_in_doubt_after_a_goodbye() -> None:
    world, job = world_with_a_job(idempotent=False)
    world.say(A, [world.minions[A].goodbye()])
    world.settle()
    assert world.store.jobs[job].state is JobState.UNKNOWN
    assert "a was stopped" in world.store.jobs[job].message


@pytest.mark.parametrize("session", [0, 2])
def test_a_goodbye_of_another_session_changes_nothing(session: int) -> None:
    world, job = world_with_a_job()
    plan = world.handle(
        MinionSaidGoodbye(minion=A, goodbye=Goodbye(session=session)),
        MinionSaidGoodbye(minion=B, goodbye=Goodbye(session=1)),
    )
    assert not plan.saves
    assert world.store.jobs[job].state is JobState.RUNNING


def test_a_goodbye_after_the_lease_was_lost_changes_nothing() -> None:
    world, _ = world_with_a_job()
    world.advance(13.0)
    assert not world.handle(MinionSaidGoodbye(minion=A, goodbye=Goodbye(session=1))).saves


# ---- whose pause it was --------------------------------------------------------------------------------


def test_a_stall_of_the_master_expires_nobody() -> None:
    world, job = world_with_a_job()
    world.advance(12.0)
    world.now_s += 60.0
    world.handle(Ticked())
    assert world.store.jobs[job].state is JobState.RUNNING
    world.advance(12.9)
    assert world.store.jobs[job].state is JobState.RUNNING
    world.advance(0.1)
    assert world.store.jobs[job].state is JobState.QUEUED


def test_a_stall_does_not_bring_back_who_was_lost() -> None:
    world, _ = world_with_a_job()
    world.advance(13.0)
    world.now_s += 60.0
    world.handle(Ticked())
    assert connection(world) is Connection.LOST


def test_a_hello_that_waited_while_the_master_stood_still_counts_from_when_that_was_over() -> None:
    """Else who is let in would be given up in the same step (seed 157 of the simulator)."""
    world, _ = world_with_a_job()
    world.advance(13.0)
    minion = world.minions[A]
    minion.restart()
    hello = MinionSaidHello(hello=minion.hello(), origin=Origin(b"a/1"), user="a", received_boot_s=world.now_s)
    world.now_s += 60.0
    world.handle(hello, Ticked())
    assert connection(world) is Connection.READY
    world.advance(12.9)
    assert connection(world) is Connection.SUSPECT


def test_a_restarted_master_waits_a_whole_lease_and_margin() -> None:
    world, job = world_with_a_job()
    world.advance(12.0)
    world.restart_master()
    assert connection(world) is Connection.JOINING
    world.advance(12.9)
    assert world.store.jobs[job].state is JobState.RUNNING
    world.advance(0.1)
    assert connection(world) is Connection.LOST
    assert world.store.jobs[job].state is JobState.QUEUED


def test_a_restarted_master_does_not_forget_who_was_lost() -> None:
    world, _ = world_with_a_job()
    world.advance(13.0)
    world.restart_master()
    assert connection(world) is Connection.LOST


def test_a_running_job_lives_through_a_restart_of_the_master_and_its_result_counts() -> None:
    world, job = world_with_a_job()
    for _ in range(3):
        world.advance(2.0)
        world.restart_master()
        world.connect(A)
        world.settle()
    world.finish("a")
    record = world.store.jobs[job]
    assert (record.state, record.attempt) == (JobState.SUCCEEDED, 1)
