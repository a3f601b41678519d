"""Due times of jobs and runs."""

from __future__ import annotations

from cicd.core.timers import Timers


def test_what_is_due_comes_once_and_in_order() -> None:
    timers = Timers()
    assert timers.take(1e9) == []
    for key, due in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("d", 9.0)):
        timers.set(key, due)
    assert timers.take(0.5) == []
    assert timers.left_s("a", 0.5) == 0.5
    assert timers.left_s("a", 5.0) == 0.0
    assert timers.take(3.0) == ["a", "b", "c"]
    assert timers.take(3.0) == []
    assert list(timers) == ["d"]


def test_the_last_word_counts_and_what_is_dropped_is_not_due() -> None:
    timers = Timers()
    timers.set("a", 1.0)
    timers.set("a", 5.0)
    timers.set("b", 1.0)
    timers.drop("b")
    timers.drop("nothing")
    assert timers.take(4.0) == []
    assert timers.take(5.0) == ["a"]
