"""The helpers that ship in `cicd.testing`."""

from __future__ import annotations

import pytest

from cicd.clock import Clock
from cicd.testing.fake_clock import FakeClock
from cicd.testing.waiting import wait_until


def test_a_fake_clock_moves_only_when_told(fake_clock: FakeClock) -> None:
    clock: Clock = fake_clock
    boot, wall = clock.boot_s(), clock.wall_s()
    fake_clock.advance(2.5)
    assert (clock.boot_s() - boot, clock.wall_s() - wall) == (2.5, 2.5)


def test_the_wall_clock_alone_can_be_set_back(fake_clock: FakeClock) -> None:
    boot = fake_clock.boot_s()
    fake_clock.set_wall(1.0)
    assert (fake_clock.boot_s(), fake_clock.wall_s()) == (boot, 1.0)
    with pytest.raises(ValueError, match="does not go back"):
        fake_clock.advance(-1)


def test_wait_until_returns_what_came_true() -> None:
    values = iter([0, "", "there"])
    assert wait_until(lambda: next(values)) == "there"


def test_wait_until_looks_once_more_at_the_deadline_and_tells_what_it_saw() -> None:
    looks: list[int] = []

    def never() -> int:
        looks.append(1)
        return 0

    with pytest.raises(TimeoutError, match="waited 0 s for the moon; last seen: 0"):
        wait_until(never, 0, "the moon")
    assert looks == [1]
