"""The disk of a minion: measured, held to its quotas, and survived when it is full: a real jobhost, a small disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd.messages.evidence import Blame, Cause
from cicd.messages.jobhost import DiskReport, LogClosed, Pulse, ResultAcked, Started
from cicd.messages.run import FailureKind, Status
from cicd.testing.waiting import wait_until
from small_disk import small_disk

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def disk(lab):
    """A small disk as the minion's data folder; the jobhost ends before it goes."""
    with small_disk(lab.data, 24 * MIB) as mounted:
        yield mounted
        lab.agents.close()
        for process in lab.processes:
            process.terminate()
            process.wait(20)


def kept(lab) -> list[Path]:
    return sorted((lab.data / "work").glob("*/*"))


def test_sizes_are_reported_by_attempt_and_by_pipeline(lab):
    lab.start()
    lab.begin("fills", params={"who": "5"})
    lab.wait_for_output("written")
    report = lab.talk.wait_for(DiskReport, lambda one: one.use.workspaces_bytes >= 5 * MIB)
    (attempt,) = report.use.attempts
    assert (attempt.job, attempt.attempt, attempt.pipeline, attempt.ended) == ("01run-0", 1, "web", False)
    assert 5 * MIB <= attempt.size_bytes < 6 * MIB
    assert [(one.pipeline, one.folders) for one in report.use.pipelines] == [("web", 1)]
    assert "plugin" in report.needed


def test_an_attempt_that_outgrows_its_quota_is_killed(lab):
    lab.start(f"[quota]\njob_bytes = {8 * MIB}")
    lab.begin("fills", params={"who": "12"})
    result = lab.finished()
    assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.USER)
    assert result.message.startswith("disk quota: ")
    assert result.message.endswith(" MiB used, 8 MiB allowed")
    assert (result.evidence.blame, result.evidence.cause) == (Blame.CODE, Cause.QUOTA)
    lab.begin("fills", 1, params={"who": "4"})
    lab.wait_for_output("written", "01run-1")
    lab.talk.wait_for(DiskReport, lambda one: any(at.size_bytes > 4 * MIB for at in one.use.attempts))
    assert lab.alive()


def test_folders_of_failed_attempts_stay_for_a_time_and_then_go_by_rule(lab):
    lab.start("[retention]\nfailed_workspaces_h = 0.0003")
    lab.run("boom")
    lab.run("first", 1)
    report = lab.talk.wait_for(
        DiskReport, lambda one: any(at.ended and at.pipeline == "web" for at in one.use.attempts)
    )
    assert [at.job for at in report.use.attempts if at.ended] == ["01run-0"]
    gone = lab.talk.wait_for(DiskReport, lambda one: one.use.deletions, timeout_s=60)
    (deletion,) = gone.use.deletions
    assert (deletion.kind, deletion.name) == ("workspace", "web 01run-0.1")
    assert "are kept" in deletion.reason
    wait_until(lambda: not kept(lab), 20, "an empty work folder")


def test_a_job_that_fills_the_disk_fails_for_it_and_the_minion_lives(lab, disk):
    lab.start()
    lab.begin("fills", params={"who": "100"})
    result = lab.finished()
    assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.INFRASTRUCTURE)
    assert result.message.startswith("disk full on m: OSError")
    assert (result.evidence.blame, result.evidence.cause) == (Blame.MACHINE, Cause.DISK)
    lab.talk.wait_for(LogClosed)
    lab.talk.send(ResultAcked(job="01run-0", attempt=1))
    lab.talk.wait_for(Pulse)
    # Its folder is gone, and the next job runs.
    wait_until(lambda: disk.free_bytes > 10 * MIB, 20, "room again")
    result, _log = lab.run("first", 1)
    assert result.status is Status.SUCCEEDED


def test_a_log_that_finds_no_room_fails_the_job_for_the_disk(lab, disk):
    lab.start()
    lab.begin("prints")
    result = lab.finished()
    assert (result.status, result.failure_kind) == (Status.FAILED, FailureKind.INFRASTRUCTURE)
    assert result.message.startswith("disk full on m: ")
    closed = lab.talk.wait_for(LogClosed)
    assert closed.size_bytes == result.log_bytes == Path(closed.path).stat().st_size


def test_a_job_that_a_full_disk_keeps_from_starting_fails_and_the_minion_starts_again(lab, disk):
    """What ran before ends as it should; a jobhost that starts on the full disk works too."""
    lab.start()
    lab.begin("waits")
    lab.talk.wait_for(Started)
    disk.fill()
    lab.begin("first", 1)
    refused = lab.finished("01run-1")
    assert refused.message == "disk full on m: the job was not started"
    assert (refused.status, refused.failure_kind) == (Status.FAILED, FailureKind.INFRASTRUCTURE)
    lab.process.kill()
    lab.process.wait(10)
    lab.talk.close()
    talk = lab.start()
    entries = {entry.job: entry for entry in talk.hello.entries}
    assert entries["01run-0"].result.status is Status.LOST
    assert entries["01run-1"].result.status is Status.FAILED
    disk.free()
    result, _log = lab.run("first", 2)
    assert result.status is Status.SUCCEEDED
