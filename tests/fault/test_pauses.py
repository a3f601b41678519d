"""Processes that stand still: nobody is lost for a short pause, and nothing acts for long after its lease."""

from __future__ import annotations

import os
import signal

import pytest

from cicd.messages.client import ListMinions, MinionPage
from cicd.messages.cluster import Connection
from cicd.messages.run import JobState
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, alive, cluster_of, create, finish, start, until_running
from minion_processes import resume, stop_minion
from witness import CLOCK, Witness, pass_time, pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]

LEASE_S = QUICK_LEASES["cluster"]["lease_s"]


@pytest.fixture
def repository(tmp_path) -> Repository:
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    return repository


def connection(client, name: str) -> Connection:
    page = client.ask(ListMinions(), MinionPage)
    return next(view.connection for view in page.minions if view.minion.name == name)


def test_a_minion_that_stands_still_for_less_than_its_lease_loses_nothing(tmp_path, repository, size, figure):
    """Pauses of up to 8 s under a lease of 10 s: the same attempt comes to its end. Short: a fifth of both."""
    pauses = [1.0] if size(0, 1) == 0 else [2.0, 4.0, 6.0, 8.0] * 5
    leases = QUICK_LEASES if size(0, 1) == 0 else {}
    witness = Witness(tmp_path / "witness")
    false_losses = 0
    with cluster_of(minions=2, slots=1, master_overrides=leases) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        for pause in pauses:
            run = start(client, "witness", file=str(witness.path), hold=str(pause + 1))
            name = until_running(client, run, "work").job.minion_name
            stopped = stop_minion(cluster, name)
            pass_time(pause)
            resume(stopped)
            (view,) = finish(client, run).jobs
            assert view.job.state is JobState.SUCCEEDED
            false_losses += view.job.attempt != 1
    figure("a minion stands still for less than its lease", pauses=len(pauses), false_losses=false_losses)
    assert false_losses == 0


def test_a_minion_that_stands_still_for_longer_is_lost_and_what_it_says_then_is_refused(
    tmp_path, repository, size, figure
):
    """The job is run again elsewhere; what comes back is ended, and its result is of no use."""
    rounds = size(1, 20)
    witness = Witness(tmp_path / "witness")
    accepted = 0
    afterlife: list[float] = []
    with cluster_of(minions=2, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        for _ in range(rounds):
            run = start(client, "witness", file=str(witness.path), hold="5", beat="0.05")
            first = until_running(client, run, "work")
            witness.wait_for_start(run)
            stopped = stop_minion(cluster, first.job.minion_name)
            witness.wait_for_start(run, 2)
            resumed = CLOCK.boot_s()
            resume(stopped)
            wait_until(lambda pid=first.attempts[0].pid: not alive(pid), 10, "the first attempt to be gone")
            (view,) = finish(client, run).jobs
            assert (view.job.state, view.job.attempt, view.job.lost) == (JobState.SUCCEEDED, 2, 1)
            accepted += view.job.minion_name == first.job.minion_name
            said = [one.boot_s for one in witness.statements() if (one.run, one.attempt) == (run, 1)]
            afterlife.append(max(0.0, said[-1] - resumed))
            cluster.wait_ready(2)
    figure(
        "a minion stands still for longer than its lease",
        rounds=rounds,
        stale_results_accepted=accepted,
        acted_after_resume_max_s=round(max(afterlife), 3),
    )
    assert accepted == 0
    # Its whole machine stood still, the watchdogs too: what is promised is that they end it at once.
    assert max(afterlife) < 1.0


def test_a_jobhost_that_hangs_lets_no_job_outlive_its_lease(tmp_path, repository, size, figure):
    """The attempt's own reaper holds the deadline."""
    rounds = size(1, 20)
    witness = Witness(tmp_path / "witness")
    over_s: list[float] = []
    with cluster_of(minions=2, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        for _ in range(rounds):
            run = start(client, "witness", file=str(witness.path), hold="6", beat="0.05")
            first = until_running(client, run, "work")
            witness.wait_for_start(run)
            jobhost = cluster.minion_pid(first.job.minion_name)
            os.kill(jobhost, signal.SIGSTOP)
            stopped_s = CLOCK.boot_s()
            witness.wait_for_start(run, 2)
            said = [one.boot_s for one in witness.statements() if (one.run, one.attempt) == (run, 1)]
            over_s.append(said[-1] - stopped_s)
            os.kill(jobhost, signal.SIGCONT)
            (view,) = finish(client, run).jobs
            assert (view.job.state, view.job.attempt) == (JobState.SUCCEEDED, 2)
            cluster.wait_ready(2)
    figure(
        "a jobhost hangs",
        rounds=rounds,
        overlaps=witness.overlaps(),
        lease_s=LEASE_S,
        last_sign_of_life_max_s=round(max(over_s), 3),
    )
    assert witness.overlaps() == 0
    assert max(over_s) < LEASE_S + 0.5


def test_a_master_that_stands_still_calls_nobody_lost(tmp_path, repository, size, figure):
    """Shorter than the lease: nothing happens. Longer: jobs end by their own lease and run again; no two at once."""
    pauses = [1.0] if size(0, 1) == 0 else [5.0, 8.0, 15.0, 60.0]
    leases = QUICK_LEASES if size(0, 1) == 0 else {}
    witness = Witness(tmp_path / "witness")
    false_losses = honest = 0
    with cluster_of(minions=2, slots=1, master_overrides=leases) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        for pause in pauses:
            run = start(client, "witness", file=str(witness.path), hold=str(min(pause, 15) + 2), beat="0.1")
            until_running(client, run, "work")
            witness.wait_for_start(run)
            os.kill(cluster.master_pid, signal.SIGSTOP)
            pass_time(pause)
            os.kill(cluster.master_pid, signal.SIGCONT)
            for name in cluster.minion_names:
                assert connection(client, name) is not Connection.LOST
            (view,) = finish(client, run).jobs
            assert view.job.state is JobState.SUCCEEDED
            false_losses += pause < 10 and view.job.attempt != 1
            honest += pause > 10 and view.job.attempt == 2
    figure(
        "the master stands still",
        pauses_s=pauses,
        false_losses=false_losses,
        ended_by_their_lease=honest,
        overlaps=witness.overlaps(),
    )
    assert (false_losses, witness.overlaps()) == (0, 0)
