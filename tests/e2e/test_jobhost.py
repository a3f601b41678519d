"""The jobhost as a real process, with real plugins; the test speaks for the agent."""

import os
import signal
from pathlib import Path

import pytest

from cicd.messages.base import JobId
from cicd.messages.jobhost import (
    Cancel,
    Fence,
    FenceDone,
    Finished,
    LogGrew,
    Pulse,
    ResultAcked,
    Started,
)
from cicd.messages.minion import EntryState, Need
from cicd.messages.run import FailureKind, Status
from cicd.testing.plugin_folder import make_plugin
from cicd.testing.waiting import wait_until

pytestmark = pytest.mark.e2e

JOBS = Path(__file__).with_name("jobhost_pipeline.py")


# ---- what a job is and says ----------------------------------------------------------------------------


def test_a_job_gets_params_needs_and_the_tree_and_returns_outputs(lab):
    lab.start()
    needs = (Need(job="first", outputs={"version": "1.2"}),)
    result, log = lab.run("hello", params={"who": "ann"}, needs=needs)
    assert (result.status, result.exit_code) == (Status.SUCCEEDED, 0)
    assert result.outputs == {"greeting": "hi", "number": "3"}
    place = lab.data / "work" / "01run-0" / "1"
    assert log == (
        "imported\nhello ann 1.2\non stderr\n[info] logged\n::group::commands\n"
        f"read me\n{place}/ws\n{place}/home {place}/tmp\n::endgroup::\n"
    )
    assert result.run_s > 0
    assert result.usage.max_rss_bytes > 1_000_000
    wait_until(lambda: not any((lab.data / "work").iterdir()), what="an empty work folder")
    assert not (lab.things / "source" / "made").exists()


def test_ten_thousand_lines_of_two_streams_stay_in_order(lab):
    lab.start()
    _result, log = lab.run("lines")
    assert log.splitlines()[1:] == [f"{name} {number}" for number in range(5000) for name in ("out", "err")]


def test_growth_is_told_while_the_job_runs(lab):
    lab.start()
    lab.begin("waits")
    lab.talk.wait_for(Started)
    grew = lab.talk.wait_for(LogGrew, lambda message: message.size_bytes >= len("imported\nwaiting\n"))
    assert Path(grew.path).read_text() == "imported\nwaiting\n"
    assert lab.talk.wait_for(Pulse)


def test_failures_say_what_and_where(lab):
    lab.start()
    result, _log = lab.run("boom")
    assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.USER)
    assert result.message == "ValueError: the reason"
    assert 'raise ValueError("the reason")' in result.traceback
    result, _log = lab.run("command_fails", 1)
    assert (result.status, result.exit_code) == (Status.FAILED, 7)
    result, _log = lab.run("no such job", 2)
    assert result.status is Status.FAILED
    assert "no such job" in result.message


@pytest.mark.parametrize(
    ("name", "words", "number"),
    [("leaves", "exit code 7", 0), ("crashes", "killed by SIGSEGV", 11), ("killed", "SIGKILL, not by cicd", 9)],
)
def test_a_process_that_ends_without_a_result_is_a_crash(lab, name, words, number):
    lab.start()
    result, log = lab.run(name)
    assert (result.status, result.failure_kind, result.signal) == (Status.FAILED, FailureKind.CRASH, number)
    assert words in result.message
    assert ("last words" in log) == (name == "leaves")


def test_outputs_have_a_limit(lab):
    lab.start()
    result, _log = lab.run("chatty")
    assert result.status is Status.FAILED
    assert "the limit is 16384" in result.message
    assert result.outputs == {}


def test_a_pipeline_that_cannot_be_imported_fails_each_job_with_its_traceback(lab):
    lab.start()
    plugin = make_plugin(lab.folder / "broken", "print('before')\nimport no_such_module\n", lab.things / "sdk")
    for index in range(2):
        result, log = lab.run("any", index, plugin=plugin)
        assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.USER)
        assert "no_such_module" in result.traceback
        assert log == "before\n"


def test_an_import_that_leaves_a_thread_is_left_to_each_job(lab):
    lab.start()
    code = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n" + JOBS.read_text()
    plugin = make_plugin(lab.folder / "threaded", code, lab.things / "sdk")
    for index in range(2):
        result, log = lab.run("first", index, plugin=plugin)
        assert (result.status, log) == (Status.SUCCEEDED, "imported\n")


def test_an_artifact_that_is_none_is_told(lab):
    lab.start()
    result, _log = lab.run("first", plugin=lab.folder / "nothing")
    assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.INFRASTRUCTURE)
    assert "plugin.json" in result.message


def test_the_environment_is_scrubbed_and_unreadable_folders_are_removed(lab):
    lab.start('pass_env = ["PASSED"]', env={"SECRET_OF_THE_HOST": "x", "PASSED": "yes"})
    _result, log = lab.run("env")
    assert "SECRET_OF_THE_HOST" not in log
    assert "PLUGIN_" not in log
    assert "PASSED=yes\n" in log
    assert "CICD_JOB=env\n" in log
    assert f"PATH={lab.things / 'plugin' / 'site' / 'bin'}:" in log
    wait_until(lambda: not any((lab.data / "work").iterdir()), what="an empty work folder")


