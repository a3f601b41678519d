"""Graphs of jobs: what is refused, and that deep and wide ones are checked quickly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.core import graph
from cicd.errors import UserError
from cicd.messages.pipeline import JobSpec


def jobs_of(**needs: str) -> list[JobSpec]:
    return [JobSpec(name=name, needs=tuple(text.split())) for name, text in needs.items()]


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        ([], "no jobs"),
        ([*jobs_of(a="", b=""), *jobs_of(b="", a="")], "called 'a', 'b'"),
        (jobs_of(a="x", b="a y"), "'a' needs 'x', 'b' needs 'y'"),
        (jobs_of(a="a"), "a -> a"),
        (jobs_of(a="c", b="a", c="b", d=""), "a -> c -> b -> a"),
        (jobs_of(d="a", a="b", b="a"), "a -> b -> a"),
    ],
)
def test_what_cannot_be_a_graph_is_refused_with_the_names(jobs: list[JobSpec], text: str) -> None:
    with pytest.raises(UserError) as caught:
        graph.check(jobs)
    assert caught.value.code == "graph"
    assert text in caught.value.message


def test_a_need_that_is_named_twice_counts_once() -> None:
    jobs = jobs_of(a="", b="a a")
    graph.check(jobs)
    assert graph.dependents(jobs) == [[1], []]


def test_a_chain_and_a_fan_of_ten_thousand_jobs_are_fine() -> None:
    chain = [JobSpec(name=f"j{i}", needs=(f"j{i - 1}",) if i else ()) for i in range(10_000)]
    graph.check(chain[::-1])
    fan = [
        *(JobSpec(name=f"j{i}") for i in range(10_000)),
        JobSpec(name="end", needs=tuple(f"j{i}" for i in range(10_000))),
    ]
    graph.check(fan)
    assert graph.dependents(fan)[17] == [10_000]


@given(st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=7))
def test_a_cycle_is_found_exactly_when_there_is_one(needs: list[set[int]]) -> None:
    count = len(needs)
    jobs = [JobSpec(name=str(i), needs=tuple(str(n) for n in sorted(on) if n < count)) for i, on in enumerate(needs)]
    # Another way to know: what needs nothing that is left can go; with a cycle something stays.
    left = {job.name: set(job.needs) for job in jobs}
    while free := [name for name, on in left.items() if not on & left.keys()]:
        for name in free:
            del left[name]
    cycle = graph.find_cycle(jobs)
    assert bool(cycle) == bool(left)
    if cycle:
        assert cycle[0] == cycle[-1]
        of = {job.name: job.needs for job in jobs}
        assert all(then in of[one] for one, then in pairwise(cycle))
