"""A log says that it is whole, or where it ends, why, and since when."""

import hashlib

import pytest
from msgspec.structs import replace

from cicd.actors.desk.log_ends import missing, of_record, open_end
from cicd.cli.log_check import LogCheck
from cicd.cli.log_printing import ending
from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.client import LogEndInfo
from cicd.messages.evidence import Cause, Evidence
from cicd.messages.run import AttemptRecord, JobRecord, LogRecord, Result, Status

JOB = JobRecord(id=JobId("01run-0"), run=RunId("01run"), index=0, name="x", attempt=1)
DONE = Result(status=Status.SUCCEEDED, log_bytes=2048, log_lines=9, log_sha256="ab")
QUIET = Result(status=Status.LOST, evidence=Evidence(cause=Cause.SILENCE, heard_s=1_767_600_000.0))
BARE = Result(status=Status.LOST, message="gone")
WHOLE = LogRecord(job=JOB.id, attempt=1, size_bytes=2048, lines=9, sha256="ab")


def tried(result: Result | None) -> AttemptRecord:
    return AttemptRecord(
        job=JOB.id, attempt=1, minion=MinionId("m"), minion_name="m1", session=1, finished_s=5.0, result=result
    )


def test_a_whole_log_is_complete():
    end = of_record(WHOLE, 2048)
    assert (end.complete, end.lines, end.gap) == (True, 9, "")
    assert ending(end) == "complete: 9 lines, 2.0 KiB, sha256 ab"


def test_a_file_that_has_become_shorter_is_not():
    end = of_record(WHOLE, 1024)
    assert (end.complete, end.size_bytes, end.expected_bytes, end.expected_lines) == (False, 1024, 2048, 9)
    assert ending(replace(end, lines=4)).endswith(
        "its disk has lost the rest; it ends after 1.0 KiB of 2.0 KiB, in line 4 of 9"
    )


def test_what_arrived_damaged_is_not():
    assert not of_record(replace(WHOLE, gap="it differs"), 2048).complete


@pytest.mark.parametrize(
    ("result", "attempts", "known", "why"),
    [
        (DONE, 1, False, "m1 has lost its data folder, and with it what it had not sent"),
        (QUIET, 2, True, "attempt 2 has begun since: what m1 still has of this one is not taken any more"),
        (DONE, 2, True, ""),  # tried again at once: its last lines may still be under way
        (QUIET, 1, True, "m1 was lost and has not been back: it may still have the rest"),
        (BARE, 1, True, "the attempt ended without its log's end: gone"),
        (DONE, 1, True, ""),
        (None, 1, True, ""),
        (None, 1, False, ""),
    ],
)
def test_why_the_rest_does_not_come(result, attempts, known, why):
    end = open_end(replace(JOB, attempt=attempts), tried(result), 7, minion_known=known)
    assert (end.gap if end is not None else "") == why
    assert end is None or end.size_bytes == 7


def test_since_when():
    end = open_end(JOB, tried(QUIET), 0, minion_known=True)
    assert ending(end) == (
        "not complete: m1 was lost and has not been back: it may still have the rest, since 2026-01-05T08:00:00Z; "
        "nothing of it is there"
    )
    assert ending(missing(tried(DONE), 1024, "")).startswith(
        "not complete: its end has not arrived; it ends after 1.0 KiB of"
    )


def test_what_is_read_is_checked():
    text = b"one\ntwo"
    check = LogCheck()
    check.feed(text[:3])
    check.feed(b"")
    check.feed(text[3:])
    good = LogEndInfo(attempt=1, size_bytes=7, lines=2, sha256=hashlib.sha256(text).hexdigest(), complete=True)
    assert check.end(good) == good
    damaged = check.end(replace(good, sha256="00"))
    assert (damaged.complete, damaged.lines, damaged.size_bytes) == (False, 2, 7)
    assert "damaged" in damaged.gap
    assert check.end(LogEndInfo(attempt=1, size_bytes=0, gap="x")).lines == 2
