"""The verdict on what failed or was lost on a minion: whose fault it was, by what is seen."""

import pytest

from cicd.messages.evidence import Blame, Cause
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_result import Verdict, expired, lost, result_of
from cicd.plugins.evidence import Seen
from cicd.plugins.supervised import Exit

MIB = 1024 * 1024
STARVED = Seen(oom_kills=1, oom_scope="machine", memory_bytes=1000 * MIB)
CALM = Seen(oom_kills=0, oom_scope="machine", memory_bytes=1000 * MIB, disk_free_bytes=700 * MIB)
USER = Result(status=Status.FAILED, failure_kind=FailureKind.USER, message="boom", exit_code=1)
KILLED_COMMAND = Result(status=Status.FAILED, failure_kind=FailureKind.USER, message="make was killed", exit_code=-9)
MEMORY_ERROR = Result(status=Status.FAILED, failure_kind=FailureKind.OUT_OF_MEMORY, exit_code=1)
HOST = Result(status=Status.FAILED, failure_kind=FailureKind.INFRASTRUCTURE)
BROKE = Result(status=Status.FAILED, failure_kind=FailureKind.CRASH)
LATE = Verdict(Status.TIMED_OUT, "too long", FailureKind.TIMEOUT, cause=Cause.TIMEOUT)
OTHERS = Verdict(Status.FAILED, "a reason of another part", FailureKind.INFRASTRUCTURE)
LARGE, SMALL = 900 * MIB, 10 * MIB
CODE, MACHINE, UNCLEAR, NETWORK = Blame.CODE, Blame.MACHINE, Blame.UNCLEAR, Blame.NETWORK


MEMORY = FailureKind.OUT_OF_MEMORY
INFRA = FailureKind.INFRASTRUCTURE
CRASH = FailureKind.CRASH
ENDED = Exit(signal=9, cause="killed")
FENCED = lost("x", Cause.FENCED)


@pytest.mark.parametrize(
    ("what", "seen", "expected"),
    [
        ((None, Exit(signal=11), None), CALM, (CODE, Cause.SIGNAL, CRASH)),
        ((None, Exit(signal=11), None), STARVED, (CODE, Cause.SIGNAL, CRASH)),
        ((None, Exit(signal=9), None), CALM, (UNCLEAR, Cause.KILLED, CRASH)),
        ((None, Exit(signal=9), None), Seen(), (UNCLEAR, Cause.KILLED, CRASH)),
        ((None, Exit(signal=15), None), STARVED, (UNCLEAR, Cause.KILLED, CRASH)),
        ((None, Exit(signal=9, max_rss_bytes=LARGE), None), STARVED, (CODE, Cause.OUT_OF_MEMORY, MEMORY)),
        ((None, Exit(signal=9, max_rss_bytes=SMALL), None), STARVED, (MACHINE, Cause.OUT_OF_MEMORY, MEMORY)),
        ((None, Exit(code=0), None), STARVED, (CODE, Cause.NO_RESULT, CRASH)),
        ((None, Exit(code=7), None), CALM, (CODE, Cause.NO_RESULT, CRASH)),
        ((USER, Exit(code=0), None), STARVED, (CODE, Cause.REPORTED, FailureKind.USER)),
        ((KILLED_COMMAND, Exit(max_rss_bytes=LARGE), None), STARVED, (CODE, Cause.OUT_OF_MEMORY, MEMORY)),
        ((KILLED_COMMAND, Exit(code=0), None), CALM, (CODE, Cause.REPORTED, FailureKind.USER)),
        ((MEMORY_ERROR, Exit(code=0), None), CALM, (CODE, Cause.OUT_OF_MEMORY, MEMORY)),
        ((HOST, ENDED, None), CALM, (MACHINE, Cause.HOST, INFRA)),
        ((BROKE, ENDED, None), CALM, (CODE, Cause.PROTOCOL, CRASH)),
        ((None, Exit(cause="reaper"), None), CALM, (UNCLEAR, Cause.SUPERVISOR_KILLED, INFRA)),
        ((None, Exit(signal=9, cause="lease"), None), CALM, (NETWORK, Cause.LEASE, INFRA)),
        ((None, ENDED, LATE), STARVED, (CODE, Cause.TIMEOUT, FailureKind.TIMEOUT)),
        ((None, ENDED, FENCED), CALM, (UNCLEAR, Cause.FENCED, INFRA)),
        ((None, ENDED, OTHERS), CALM, (MACHINE, Cause.HOST, INFRA)),
    ],
)
def test_verdicts(what, seen, expected):
    result = result_of(*what, seen)
    assert (result.evidence.blame, result.evidence.cause, result.failure_kind) == expected
    assert result.evidence.oom_kills == seen.oom_kills
    assert result.evidence.disk_free_bytes == seen.disk_free_bytes


def test_what_succeeded_or_was_cancelled_has_no_verdict():
    good = Result(status=Status.SUCCEEDED)
    assert result_of(good, Exit(code=0), None, STARVED) == good
    cancel = Verdict(Status.CANCELLED, "by ann", cause=Cause.CANCELLED)
    assert not result_of(None, Exit(signal=9, cause="killed"), cancel, STARVED).evidence.cause


def test_a_minion_that_stood_still_is_no_networks_fault():
    result = result_of(None, Exit(signal=9, cause="lease"), None, CALM, stalled_s=6.0)
    assert (result.evidence.blame, result.evidence.cause, result.evidence.stalled_s) == (MACHINE, Cause.LEASE, 6.0)
    on_time = result_of(None, Exit(signal=9, cause="killed"), lost("x", Cause.LEASE, stalled_s=0.02))
    assert (on_time.evidence.blame, on_time.evidence.stalled_s) == (NETWORK, 0.0)


def test_a_result_that_came_after_the_lease_is_lost_with_a_verdict():
    result = expired(Result(status=Status.SUCCEEDED, outputs={"a": "1"}))
    assert (result.status, result.evidence.blame, result.evidence.cause) == (Status.LOST, MACHINE, Cause.LEASE)
