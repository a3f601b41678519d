"""A master that is killed at random loses no run that it acknowledged, and no job runs twice for it."""

from __future__ import annotations

import pytest

from cicd.messages.run import RunState
from cicd.testing.waiting import wait_until
from e2e import Repository, cluster_of, create, finish
from witness import CLOCK, Dice, Load, Witness, pass_time, percentiles, pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]


def test_kills_at_random_lose_nothing_and_repeat_nothing(tmp_path, size, figure):
    """Four minions, up to 20 jobs a second, the master killed again and again."""
    kills = size(4, 300)
    dice = Dice(3)
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    witness = Witness(tmp_path / "witness")
    recoveries: list[float] = []
    with cluster_of(minions=4, slots=4) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        with Load(cluster, {"file": str(witness.path)}, rate=size(10, 20)) as load:
            for _ in range(kills):
                pass_time(dice.between(0.1, 1.5))
                cluster.kill_master()
                killed = CLOCK.boot_s()
                cluster.start_master()
                recoveries.append(load.wait_for_answer_after(killed) - killed)
        runs = load.runs()
        # Told by the witness, not by the store.
        wait_until(lambda: len(witness.ends()) >= len(runs), 120, "every acknowledged run to end")
        assert finish(client, runs[-1]).run.state is RunState.SUCCEEDED
    starts, ends = witness.starts(), witness.ends()
    lost = [run for run in runs if not ends[run]]
    repeated = [run for run, count in starts.items() if count > 1]
    figure(
        "master killed at random",
        kills=kills,
        runs=len(runs),
        lost=len(lost),
        repeated=len(repeated),
        **percentiles(recoveries),
    )
    assert lost == []
    assert repeated == []
    assert len(set(runs)) == len(runs)
