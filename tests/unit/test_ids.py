"""Ids sort by the time they were made."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cicd import ids
from cicd.clock import SystemClock
from cicd.ids import IdSource

NUMBERS = st.integers(0, 2**128 - 1)


class StubClock:
    """A wall clock that says what it is told."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s

    def wall_s(self) -> float:
        return self.now_s

    def boot_s(self) -> float:
        return 0.0


def test_an_id_is_26_lower_case_characters_and_keeps_its_time() -> None:
    made = IdSource(StubClock(1.5), lambda n: b"\0" * n).new()
    assert made == ids.encode(1500 << 80)
    assert len(made) == 26
    assert made.isascii()
    assert made == made.lower()


def test_the_extremes_have_their_forms() -> None:
    assert ids.encode(0) == "0" * 26
    assert ids.encode(31) == "0" * 25 + "z"
    assert ids.encode(2**128 - 1) == "7" + "z" * 25


@given(NUMBERS, NUMBERS)
def test_ids_sort_like_their_numbers(one: int, two: int) -> None:
    assert (ids.encode(one) < ids.encode(two)) is (one < two)


def test_ids_of_one_millisecond_sort_as_they_were_made() -> None:
    source = IdSource(StubClock())
    made = [source.new() for _ in range(1000)]
    assert made == sorted(set(made))


@given(st.lists(st.floats(0, 2**31), min_size=2, max_size=50), st.data())
def test_ids_grow_even_when_the_clock_goes_back(times: list[float], data: st.DataObject) -> None:
    clock = StubClock()
    source = IdSource(clock, lambda n: data.draw(st.binary(min_size=n, max_size=n)))
    made = []
    for clock.now_s in times:
        made.append(source.new())
    assert all(one < two for one, two in pairwise(made))


def test_a_used_up_millisecond_runs_over_into_the_next() -> None:
    source = IdSource(StubClock(1.0), lambda n: b"\xff" * n)
    assert source.new() == ids.encode((1001 << 80) - 1)
    assert source.new() == ids.encode(1001 << 80)
    assert source.new() == ids.encode((1001 << 80) + 1)


def test_threads_never_get_the_same_id() -> None:
    source = IdSource(SystemClock())
    with ThreadPoolExecutor(4) as pool:
        made = [one for some in pool.map(lambda _: [source.new() for _ in range(500)], range(4)) for one in some]
    assert len(set(made)) == 2000


def test_two_sources_differ() -> None:
    clock = StubClock()
    assert IdSource(clock).new() != IdSource(clock).new()
