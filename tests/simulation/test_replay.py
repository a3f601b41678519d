"""Whatever a simulated master decided follows from the journal of its inputs alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cicd.core.cluster import Cluster
from cicd.replay.verdict import Recording
from cicd.testing.model.store import ModelStore
from cicd.testing.simulator.report import play_seed

SHORT, FULL = 60, 5000


@pytest.mark.timeout(14_400)
def test_every_decision_of_a_history_is_the_same_again(
    size: Callable[[int, int], int], figure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each master of each history, from what it took up from its store to its end."""
    recordings: list[Recording] = []
    restore = ModelStore.restore

    def recorded(store: ModelStore, *arguments: object) -> Cluster:
        cluster = restore(store, *arguments)
        recordings.append(Recording(cluster))
        cluster.handle = recordings[-1].handle
        return cluster

    monkeypatch.setattr(ModelStore, "restore", recorded)
    histories = size(SHORT, FULL)
    masters = batches = 0
    began = time.perf_counter()
    for seed in range(histories):
        assert not play_seed(seed).broken
        for recording in recordings:
            assert recording.check() is None, f"seed {seed}"
            masters += 1
            batches += len(recording)
        recordings.clear()
    seconds = round(time.perf_counter() - began, 1)
    figure("decisions replayed", histories=histories, masters=masters, batches=batches, differing=0, seconds=seconds)
    assert batches > 100 * histories
