"""Deaths around the jobhost, and its own: what survives, what must not, and what is known afterwards."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cicd.messages.base import JobId
from cicd.messages.jobhost import (
    LogClosed,
    LogStored,
    ResultAcked,
    Started,
    Stopping,
)
from cicd.messages.minion import EntryState
from cicd.messages.run import Status
from cicd.plugins.leftovers import marked
from cicd.testing.waiting import wait_until

pytestmark = pytest.mark.e2e


# ---- deaths --------------------------------------------------------------------------------------------


def test_the_death_of_the_agent_touches_no_job(lab):
    stop = lab.folder / "stop"
    lab.start()
    job = lab.begin("ticks", params={"who": str(stop)})
    started = lab.talk.wait_for(Started)
    lab.wait_for_output("tick 2\n")
    lab.talk.kill()
    lab.talk = lab.agents.accept()
    assert lab.talk.hello.session == 1
    assert [(entry.job, entry.state) for entry in lab.talk.hello.entries] == [(job, EntryState.RUNNING)]
    assert [(log.job, log.closed) for log in lab.talk.hello.logs] == [(job, False)]
    os.kill(started.pid, 0)
    stop.touch()
    assert lab.finished().status is Status.SUCCEEDED
    closed = lab.talk.wait_for(LogClosed)
    *ticks, last = Path(closed.path).read_text().splitlines()[1:]
    assert ticks == [f"tick {number}" for number in range(len(ticks))]
    assert last == f"ticks {len(ticks)}"


def test_results_and_logs_are_told_to_each_agent_until_acknowledged(lab):
    lab.start()
    result, _log = lab.run("first")
    lab.talk.kill()
    lab.talk = lab.agents.accept()
    (entry,) = lab.talk.hello.entries
    assert (entry.state, entry.result) == (EntryState.FINISHED, result)
    (log,) = lab.talk.hello.logs
    assert log.closed
    lab.talk.send(ResultAcked(job=entry.job, attempt=1))
    lab.talk.send(LogStored(job=entry.job, attempt=1))
    wait_until(lambda: not Path(log.path).exists(), what="the spool file's end")
    lab.talk.kill()
    lab.talk = lab.agents.accept()
    assert (lab.talk.hello.entries, lab.talk.hello.logs) == ((), ())


def test_an_agent_that_gives_up_ends_the_minion(lab):
    lab.start()
    lab.begin("waits")
    lab.wait_for_output("waiting")
    lab.talk.exit(3)
    assert lab.process.wait(20) == 3
    assert lab.alive() == []


def test_a_killed_jobhost_takes_everything_with_it_and_the_next_one_knows(lab):
    lab.start()
    job = lab.begin("stubborn")
    lab.wait_for_output("dug in")
    done, _log = lab.run("first", 1)
    lab.process.kill()
    lab.process.wait()
    wait_until(lambda: not lab.alive(), 10, "an end of the job's processes")
    lab.start()
    entries = {entry.job: entry for entry in lab.talk.hello.entries}
    assert entries[JobId("01run-1")].result == done
    dead = entries[job]
    assert (dead.state, dead.result.status) == (EntryState.DEAD, Status.LOST)
    log = next(log for log in lab.talk.hello.logs if log.job == job)
    data = Path(log.path).read_bytes()
    assert log.closed
    assert (log.size_bytes, log.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (dead.result.log_bytes, dead.result.log_sha256) == (log.size_bytes, log.sha256)
    assert lab.talk.hello.session == 0
    lab.begin("stubborn")
    assert lab.finished().status is Status.LOST
    assert lab.alive() == []


def test_a_restart_waits_for_processes_that_hold_on(lab):
    lab.start()
    lab.begin("stubborn")
    lab.wait_for_output("dug in")
    os.kill(lab.pid_of("cicd-reaper"), signal.SIGSTOP)
    lab.process.kill()
    lab.process.wait()
    assert len(lab.alive()) > 5
    lab.start()
    assert lab.alive() == []
    assert lab.talk.hello.entries[0].state is EntryState.DEAD


def test_a_stopped_jobhost_lets_nothing_outlive_its_lease(lab):
    lab.start()
    lab.begin("stubborn")
    lab.wait_for_output("dug in")
    lab.shorten_lease(1.0)
    lab.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: not lab.alive(), 15, "the end of the job by its reaper")
    lab.process.send_signal(signal.SIGCONT)
    result = lab.finished()
    assert result.status is Status.LOST
    assert "lease" in result.message


def test_a_lease_that_is_not_extended_ends_the_jobs(lab):
    lab.start()
    lab.begin("waits")
    lab.wait_for_output("waiting")
    os.kill(lab.pid_of("cicd-reaper"), signal.SIGSTOP)  # it would do the same
    lab.shorten_lease(0.3)
    assert "lease" in lab.finished().message
    assert lab.alive() == []


def test_a_lease_that_is_extended_keeps_them(lab):
    stop = lab.folder / "stop"
    lab.start()
    lab.begin("ticks", params={"who": str(stop)})
    lab.wait_for_output("tick 0")
    lab.shorten_lease(1.0)
    over = lab.clock.boot_s() + 1.2
    lab.grant(60)
    wait_until(lambda: lab.clock.boot_s() > over, what="the end of the first lease")
    stop.touch()
    assert lab.finished().status is Status.SUCCEEDED


def test_a_killed_reaper_leaves_nothing_behind(lab):
    lab.start()
    lab.begin("stubborn")
    lab.wait_for_output("dug in")
    os.kill(lab.pid_of("cicd-reaper"), signal.SIGKILL)
    assert lab.finished().status is Status.LOST
    assert lab.alive() == []


def test_a_killed_zygote_costs_nothing_but_warmth(lab):
    stop = lab.folder / "stop"
    lab.start()
    lab.begin("ticks", params={"who": str(stop)})
    lab.wait_for_output("tick 2\n")
    os.kill(lab.pid_of("cicd-zygote"), signal.SIGKILL)
    result, _log = lab.run("first", 1)
    assert result.status is Status.SUCCEEDED
    stop.touch()
    assert lab.finished().status is Status.SUCCEEDED


def test_zygotes_are_dropped_when_idle(lab):
    lab.start("zygote_idle_s = 0.0")
    for index in range(3):
        result, _log = lab.run("first", index)
        assert result.status is Status.SUCCEEDED
    minion = (lab.data / "minion_id").read_text().strip()
    wait_until(lambda: not marked(minion), what="the zygote's end")


# ---- the minion itself ---------------------------------------------------------------------------------


def test_stopping_gives_running_attempts_back(lab):
    lab.start()
    lab.begin("waits")
    lab.wait_for_output("waiting")
    lab.process.terminate()
    result = lab.finished()
    assert (result.status, result.message) == (Status.LOST, "the minion was stopped")
    lab.talk.wait_for(Stopping)
    lab.talk.exit(0)
    assert lab.process.wait(10) == 0
    assert lab.alive() == []
    assert not (lab.data / "sockets").is_symlink()


def test_a_stubborn_job_does_not_hold_up_the_stop_for_longer_than_its_grace(lab):
    lab.start("cancel_grace_s = 0.2")
    lab.begin("stubborn")
    lab.wait_for_output("dug in")
    assert lab.stop() == 0
    assert lab.alive() == []


def test_one_minion_per_folder(lab):
    lab.start()
    second = subprocess.run(
        [sys.executable, "-m", "cicd.minion", "--config", str(lab.folder / "minion.toml")],
        cwd=lab.folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 4
    assert "in use by another minion" in second.stderr
    assert lab.run("first")[0].status is Status.SUCCEEDED


def test_the_id_is_made_once(lab):
    lab.start()
    first = (lab.data / "minion_id").read_text()
    assert lab.stop() == 0
    lab.start()
    assert (lab.data / "minion_id").read_text() == first


def test_a_torn_journal_is_read_up_to_the_tear(lab):
    lab.start()
    result, _log = lab.run("first")
    assert lab.stop() == 0
    with (lab.data / "journal").open("ab") as journal:
        journal.write(b"\0\0\1\0torn")
    lab.start()
    assert lab.talk.hello.entries[0].result == result
    assert "journal.torn" in lab.stderr


def test_any_number_of_logs_can_be_told(lab):
    spool = lab.data / "spool"
    spool.mkdir(parents=True)
    for number in range(1005):
        (spool / f"old-{number}.1.log").write_text("x\n")
    lab.start()
    told = {log.job for log in lab.talk.hello.logs}
    while len(told) < 1005:
        told.add(lab.talk.wait_for(LogClosed).job)


def test_an_agent_that_cannot_be_started_is_tried_again(lab):
    config = lab.folder / "minion.toml"
    config.write_text(
        f'[minion]\nname = "m"\ndata_dir = "{lab.data}"\n[master]\ntoken = "t"\n'
        '[agent]\ncommand = ["/no/such/program"]\nrestart_delay_s = 0.01\n'
    )
    lab.spawn(config, {})
    wait_until(lambda: lab.stderr.count("agent.not_started") > 2, 20)
    lab.process.terminate()
    assert lab.process.wait(10) == 0
