"""Cancelling: everything that a job left about is gone, and nobody disagrees about how it ended."""

from __future__ import annotations

import pytest

from cicd.clock import SystemClock
from cicd.errors import ConflictError, NotFoundError
from cicd.messages.client import CancelRun, RunAnswer
from cicd.messages.run import JobState, RunState, Status
from cicd.testing.waiting import wait_until
from e2e import Repository, cluster_of, create, finish, start, until_running
from minion_processes import tree_of
from witness import Dice, Witness, pass_time, pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]

CLOCK = SystemClock()


def repository_of(tmp_path) -> Repository:
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    return repository


def test_a_cancelled_job_leaves_none_of_its_children(tmp_path, size, figure):
    """Two hundred of them, each in a session of its own."""
    rounds, children = size(1, 20), 200
    witness = Witness(tmp_path / "witness")
    survivors = 0
    slowest_s = 0.0
    with cluster_of(minions=1, slots=1) as cluster, cluster.client() as client:
        create(client, "witness", repository_of(tmp_path))
        for _ in range(rounds):
            run = start(client, "witness", file=str(witness.path), hold="600", beat="0.1", children=str(children))
            until_running(client, run, "work")
            wait_until(lambda run=run: any(one.run == run and one.what == "alive" for one in witness.statements()), 30)
            tree = tree_of(cluster.minion_pid("minion-1"))
            assert len(tree) > children
            asked_s = CLOCK.boot_s()
            client.ask(CancelRun(run=run), RunAnswer)
            (view,) = finish(client, run).jobs
            slowest_s = max(slowest_s, CLOCK.boot_s() - asked_s)
            assert view.job.state is JobState.CANCELLED
            # Agent, zygote and the like stay; what the job started is gone when it has ended.
            survivors += max(0, len(tree_of(cluster.minion_pid("minion-1"))) - (len(tree) - children))
    figure(
        "cancel of a job with detached children",
        cancels=rounds,
        children=children,
        survivors=survivors,
        slowest_s=round(slowest_s, 3),
    )
    assert survivors == 0


def test_a_cancel_that_meets_the_end_is_no_cause_for_disagreement(tmp_path, size, figure):
    """Within a millisecond of each other: the answer, the run, the job, its attempt and the witness tell one story."""
    times = size(6, 1000)
    dice = Dice(23)
    witness = Witness(tmp_path / "witness")
    disagreements: list[str] = []
    outcomes = {RunState.SUCCEEDED: 0, RunState.CANCELLED: 0}
    with cluster_of(minions=1, slots=1) as cluster, cluster.client() as client:
        create(client, "witness", repository_of(tmp_path))
        for _ in range(times):
            run = start(client, "witness", file=str(witness.path), hold="0.2")
            witness.wait_for_start(run)
            began = next(one.boot_s for one in reversed(witness.statements()) if one.run == run)
            # Its last word is said 0.2 s later, its end told a millisecond or two after that.
            pass_time(max(0.0, began + 0.2 + dice.between(-0.002, 0.004) - CLOCK.boot_s()))
            try:
                client.ask(CancelRun(run=run), RunAnswer)
                cancelled = True
            except (ConflictError, NotFoundError):
                cancelled = False
            answer = finish(client, run)
            (view,) = answer.jobs
            outcomes[answer.run.state] += 1
            result = view.attempts[0].result
            story = (
                cancelled,
                answer.run.state,
                view.job.state,
                result.status if result else None,
                witness.ends()[run],
            )
            fine = {
                (True, RunState.CANCELLED, JobState.CANCELLED, Status.CANCELLED, 0),
                (True, RunState.CANCELLED, JobState.CANCELLED, Status.CANCELLED, 1),
                (True, RunState.SUCCEEDED, JobState.SUCCEEDED, Status.SUCCEEDED, 1),
                (False, RunState.SUCCEEDED, JobState.SUCCEEDED, Status.SUCCEEDED, 1),
            }
            if story not in fine:
                disagreements.append(f"{run}: {story}")
    figure(
        "cancel against finish",
        times=times,
        succeeded=outcomes[RunState.SUCCEEDED],
        cancelled=outcomes[RunState.CANCELLED],
        disagreements=len(disagreements),
    )
    assert disagreements == []
