"""Marked lines become the log; nothing else of the output is touched, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st

from cicd.plugins.marks import MarkFilter

FENCE = "c0ffee"
M = f"\x1e{FENCE}".encode()


def filtered(*pieces: bytes) -> tuple[bytes, bool]:
    marks = MarkFilter(FENCE)
    out = b"".join(marks.feed(piece) for piece in pieces)
    return out + marks.flush(), marks.fenced


def test_each_mark_becomes_its_line():
    text = b"a\n" + M + b"Linfo hello\n" + M + b"Gbuild\n" + M + b"g\n" + M + b"F\n"
    assert filtered(text) == (b"a\n[info] hello\n::group::build\n::endgroup::\n", True)


def test_a_mark_in_mid_line_begins_a_line():
    assert filtered(b"half" + M + b"Lwarning x\nrest\n") == (b"half\n[warning] x\nrest\n", False)


def test_the_fence_in_mid_line_leaves_the_line_as_it_is():
    assert filtered(b"half" + M + b"F\n") == (b"half", True)


def test_another_fence_is_output():
    forged = b"\x1ebadbadF\n" + b"\x1e" + b"\x1e\n"
    assert filtered(forged) == (forged, False)


def test_unknown_letters_and_unfinished_marks_are_output():
    assert filtered(M + b"Zwhat\n") == (M + b"Zwhat\n", False)
    assert filtered(M + b"Linfo no end") == (M + b"Linfo no end", False)


def test_only_what_may_be_a_mark_is_held_back():
    marks = MarkFilter(FENCE)
    assert marks.feed(b"plain without newline") == b"plain without newline"
    assert marks.feed(b"x\x1ec0f") == b"x"
    assert marks.feed(b"zzz") == b"\x1ec0fzzz"


def test_a_mark_without_end_is_not_held_forever():
    marks = MarkFilter(FENCE)
    long = M + b"Linfo " + b"x" * 300_000
    assert marks.feed(long) == long


pieces = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([M + b"F\n", M + b"Linfo a b\n", M + b"Gt\n", M + b"g\n", M, b"\x1e", b"\n", b"\x1ec0"]),
    ),
    max_size=12,
)


@given(pieces, st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing(parts, cuts):
    whole = b"".join(parts)
    places = sorted({min(cut, len(whole)) for cut in cuts})
    cut = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert filtered(*cut) == filtered(whole)


@given(st.binary())
def test_output_without_the_fence_passes_untouched(data):
    if M not in data:
        assert filtered(data) == (data, False)
