"""The ready queue: first come, first served, within what jobs require."""

from __future__ import annotations

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
