"""What goes into the spool: marks made readable, secrets masked, no more than the limit."""

import base64
import os

import pytest

from cicd.errors import UserError
from cicd.messages.base import JobId
from cicd.plugins.attempt_log import AttemptLog
from cicd.plugins.mask_files import LIMIT_BYTES, MaskFiles
from cicd.plugins.spool import Spool

M = b"\x1ec0ffee"
TOLD = M + b"M" + base64.b64encode(b"s3cret-value") + b"\n"


class Bench:
    def __init__(self, folder, limit_bytes=0) -> None:
        self.file = Spool(folder / "spool").create(JobId("01run-0"), 1)
        self.grown = 0
        self.failures = []
        self.log = AttemptLog(self.file, "c0ffee", self._grew, self.failures.append, limit_bytes)

    def _grew(self):
        self.grown += 1

    def end(self) -> bytes:
        state = self.log.close()
        data = self.file.path.read_bytes()
        assert state.size_bytes == len(data)
        return data


def test_a_value_that_is_told_by_a_mark_is_masked_and_never_kept(tmp_path):
    bench = Bench(tmp_path)
    bench.log.output(b"before\n" + TOLD[:20])
    assert bench.file.path.read_bytes() == b"before\n"
    bench.log.output(TOLD[20:] + b"x s3cret-")
    bench.log.output(b"value y\n")
    bench.log.write(b"by the host: s3cret-value\n")
    assert bench.end() == b"before\nx *** y\nby the host: ***\n"


@pytest.mark.parametrize("cut", [10, 15, len(TOLD) - 1])
def test_a_mark_that_was_cut_off_by_a_death_shows_nothing(tmp_path, cut):
    bench = Bench(tmp_path)
    bench.log.output(b"x\n" + TOLD[:cut])
    assert bench.end() == b"x\n"


def test_a_mark_that_cannot_be_read_is_left_out_and_said(tmp_path):
    bench = Bench(tmp_path)
    bench.log.output(b"x" + M + b"Mczn*t somebody else's line\ny\n")
    end = bench.end()
    assert end.startswith(b"x\n[warning] cicd: a value to mask could not be read")
    assert end.endswith(b"\ny\n")
    assert b"czn" not in end


def test_a_mark_without_end_shows_nothing(tmp_path):
    bench = Bench(tmp_path)
    bench.log.output(b"x\n" + M + b"M" + b"A" * 300_000)
    bench.log.output(b"A" * 1000)
    bench.log.output(b"A" * 1000 + b"\nafter\n")
    assert bench.end() == b"x\nafter\n"


def test_a_value_that_is_too_short_is_said(tmp_path):
    bench = Bench(tmp_path)
    bench.log.output(b"mid" + M + b"M" + base64.b64encode(b"abc") + b"\n" + M + b"M\n" + b"-line abc\n")
    end = bench.end()
    assert end.startswith(b"mid-line abc\n")
    assert b"fewer than 4 characters" in end
    assert end.count(b"\n") == 2


def test_the_limit_keeps_whole_lines_and_counts_what_is_dropped(tmp_path):
    bench = Bench(tmp_path, limit_bytes=10)
    bench.log.output(b"one\ntwo\nthree\n")
    bench.log.output(b"four\n" * 10)
    lines = bench.end().splitlines()
    assert lines[:2] == [b"one", b"two"]
    assert lines[2].endswith(b"the log has reached logs.limit_bytes (10): what follows is dropped")
    assert lines[3].endswith(b"56 bytes of output were dropped beyond the limit of 10")


def test_a_line_of_its_own_that_does_not_fit_is_left_out_whole(tmp_path):
    bench = Bench(tmp_path, limit_bytes=10)
    bench.log.output(b"one\ntwo\n")
    bench.log.output(b"three\n")
    lines = bench.end().splitlines()
    assert lines[:2] == [b"one", b"two"]
    assert lines[2].endswith(b"the log has reached logs.limit_bytes (10): what follows is dropped")
    assert lines[3].endswith(b"6 bytes of output were dropped beyond the limit of 10")


def test_one_long_line_is_cut_at_the_limit(tmp_path):
    bench = Bench(tmp_path, limit_bytes=10)
    bench.log.output(b"x" * 100)
    assert bench.end().startswith(b"x" * 10 + b"\n[warning] cicd: the log has reached")


def test_a_disk_that_takes_no_more_is_said_once(tmp_path):
    bench = Bench(tmp_path)
    os.close(bench.file._fd)
    bench.file._fd = os.open("/dev/full", os.O_WRONLY)
    bench.log.output(b"x\n")
    bench.log.output(b"y\n")
    assert len(bench.failures) == 1
    bench.log.close()


# ---- mask files ----------------------------------------------------------------------------------------


def test_files_are_read_again_when_they_change_and_remembered_when_they_go(tmp_path):
    path = tmp_path / "token"
    path.write_bytes(b"one")
    files = MaskFiles([path])
    assert files.values() == [b"one"]
    path.write_bytes(b"another")
    assert files.values() == [b"another"]
    path.unlink()
    assert files.values() == [b"another"]


def test_files_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        MaskFiles([tmp_path / "no"])
    (tmp_path / "big").write_bytes(b"x" * (LIMIT_BYTES + 1))
    with pytest.raises(UserError, match="more than"):
        MaskFiles([tmp_path / "big"])


def test_our_own_lines_are_masked_and_said_once(tmp_path):
    """They are outside the limit: a job cannot have them said again and again."""
    bench = Bench(tmp_path)
    for _ in range(50):
        bench.log.mask(b"abc")
        bench.log.output(b"x\n")
    bench.log.mask(b"hunter2-secret")
    bench.log.warn_of({"hunter2-secret": "hunter2-secret"})
    text = bench.end().decode()
    assert text.count("not masked") == 1
    assert "holds a masked value" in text
    assert "hunter2" not in text
