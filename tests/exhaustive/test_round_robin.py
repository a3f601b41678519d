"""Round robin, in every short history: of the ring alone, and of minions that come and go under a stream of jobs."""

from __future__ import annotations

from itertools import product

from cicd.core.ring import Ring
from cicd.messages.base import MinionId
from cicd.messages.pipeline import JobSpec
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World


def passed_over(served: list[int], was_open: list[set[int]]) -> str:
    """Say whether a place was served twice while another, open all the time, was not served in between."""
    for second, place in enumerate(served):
        earlier = [first for first in range(second) if served[first] == place]
        if earlier:
            between = set.intersection(*was_open[earlier[-1] : second + 1])
            left_out = between - set(served[earlier[-1] : second])
            if left_out:
                return f"{place} was served twice, {left_out} not: {served}"
    return ""


def test_nobody_who_stays_open_is_passed_over_in_any_history_of_the_ring() -> None:
    acts = ["serve", *product(("open", "close"), range(3))]
    for history in product(acts, repeat=6):
        ring = Ring()
        for place in range(3):
            ring.open(place)
        served: list[int] = []
        was_open: list[set[int]] = []
        for act in history:
            present = {place for place in range(3) if place in ring}
            assert len(ring) == len(present)
            if act == "serve":
                place = ring.next(lambda _: True)
                assert (place is None) == (not present)
                if place is not None:
                    assert place in present
                    served.append(place)
                    was_open.append(present)
            elif act[0] == "open":
                ring.open(act[1])
            else:
                ring.close(act[1])
            # A place that closed between two services was not open all the time.
            if was_open:
                was_open[-1] = was_open[-1] & {place for place in range(3) if place in ring}
        assert not passed_over(served, was_open), history


def test_jobs_go_round_while_minions_leave_and_return() -> None:
    """Each minion has slots to spare; one job comes at a time; whoever returns has the place that it left."""
    names = [MinionId(name) for name in "abc"]
    acts = ["job", *names]
    for history in product(acts, repeat=6):
        world = World.of(*(ModelMinion(name, slots=9) for name in names))
        world.check_always = False
        served: list[int] = []
        was_open: list[set[int]] = []
        for act in history:
            if act == "job":
                before = {name: len(world.cluster.book.minions[name].running) for name in names}
                present = {i for i, name in enumerate(names) if world.connections[name]}
                world.submit("p", [JobSpec(name="x")])
                grown = [
                    i for i, name in enumerate(names) if len(world.cluster.book.minions[name].running) > before[name]
                ]
                assert len(grown) == bool(present)
                served += grown
                was_open += [present] * len(grown)
            elif world.connections[act]:
                world.disconnect(act)
            else:
                world.connect(act)
            world.settle()
            if was_open:
                was_open[-1] = was_open[-1] & {i for i, name in enumerate(names) if world.connections[name]}
        # Jobs that waited while nobody was there all go at once to the first who returns: those are not counted.
        assert not passed_over(served, was_open), history
        if history.count("job") == len(history):
            assert served == [0, 1, 2, 0, 1, 2]
        world.check()


def test_idle_equal_minions_get_equal_numbers_of_jobs() -> None:
    for jobs, minions in product((1, 5, 7, 12), (1, 2, 3, 5)):
        world = World.of(*(ModelMinion(f"m{i}", slots=20) for i in range(minions)))
        world.submit("p", [JobSpec(name=f"j{i}") for i in range(jobs)])
        counts = [len(entry.running) for entry in world.cluster.book.minions.values()]
        assert sum(counts) == jobs
        assert max(counts) - min(counts) <= 1
