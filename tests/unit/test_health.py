"""Whether a minion is well: limits, hysteresis, self-checks; and what the master makes of it."""

from __future__ import annotations

import pytest

from cicd.core.events import MinionBeat
from cicd.core.health import (
    MAX_REASONS,
    MAX_TEXT,
    SETTLE_S,
    HealthJudge,
    HealthLimits,
    Readings,
    bounded,
    clock_off_s,
    in_words,
)
from cicd.core.plan import Notice
from cicd.messages.base import MinionId
from cicd.messages.cluster import Connection, HealthReason
from cicd.messages.jobhost import CheckState
from cicd.messages.minion import Beat
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A = MinionId("a")
GIB = 1024**3
FULL = HealthReason(source="disk", text="disk 97 % full, limit 95 %")


def disk(percent: float) -> Readings:
    return Readings(disk_total_bytes=100 * GIB, disk_free_bytes=round((100 - percent) * GIB))


def words(judge: HealthJudge, readings: Readings, now_s: float = 0.0) -> str:
    return in_words(judge.reasons(readings, now_s))


# ---- the verdict ---------------------------------------------------------------------------------------


def test_each_limit_says_what_it_found() -> None:
    limits = HealthLimits(disk_percent=95, memory_percent=90, load_per_cpu=1.5, clock_off_s=60)
    readings = Readings(
        disk_total_bytes=100 * GIB,
        disk_free_bytes=3 * GIB,
        memory_total_bytes=10 * GIB,
        memory_free_bytes=GIB // 2,
        load1=8.0,
        cpus=4,
        clock_off_s=7200.0,
    )
    reasons = HealthJudge(limits).reasons(readings, 5.0)
    assert [reason.source for reason in reasons] == ["disk", "memory", "load", "clock"]
    assert [reason.text for reason in reasons] == [
        "disk 97 % full, limit 95 %",
        "memory 95 % in use, limit 90 %",
        "load 2.0 per cpu, limit 1.5",
        "clock 2.0 h off the master's, limit 60 s",
    ]
    assert HealthJudge(limits).reasons(Readings(), 5.0) == (), "what is not known is not bad"
    assert HealthJudge(HealthLimits()).reasons(readings, 5.0) == (), "0 is no limit"


@pytest.mark.parametrize(("off_s", "text"), [(75.0, "75 s"), (5400.0, "1.5 h"), (86400.0 * 400, "400 d")])
def test_a_clock_that_is_off_says_by_how_much(off_s: float, text: str) -> None:
    judge = HealthJudge(HealthLimits(clock_off_s=60))
    assert f"clock {text} off" in words(judge, Readings(clock_off_s=off_s))


def test_the_first_reading_counts_at_once_and_a_change_when_it_has_held() -> None:
    judge = HealthJudge(HealthLimits(disk_percent=95))
    assert words(judge, disk(96), 0.0)
    judge = HealthJudge(HealthLimits(disk_percent=95))
    assert not words(judge, disk(50), 0.0)
    assert not words(judge, disk(96), 1.0)
    assert not words(judge, disk(96), 1.0 + SETTLE_S - 0.1)
    assert words(judge, disk(96), 1.0 + SETTLE_S)


def test_a_peak_is_not_unhealthy_and_a_dip_is_not_healthy() -> None:
    judge = HealthJudge(HealthLimits(disk_percent=95))
    for second in range(20):
        assert not words(judge, disk(96 if second % 3 else 50), float(second))
    judge = HealthJudge(HealthLimits(disk_percent=95))
    for second in range(20):
        assert words(judge, disk(50 if second % 3 else 96), float(second))


def test_between_release_and_limit_it_is_what_it_was() -> None:
    judge = HealthJudge(HealthLimits(disk_percent=95))
    assert words(judge, disk(95), 0.0)
    assert words(judge, disk(94), 100.0), "just below the limit is not well yet"
    assert words(judge, disk(92), 200.0), "and well below only when it has held"
    assert not words(judge, disk(92), 200.0 + SETTLE_S)
    assert not words(judge, disk(94), 300.0)


