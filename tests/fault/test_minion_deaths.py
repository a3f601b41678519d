"""Agents, jobhosts and whole minions that die, seen by a witness."""

from __future__ import annotations

import os
import signal

import pytest

from cicd.messages.client import CancelRun, RunAnswer
from cicd.messages.run import JobState, RunState
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, alive, cluster_of, create, finish, log_of, show, start, until_running
from minion_processes import crash_minion, tree_of
from witness import Dice, Witness, pass_time, pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]


def repository_of(tmp_path, *, idempotent: bool = True) -> Repository:
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline(idempotent=idempotent))
    return repository


def test_an_agent_that_is_killed_loses_no_result_and_no_line(tmp_path, size, figure):
    """The agents die at random while jobs end: each result and each line of each log arrives all the same."""
    rounds, minions = size(1, 50), 4
    dice = Dice(17)
    witness = Witness(tmp_path / "witness")
    results_lost = lines_lost = kills = 0
    with (
        cluster_of(minions=minions, slots=1, minion_overrides={"agent": {"restart_delay_s": 0.1}}) as cluster,
        cluster.client() as client,
    ):
        create(client, "witness", repository_of(tmp_path))
        for _ in range(rounds):
            runs = [start(client, "witness", file=str(witness.path), hold="1") for _ in range(minions)]
            for run in runs:
                until_running(client, run, "work")
            pass_time(dice.between(0.0, 1.2))  # before, in and after the moment when results are sent
            for name in cluster.minion_names:
                os.kill(cluster.agent_pid(name), signal.SIGKILL)
                kills += 1
            for run in runs:
                answer = finish(client, run)
                results_lost += answer.run.state is not RunState.SUCCEEDED
                text, end = log_of(client, run, "work")
                lines_lost += not (end.complete and text == "line 0\nline 1\nline 2\n")
            cluster.wait_ready(minions)
    repeated = sum(count > 1 for count in witness.starts().values())
    figure(
        "agent killed, job alive", kills=kills, results_lost=results_lost, logs_not_whole=lines_lost, repeated=repeated
    )
    assert (results_lost, lines_lost, repeated) == (0, 0, 0)


def test_a_machine_that_crashes_repeats_no_job_that_must_not_be_repeated(tmp_path, size, figure):
    """Every process of the minion is gone at once: a job that is not idempotent is in doubt, and never run again."""
    rounds = size(1, 20)
    dice = Dice(19)
    witness = Witness(tmp_path / "witness")
    doubts = 0
    with (
        cluster_of(minions=2, slots=1, master_overrides=QUICK_LEASES) as cluster,
        cluster.client() as client,
    ):
        create(client, "witness", repository_of(tmp_path, idempotent=False))
        for _ in range(rounds):
            run = start(client, "witness", file=str(witness.path), hold="3")
            view = until_running(client, run, "work")
            witness.wait_for_start(run)
            pass_time(dice.between(0.0, 0.5))
            processes = tree_of(cluster.minion_pid(view.job.minion_name))
            crash_minion(cluster, view.job.minion_name)
            wait_until(lambda pids=processes: not any(alive(pid) for pid in pids), 10)
            cluster.start_minion(view.job.minion_name)
            in_doubt = until_state(client, run, JobState.UNKNOWN)
            doubts += 1
            assert in_doubt.job.attempt == 1
            cancel(client, run)
            cluster.wait_ready(2)
    repeated = sum(count > 1 for count in witness.starts().values())
    figure("machine crash", crashes=rounds, in_doubt=doubts, repeated=repeated)
    assert repeated == 0


def until_state(client, run: str, state: JobState):
    def there():
        (view,) = show(client, run).jobs
        return view if view.job.state is state else None

    return wait_until(there, 30, f"work to be {state}")


def cancel(client, run: str) -> None:
    client.ask(CancelRun(run=run), RunAnswer)
    assert finish(client, run).run.state is RunState.CANCELLED
