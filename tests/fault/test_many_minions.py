"""Many minions: a master that is killed and started again has all of them back soon."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd.clock import SystemClock
from cicd.messages.client import ListMinions, MinionPage
from cicd.messages.cluster import Connection
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import PYTHON, cluster_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]

CLOCK = SystemClock()
BACK_S = 15.0


@contextlib.contextmanager
def swarms(cluster: LocalCluster, folder: Path, count: int, processes: int) -> Iterator[None]:
    """Start so many minions in so many processes; they have joined."""
    token = cluster.token_file()
    begun = []
    for number in range(processes):
        command = [PYTHON, "-P", "-m", "cicd.testing.minion_swarm", "--token-file", str(token), "--folder", str(folder)]
        for name in ("control", "enrol"):
            command += [f"--{name}", cluster.endpoints[name]]
        command += ["--prefix", f"swarm{number}-", "--count", str(count // processes)]
        begun.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder))
    try:
        for process in begun:
            assert process.stdout is not None
            assert process.stdout.readline() == b"joined\n"
        yield
    finally:
        for process in begun:
            process.communicate(timeout=60)


def ready(cluster: LocalCluster) -> int:
    with cluster.client() as client:
        count, after = 0, -1
        while True:
            page = client.ask(ListMinions(after=after), MinionPage)
            count += sum(view.connection is Connection.READY for view in page.minions)
            if not page.more:
                return count
            after = page.minions[-1].minion.ring


def test_a_master_that_was_killed_has_all_its_minions_back(tmp_path, size, figure):
    """They come back by themselves, spread over the time that full jitter gives them; nobody is lost meanwhile."""
    count, restarts = size(20, 200), size(1, 10)
    times = []
    with cluster_of(minions=0) as cluster, swarms(cluster, tmp_path, count, 2):
        wait_until(lambda: ready(cluster) == count, 60, "all minions")
        for _ in range(restarts):
            cluster.kill_master()
            cluster.start_master()
            began_s = CLOCK.boot_s()
            wait_until(lambda: ready(cluster) == count, 60, "all minions to be back")
            times.append(CLOCK.boot_s() - began_s)
        log = cluster.log_file("master").read_text()
    times.sort()
    figure(
        "minions, master restarted",
        minions=count,
        restarts=restarts,
        back_p50_s=round(times[len(times) // 2], 2),
        back_max_s=round(times[-1], 2),
    )
    assert "was lost" not in log
    assert times[-1] < BACK_S
