"""Keys are unambiguous, sorted and never too long, whatever the ids in them are."""

from hypothesis import given
from hypothesis import strategies as st

from cicd.messages.base import JobId, PipelineId, RunId
from cicd.storage import keys
from cicd.storage.base import MAX_KEY_BYTES

NUMBERS = st.integers(0, 999_999)


@given(st.text(max_size=120), st.text(max_size=120), NUMBERS, NUMBERS)
def test_keys_are_unambiguous_and_never_too_long(one: str, two: str, first: int, second: int) -> None:
    same = (one, first) == (two, second)
    assert (keys.job(RunId(one), first) == keys.job(RunId(two), second)) is same
    assert (keys.pipeline_name(one) == keys.pipeline_name(two)) is (one == two)
    for key in (keys.pipeline_run(PipelineId(one), first), keys.log(JobId(f"r{one}-{first}"), second)):
        assert len(key) <= MAX_KEY_BYTES
    assert not keys.job(RunId(one), first).startswith(keys.jobs(RunId(two))) or one == two


@given(st.text(alphabet="%/a", min_size=390, max_size=420), st.text(alphabet="%/a", min_size=390, max_size=420))
def test_keys_of_long_ids_are_unambiguous_too(one: str, two: str) -> None:
    for key in (keys.run(RunId(one)), keys.job(RunId(one), 1), keys.pipeline_run(PipelineId(one), 1)):
        assert len(key) <= MAX_KEY_BYTES
    assert (keys.job(RunId(one), 1) == keys.job(RunId(two), 1)) is (one == two)


def test_ids_that_look_escaped_or_begin_alike_are_kept_apart() -> None:
    like = [RunId(text) for text in ("a/", "a%2F", "a%252F", "x" * 500 + "1", "x" * 500 + "2", "x" * 400)]
    assert len({keys.job(one, 1) for one in like}) == len({keys.run(one) for one in like}) == len(like)


@given(NUMBERS, NUMBERS)
def test_numbers_sort(one: int, two: int) -> None:
    id_ = RunId("r")
    assert (keys.job(id_, one) < keys.job(id_, two)) is (one < two)
    assert (keys.log(JobId("r-1"), one) < keys.log(JobId("r-1"), two)) is (one < two)


def test_no_section_lies_inside_another() -> None:
    sections = [value for name, value in vars(keys).items() if name.isupper() and not name.startswith("_")]
    assert len(sections) == 23
    assert not [(a, b) for a in sections for b in sections if a is not b and a.startswith(b)]
