"""A verdict in words: whose fault, what happened, what shows it."""

import pytest

from cicd.cli.verdicts import shown_by, verdict
from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.run import Result, Status, Usage


def told(status: Status = Status.FAILED, **evidence: object) -> Result:
    return Result(status=status, evidence=Evidence(**evidence))


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result(status=Status.SUCCEEDED), ""),
        (told(blame=Blame.CODE, cause=Cause.NO_RESULT), "your code: its process ended without a result"),
        (told(blame=Blame.UNCLEAR, cause=Cause.SILENCE), "the network or our machine: the master heard nothing"),
        (told(blame=Blame.MACHINE, cause=Cause.LEASE, stalled_s=3.0), "our machine stood still: "),
        (told(blame=Blame.NETWORK, cause=Cause.LEASE), "the network, or the master was away: "),
        (told(blame="martians", cause="ray_gun"), "martians: ray_gun"),
        (told(blame=Blame.UNCLEAR), "it cannot be told whose"),
    ],
)
def test_whose_fault(result, words):
    assert verdict(result).startswith(words)
    assert bool(verdict(result)) == bool(words)


def test_every_cause_has_words():
    for cause in Cause:
        assert cause is Cause.NONE or verdict(told(blame=Blame.CODE, cause=cause)).startswith("your code: ")


def test_what_shows_it():
    evidence = Evidence(
        blame=Blame.CODE,
        cause=Cause.OUT_OF_MEMORY,
        oom_kills=1,
        oom_scope="cgroup",
        memory_bytes=1 << 30,
        disk_free_bytes=2048,
    )
    result = Result(status=Status.FAILED, signal=9, usage=Usage(max_rss_bytes=1 << 29), evidence=evidence)
    assert shown_by(result) == [
        "signal 9 (SIGKILL)",
        "largest process 512.0 MiB of 1.0 GiB, 1 kill for memory counted by the minion's cgroup",
        "2.0 KiB of disk free",
    ]


def test_silence_is_told_with_its_figures():
    result = told(Status.LOST, blame=Blame.UNCLEAR, cause=Cause.SILENCE, heard_s=1.0, silent_s=13.2, missed_beats=13)
    assert shown_by(result) == [
        "last heard of at 1970-01-01T00:00:01Z, 13 s before: 13 heartbeats missed, its connection was not closed"
    ]


def test_no_verdict_no_evidence():
    assert shown_by(Result(status=Status.SUCCEEDED, exit_code=0)) == []
    assert shown_by(Result(status=Status.FAILED, signal=99, evidence=Evidence(blame=Blame.CODE))) == ["signal 99"]
