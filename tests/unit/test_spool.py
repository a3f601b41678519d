"""Spool files count what is in them, and are counted anew when somebody else left them behind."""

import hashlib
import os

import pytest

from cicd.messages.base import JobId
from cicd.plugins.spool import Spool

JOB = JobId("01abc-0")


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [([], 0), ([b"a\n"], 1), ([b"a\nb"], 2), ([b"a", b"b\n", b"\n"], 2), ([b"x" * 5_000_000, b"\n"], 1)],
)
def test_size_lines_and_hash(tmp_path, pieces, lines):
    file = Spool(tmp_path / "spool").create(JOB, 1)
    for piece in pieces:
        file.append(piece)
    state = file.close()
    whole = b"".join(pieces)
    assert file.path.read_bytes() == whole
    assert (state.size_bytes, state.lines, state.sha256) == (len(whole), lines, hashlib.sha256(whole).hexdigest())
    assert state.closed


def test_what_was_left_open_is_found_with_the_same_figures(tmp_path):
    spool = Spool(tmp_path / "spool")
    closed = spool.create(JOB, 1)
    closed.append(b"one\ntwo")
    state = closed.close()
    left = spool.create(JOB, 2)
    left.append(b"cut off")
    os.close(left._fd)  # as a killed process leaves it
    (tmp_path / "spool" / "something else").write_text("not a log")
    found = Spool(tmp_path / "spool").recover()
    assert found[0] == state
    assert (found[1].attempt, found[1].size_bytes, found[1].lines, found[1].closed) == (2, 7, 1, True)


def test_removing_twice_is_no_error(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.create(JOB, 1).close()
    spool.remove(JOB, 1)
    spool.remove(JOB, 1)
    assert spool.recover() == []
