"""What an attempt's result is, of what the plugin said, how it ended, and who ended it."""

import pytest

from cicd.messages.evidence import Cause
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.attempt_result import Verdict, lost, result_of
from cicd.plugins.supervised import Exit

GOOD = Result(status=Status.SUCCEEDED, outputs={"a": "1"}, exit_code=0)
BAD = Result(status=Status.FAILED, message="boom", failure_kind=FailureKind.USER, exit_code=3, traceback="tb")
CANCEL = Verdict(Status.CANCELLED, "by ann", yields_to_success=True)
LATE = Verdict(Status.TIMED_OUT, "too long", FailureKind.TIMEOUT)
KILLED = Exit(signal=9, cause="killed", user_s=1.5, system_s=0.5, max_rss_bytes=7)


def test_what_the_plugin_said_counts_whatever_its_process_did_then():
    assert result_of(GOOD, Exit(signal=15), None) == GOOD
    result = result_of(BAD, Exit(code=0), None)
    assert (result.message, result.failure_kind, result.exit_code) == ("boom", FailureKind.USER, 3)


def test_usage_is_the_trees():
    usage = result_of(GOOD, KILLED, None).usage
    assert (usage.cpu_user_s, usage.cpu_system_s, usage.max_rss_bytes) == (1.5, 0.5, 7)


@pytest.mark.parametrize(
    ("own", "exited", "verdict", "status"),
    [
        (None, KILLED, CANCEL, Status.CANCELLED),
        (BAD, Exit(code=0), CANCEL, Status.CANCELLED),
        (GOOD, Exit(code=0), CANCEL, Status.SUCCEEDED),
        (GOOD, Exit(code=0), LATE, Status.TIMED_OUT),
        (None, KILLED, LATE, Status.TIMED_OUT),
        (GOOD, KILLED, lost("fenced", Cause.FENCED), Status.LOST),
        (GOOD, Exit(code=0), lost("stopped", Cause.STOPPED, yields_to_success=True), Status.SUCCEEDED),
        (BAD, Exit(code=0), lost("stopped", Cause.STOPPED, yields_to_success=True), Status.LOST),
        (None, Exit(signal=9, cause="lease"), None, Status.LOST),
        (GOOD, Exit(signal=9, cause="lease"), None, Status.LOST),
        (None, Exit(cause="reaper"), None, Status.LOST),
        (None, Exit(code=0), None, Status.FAILED),
    ],
)
def test_verdicts(own, exited, verdict, status):
    assert result_of(own, exited, verdict).status is status


def test_a_crash_is_named():
    result = result_of(None, Exit(signal=11), None)
    assert (result.failure_kind, result.signal) == (FailureKind.CRASH, 11)
    assert result.message == "the job's process was killed by SIGSEGV"
    assert "SIGKILL, not by cicd" in result_of(None, Exit(signal=9), None).message
    assert "exit code 7" in result_of(None, Exit(code=7), None).message
    assert result_of(None, Exit(code=7), None).exit_code == 7


def test_a_lost_result_gives_no_outputs():
    assert result_of(GOOD, KILLED, lost("fenced", Cause.FENCED)).outputs == {}