def test_a_check_is_bad_until_it_has_passed_and_then_after_failures_in_a_row() -> None:
    judge = HealthJudge(HealthLimits(checks={"gpu": 3}))
    assert words(judge, Readings()) == "check gpu has not run yet"
    steps = [
        (CheckState(name="gpu", failures=1, text="no device"), "check gpu: no device"),
        (CheckState(name="gpu", failures=0, passed=True), ""),
        (CheckState(name="gpu", failures=2, passed=True, text="no device"), ""),
        (CheckState(name="gpu", failures=3, passed=True), "check gpu: failed"),
        (CheckState(name="gpu", failures=0, passed=True), ""),
    ]
    for state, text in steps:
        judge.take_checks((state, CheckState(name="nobody asked for", failures=9)))
        assert words(judge, Readings()) == text
    judge.take_checks((CheckState(name="gpu", failures=1, text="x"),))
    assert [reason.source for reason in judge.reasons(Readings(), 0.0)] == ["check.gpu"]


def test_a_clock_is_off_by_what_the_time_on_the_way_cannot_explain() -> None:
    assert clock_off_s(100.0, 101.0, 100.5) == 0.0
    assert clock_off_s(100.0, 101.0, 161.0) == 60.0
    assert clock_off_s(100.0, 101.0, 40.0) == 60.0


def test_reasons_are_few_short_and_of_one_line() -> None:
    kept = bounded(HealthReason(source="s" * 999, text="a\nb\x1b" + "t" * 999) for _ in range(99))
    assert len(kept) == MAX_REASONS
    assert len(kept[0].source) == len(kept[0].text) == MAX_TEXT
    assert kept[0].text.startswith("a b t")
    assert bounded([HealthReason(source="x", text=" \n")])[0].text == "unhealthy"


# ---- what the master makes of it -----------------------------------------------------------------------


def test_an_unhealthy_minion_gets_no_job_and_what_runs_goes_on() -> None:
    world = World.of(ModelMinion("a", slots=2))
    minion = world.minions[A]
    first = world.submit("p", [JobSpec(name="x")])
    world.start("a")
    minion.health = (FULL,)
    world.beat("a")
    run = world.submit("p", [JobSpec(name="x")])
    assert world.job(run, "x").state is JobState.QUEUED
    assert world.cluster.waits(run, world.now) == {world.job(run, "x").id: "a: unhealthy (disk 97 % full, limit 95 %)"}
    world.finish("a")
    assert world.job(first, "x").state is JobState.SUCCEEDED
    minion.health = ()
    world.beat("a")
    assert world.job(run, "x").minion == A


def test_health_comes_with_hello_and_is_forgotten_with_the_minion() -> None:
    minion = ModelMinion("a", health=(FULL,))
    world = World.of(minion)
    entry = world.cluster.book.minions[A]
    assert (entry.connection, entry.health, entry.is_open) == (Connection.READY, (FULL,), False)
    world.advance(14.0)
    assert (entry.connection, entry.health) == (Connection.LOST, ())
    world.restart("a")
    assert entry.health == (FULL,)


def test_a_change_is_a_line_for_the_log_and_new_figures_are_none() -> None:
    world = World.of(ModelMinion("a"))

    def noticed(seq: int, *reasons: HealthReason) -> list[Notice]:
        beat = Beat(session=1, seq=seq, sent_boot_s=1.0, health=reasons)
        plan = world.handle(MinionBeat(minion=A, beat=beat, received_boot_s=world.now_s))
        assert not plan.saves, "health is not stored"
        return [effect for effect in plan.effects if isinstance(effect, Notice)]

    assert noticed(10, FULL) == [Notice(A, "a", "unhealthy", FULL.text)]
    assert noticed(11, FULL) == []
    assert noticed(12, HealthReason(source="disk", text="disk 98 % full, limit 95 %")) == []
    assert world.cluster.book.minions[A].health[0].text.startswith("disk 98")
    assert noticed(13) == [Notice(A, "a", "healthy", "")]