def test_workspaces_are_kept_where_the_config_says_so(lab):
    lab.start("keep_workspaces = true")
    lab.run("hello", params={"who": "x"}, needs=(Need(job="first", outputs={"version": "1"}),))
    assert sorted(path.name for path in (lab.data / "work/01run-0/1/ws").iterdir()) == ["README", "made"]


def test_without_checkout_the_workspace_is_empty(lab):
    lab.start("keep_workspaces = true")
    lab.run("first", checkout=False)
    assert list((lab.data / "work/01run-0/1/ws").iterdir()) == []


# ---- ending early --------------------------------------------------------------------------------------


def test_a_job_that_runs_too_long_is_timed_out(lab):
    lab.start("cancel_grace_s = 5.0")
    result, log = lab.run("waits", timeout_s=0.5)
    assert (result.status, result.failure_kind) == (Status.TIMED_OUT, FailureKind.TIMEOUT)
    assert "limit of 0.5 s" in result.message
    assert log == "imported\nwaiting\n"
    assert result.run_s < 4  # it was asked, and went: nobody waited for the grace to pass


def test_cancel_asks_first(lab):
    lab.start()
    job = lab.begin("waits")
    lab.wait_for_output("waiting")
    lab.talk.send(Cancel(job=job, attempt=1, grace_s=30, reason="by ann"))
    result = lab.finished()
    assert (result.status, result.message) == (Status.CANCELLED, "by ann")
    assert result.run_s < 20


def test_cancel_ends_what_does_not_want_to_end(lab):
    lab.start()
    job = lab.begin("stubborn")
    lab.wait_for_output("dug in")
    assert len(lab.alive()) > 5
    lab.talk.send(Cancel(job=job, attempt=1, grace_s=0.3, reason="enough"))
    assert lab.finished().status is Status.CANCELLED
    assert lab.alive() == []


def test_a_job_that_stops_its_own_reaper_is_ended_all_the_same(lab):
    lab.start()
    job = lab.begin("stubborn")
    lab.wait_for_output("dug in")
    os.kill(lab.pid_of("cicd-reaper"), signal.SIGSTOP)
    lab.talk.send(Cancel(job=job, attempt=1, grace_s=0))
    assert lab.finished().status is Status.CANCELLED
    assert lab.alive() == []


def test_cancel_before_the_start_runs_nothing(lab):
    lab.start()
    lab.talk.send(Cancel(job=JobId("01run-0"), attempt=1, grace_s=1, reason="early"))
    assert lab.finished().status is Status.CANCELLED
    lab.begin("waits")
    assert lab.finished().message == "early"
    assert not any(isinstance(message, Started) for message in lab.talk.heard)


def test_a_cancel_in_the_middle_of_the_start_is_not_lost(lab):
    lab.start()
    job = lab.begin("waits")
    lab.talk.send(Cancel(job=job, attempt=1, grace_s=30, reason="at once"))
    assert lab.finished().status is Status.CANCELLED
    assert lab.alive() == []


# ---- what is repeated, and what is dropped -------------------------------------------------------------


def test_a_start_is_deduplicated(lab):
    lab.start()
    lab.begin("waits")
    pid = lab.talk.wait_for(Started).pid
    lab.wait_for_output("waiting")
    lab.begin("waits")
    assert lab.talk.wait_for(Started).pid == pid
    lab.talk.send(Cancel(job=JobId("01run-0"), attempt=1, grace_s=5))
    first = lab.finished()
    lab.begin("waits")
    assert lab.finished() == first
    lab.talk.send(ResultAcked(job=JobId("01run-0"), attempt=1))
    lab.begin("waits")
    lab.run("first", 1)
    told = [type(message) for message in lab.talk.heard if getattr(message, "job", "") == "01run-0"]
    assert (told.count(Started), told.count(Finished)) == (2, 2)


def test_starts_without_a_valid_lease_are_dropped(lab):
    lab.session = 5
    lab.start()
    lab.begin("first", 0, session=4)
    lab.begin("first", 1)
    lab.finished(JobId("01run-1"))
    lab.talk.send(Fence())
    lab.talk.wait_for(FenceDone)
    lab.begin("first", 2)
    lab.session = 6
    lab.grant(60)
    lab.run("first", 3)
    assert {message.job for message in lab.talk.heard if isinstance(message, Started)} == {"01run-1", "01run-3"}
    assert "session 4 is older than 5" in lab.stderr
    assert "there is no lease" in lab.stderr


def test_fence_ends_everything_first(lab):
    lab.start()
    lab.begin("stubborn", 0)
    lab.begin("waits", 1)
    lab.wait_for_output("dug in")
    lab.wait_for_output("waiting", "01run-1")
    lab.talk.send(Fence())
    done = lab.talk.wait_for(FenceDone)
    assert lab.alive() == []
    assert {entry.job: entry.result.status for entry in done.entries} == {
        "01run-0": Status.LOST,
        "01run-1": Status.LOST,
    }
    assert all(entry.state is EntryState.FINISHED for entry in done.entries)
