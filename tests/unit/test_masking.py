"""Secrets are masked in every form, however the stream is cut, and nothing else is touched."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cicd.plugins.masking import MASK, Masker
from cicd.plugins.secret_forms import MIN_BYTES, forms_of

SECRET = b"s3cr3t/Pa+ss w\xc3\xb6rd"


def masker(*values: bytes) -> Masker:
    made = Masker()
    for value in values:
        assert made.add(value)
    return made


def masked(masks: Masker, *pieces: bytes) -> bytes:
    return b"".join(masks.feed(piece) for piece in pieces) + masks.flush()


TEXT = SECRET.decode()
ENCODED = {
    "raw": SECRET,
    "url": quote(TEXT, safe="").encode(),
    "url, path": quote(TEXT).encode(),
    "url, lower case": b"s3cr3t%2fPa%2bss%20w%c3%b6rd",
    "form": quote_plus(TEXT).encode(),
    "json": json.dumps(TEXT).encode()[1:-1],
    "json, unicode": json.dumps(TEXT, ensure_ascii=False).encode()[1:-1],
    "hex": SECRET.hex().encode(),
    "HEX": SECRET.hex().upper().encode(),
    "repr": repr(SECRET).encode()[2:-1],
}  # fmt: skip


@pytest.mark.parametrize("form", ENCODED)
def test_each_form_is_masked(form):
    assert masked(masker(SECRET), b"a=" + ENCODED[form] + b";b") == b"a=***;b"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [b"", b"u", b"us", b"usr", b"user", b"user:"])
@pytest.mark.parametrize("after", [b"", b"x", b"xy", b"xyz"])
def test_base64_is_masked_at_every_alignment_with_its_edges(encode, before, after):
    text = encode(before + SECRET + after)
    result = masked(masker(SECRET), text)
    start, _, end = result.partition(MASK)
    assert _, result
    # What is left tells nothing of the secret: it is the same for another one of that length.
    other = encode(before + bytes(255 - byte for byte in SECRET) + after)
    assert text[: len(start)] == start == other[: len(start)]
    end = end.rstrip(b"=")
    assert not end or text.rstrip(b"=").endswith(end)
    assert not end or other.rstrip(b"=").endswith(end)


def test_a_secret_of_many_lines_is_masked_line_by_line():
    key = b"-----BEGIN KEY-----\nAbCdEf123\nab\nGhIjKl456\n-----END KEY-----\n"
    assert masked(masker(key), b"x AbCdEf123 ab GhIjKl456 y\n") == b"x *** ab *** y\n"


def test_what_overlaps_or_touches_is_one_mask():
    masks = masker(b"abcd", b"cdef")
    assert masked(masks, b"-abcdef-abcdabcd-") == b"-***-***-"
    for cut in range(1, 16):
        whole = b"-abcdef-abcdabcd-"
        assert masked(masker(b"abcd", b"cdef"), whole[:cut], whole[cut:]) == b"-***-***-", cut


def test_too_short_is_refused():
    masks = Masker()
    assert not masks.add(b"abc")
    assert not masks.add(b" ab\ncd \n")
    assert not masks.add(b"")
    assert not masks.active


def test_a_prompt_is_not_held_back():
    masks = masker(b"hunter22")
    assert masks.feed(b"Password: ") == b"Password: "
    assert masks.feed(b"the hun") == b"the "
    assert masks.feed(b"t is on") == b"hunt is on"
    assert masks.feed(b"hunter2") == b""
    assert masks.feed(b"2!") == b"***!"


def test_a_long_run_of_secrets_holds_back_no_more_than_one():
    masks = masker(b"abcdabcdab")
    out = b"".join(masks.feed(b"abcd" * 1000) for _ in range(50))
    assert len(masks._held) < 10
    assert out + masks.flush() == b"***cd"


def test_a_secret_that_is_told_in_mid_stream_is_masked_from_there_on():
    masks = masker(b"first-one")
    assert masks.feed(b"second-one ") == b"second-one "
    assert masks.add(b"second-one")
    assert masks.feed(b"second-one first-one\n") == b"*** ***\n"


def test_texts_are_masked_by_themselves():
    masks = masker(SECRET)
    assert masks.text(f"no {TEXT}, {SECRET.hex()}") == "no ***, ***"
    assert masks.text("nothing") == "nothing"
    assert masks.holds_secret(f"-{TEXT}-")
    assert not masks.holds_secret("nothing")
    assert Masker().text(TEXT) == TEXT


# ---- properties ----------------------------------------------------------------------------------------

secrets = st.binary(min_size=MIN_BYTES, max_size=40).map(lambda value: value.replace(b"*", b"x"))
pieces = st.one_of(
    st.sampled_from(sorted(ENCODED)),
    st.tuples(st.binary(max_size=4), st.binary(max_size=4)),
    st.binary(max_size=12).map(lambda data: data.replace(b"*", b"x")),
)


def encoded(secret: bytes, form: str) -> bytes:
    lines = [form_.text for form_ in forms_of(secret)]
    return lines[sorted(ENCODED).index(form) % len(lines)] if lines else b""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(secrets, secrets, st.lists(pieces, max_size=8), st.lists(st.integers(0, 400), max_size=12))
@example(b"abcd", b"cdef", [b"abcdef"], [1, 2, 3, 4, 5])
def test_no_form_is_ever_in_the_result(first, second, parts, cuts):
    masks = Masker()
    assume(masks.add(first))
    masks.add(second)
    stream = b""
    for part in parts:
        if isinstance(part, tuple):
            stream += base64.b64encode(part[0] + first.strip() + part[1])
        else:
            stream += encoded(first, part) if isinstance(part, str) else part
    result = masked(masks, *cut(stream, cuts))
    for form in (*forms_of(first), *forms_of(second)):
        assert form.text not in result


@given(secrets, st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_what_has_no_secret_in_it_is_not_changed(secret, stream, cuts):
    assume(not any(form.text in stream for form in forms_of(secret)))
    masks = Masker()
    masks.add(secret)
    assert masked(masks, *cut(stream, cuts)) == stream


@given(
    st.lists(st.text("abc", min_size=4, max_size=9).map(str.encode), min_size=1, max_size=3),
    st.text("abc ", max_size=120).map(str.encode),
    st.lists(st.integers(0, 120), max_size=10),
)
def test_cuts_change_nothing(values, stream, cuts):
    """Secrets that overlap themselves and each other, in a stream that is full of their beginnings."""
    assert masked(masker(*values), *cut(stream, cuts)) == masked(masker(*values), stream)
