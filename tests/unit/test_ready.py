"""The ready queue: by priority, then first come, first served, within what jobs require and groups that are free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.core.ready import ReadyQueue, Requirements, meets
from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import MinionRecord

ANY = Requirements()
GPU = Requirements(labels=("gpu",))
CP311 = Requirements(tags=("cp311", "cp312"))


def minion(*labels: str, tags: tuple[str, ...] = ()) -> MinionRecord:
    return MinionRecord(id=MinionId("m"), name="m", ring=0, labels=labels, tags=tags)


def queue_of(**jobs: Requirements) -> ReadyQueue:
    queue = ReadyQueue()
    for job, requirements in jobs.items():
        queue.add(JobId(job), requirements)
    return queue


def drained(queue: ReadyQueue) -> list[str]:
    found = []
    while head := queue.first():
        found.append(head[0])
        queue.remove(head[0])
    return found


def test_jobs_leave_in_the_order_they_came_over_all_queues() -> None:
    queue = queue_of(a=GPU, b=ANY, c=GPU, d=ANY)
    assert (len(queue), JobId("c") in queue) == (4, True)
    assert set(queue.requirements()) == {ANY, GPU}
    assert drained(queue) == ["a", "b", "c", "d"]
    assert (len(queue), JobId("c") in queue, queue.first()) == (0, False, None)


def test_a_job_that_left_by_another_door_is_passed_over_and_one_that_comes_again_is_at_the_end() -> None:
    queue = queue_of(a=ANY, b=ANY, c=ANY)
    queue.remove(JobId("b"))
    queue.remove(JobId("nobody"))
    queue.remove(JobId("a"))
    queue.add(JobId("a"), ANY)
    assert drained(queue) == ["c", "a"]
    queue.add(JobId("d"), GPU)
    queue.remove(JobId("d"))
    queue.add(JobId("d"), ANY)
    assert queue.first() == (JobId("d"), ANY)


def test_a_blocked_queue_holds_up_nobody_until_a_minion_opens_that_meets_it() -> None:
    queue = queue_of(a=GPU, b=CP311, c=ANY)
    queue.block(GPU)
    queue.block(CP311)
    assert queue.first() == (JobId("c"), ANY)
    queue.unblock(minion())
    assert queue.first() == (JobId("c"), ANY)
    queue.unblock(minion(tags=("cp312",)))
    assert queue.first() == (JobId("b"), CP311)
    queue.unblock(minion("gpu", "big"))
    assert queue.first() == (JobId("a"), GPU)


def test_a_blocked_queue_that_ran_empty_is_not_blocked_when_it_fills_again() -> None:
    queue = queue_of(a=GPU)
    queue.block(GPU)
    queue.remove(JobId("a"))
    assert queue.first() is None
    queue.add(JobId("b"), GPU)
    assert queue.first() == (JobId("b"), GPU)


def test_a_minion_meets_all_labels_and_any_tag() -> None:
    both = Requirements(("gpu", "big"), ("cp311", "cp312"))
    assert meets(minion("big", "gpu", "x", tags=("cp312",)), both)
    assert not meets(minion("gpu", tags=("cp312",)), both)
    assert not meets(minion("gpu", "big", tags=("cp310",)), both)
    assert meets(minion(), ANY)
    assert not meets(minion(), Requirements(avoid=MinionId("m")))
    assert meets(minion(), Requirements(avoid=MinionId("other")))


def test_the_jobs_of_a_group_that_is_held_are_passed_over_until_it_is_free() -> None:
    queue = ReadyQueue()
    for job, group in (("a", "x"), ("b", "x"), ("c", ""), ("d", "y")):
        queue.add(JobId(job), ANY, group=group)
    queue.hold("x")
    assert queue.held == {"x"}
    assert queue.first() == (JobId("c"), ANY)
    queue.remove(JobId("a"))
    queue.add(JobId("e"), GPU, group="x")
    assert set(queue.requirements()) == {ANY}
    queue.release("x")
    assert drained(queue) == ["b", "c", "d", "e"]


def test_the_higher_priority_goes_first_also_when_it_comes_late() -> None:
    queue = ReadyQueue()
    queue.add(JobId("a"), ANY)
    queue.add(JobId("b"), ANY, priority=-1)
    queue.add(JobId("c"), GPU, priority=5)
    queue.add(JobId("d"), ANY, priority=9)
    assert queue.in_order() == ["d", "c", "a", "b"]
    assert drained(queue) == ["d", "c", "a", "b"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "add", "add", "take", "take", "remove", "hold", "release", "block", "unblock")),
        st.sampled_from((ANY, GPU)),
        st.sampled_from(("", "x", "y")),
        st.integers(-1, 1),
        st.integers(0, 30),
    ),
    max_size=80,
)


@given(STEPS)
def test_it_is_what_a_sorted_list_would_be(
    steps: list[tuple[str, Requirements, str, int, int]],
) -> None:
    queue = ReadyQueue()
    plain: list[tuple[int, int, str, Requirements, str]] = []
    held: set[str] = set()
    blocked = set()
    for count, (what, requirements, group, priority, place) in enumerate(steps):
        if what == "add":
            queue.add(JobId(f"j{count}"), requirements, group=group, priority=priority)
            plain.append((-priority, count, f"j{count}", requirements, group))
        elif what == "remove" and plain:
            job = plain.pop(place % len(plain))
            queue.remove(JobId(job[2]))
        elif what == "hold" and group:
            queue.hold(group)
            held.add(group)
        elif what == "release":
            queue.release(group)
            held.discard(group)
        elif what == "block" and any(job[3] == requirements for job in plain):
            queue.block(requirements)
            blocked.add(requirements)
        elif what == "unblock":
            queue.unblock(minion("gpu"))
            blocked.clear()
        free = sorted(job for job in plain if job[4] not in held and job[3] not in blocked)
        assert queue.first() == ((free[0][2], free[0][3]) if free else None)
        blocked &= {job[3] for job in plain}  # who ran empty is looked at anew
        assert (len(queue), queue.in_order()) == (len(plain), [job[2] for job in sorted(plain)])
        if what == "take" and free:
            queue.remove(JobId(free[0][2]))
            plain.remove(free[0])


@pytest.mark.parametrize("many", [10_000])
def test_priorities_that_rise_leave_nothing_behind(many: int) -> None:
    queue = ReadyQueue()
    for number in range(many):
        queue.add(JobId(f"j{number}"), ANY, priority=number)
    assert drained(queue) == [f"j{number}" for number in reversed(range(many))]
    assert queue.first() is None
