"""A master that dies, or whose disk fails, at the N-th system call of a kind: strace injects it, exactly there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest

from cicd.testing.local_cluster import LocalCluster
from cicd.testing.managed_process import ProcessEndedError
from cicd.testing.waiting import wait_until
from e2e import Repository, alive, cluster_of, create
from witness import Dice, Load, Witness, pipeline

STRACE = shutil.which("strace")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(14_400),
    pytest.mark.skipif(STRACE is None, reason="strace is not installed (make deps)"),
]

POINTS = [
    "fdatasync:signal=KILL",
    "pwrite64:signal=KILL",
    "writev:signal=KILL",
    "sendto:signal=KILL",
    "fdatasync:error=EIO",
    "pwrite64:error=EIO",
    "writev:error=ENOSPC",
]
"""Where LMDB and the archive write and sync, and where ZeroMQ sends."""
FEW = ["sendto:signal=KILL", "fdatasync:error=EIO"]


@dataclass
class Tracer:
    """Puts strace before the master while a point is set."""

    point: str = ""

    def __call__(self, name: str) -> list[str]:
        if name != "master" or not self.point:
            return []
        # -D keeps the pid. Without --seccomp-bpf, which is faster: with it strace 6.1 injects no signals.
        options = ["-D", "-f", "-qq", "-o", "/dev/null"]
        call = self.point.partition(":")[0]
        return [str(STRACE), *options, "-e", f"trace={call}", "-e", f"inject={self.point}"]


def dies_at(cluster: LocalCluster, tracer: Tracer, point: str) -> bool:
    """Start the master with a point set, and return whether it died there (it may never come to it)."""
    tracer.point = point
    try:
        cluster.start_master()
        pid = cluster.master_pid
        wait_until(lambda: not alive(pid), 6.0)
        cluster.kill_master()  # its first thread is gone: wait for the others
    except ProcessEndedError:
        return True  # in its start
    except TimeoutError:
        cluster.kill_master()
        return False
    return True


def test_a_master_that_dies_or_fails_at_any_call_loses_nothing(tmp_path, size, figure):
    """Under load; told by the witness and by the ledger of what was acknowledged."""
    each = size(1, 25)
    points = POINTS if each > 1 else FEW
    dice = Dice(5)
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    witness = Witness(tmp_path / "witness")
    tracer = Tracer()
    hit = 0
    with cluster_of(minions=2, slots=4, wrap=tracer) as cluster, cluster.client() as client:
        create(client, "witness", repository)
        cluster.kill_master()
        with Load(cluster, {"file": str(witness.path)}, rate=10) as load:
            for call in points:
                for number in range(each):
                    when = number + 1 if each > 1 else int(dice.between(3, 12))
                    hit += dies_at(cluster, tracer, f"{call}:when={when}")
            tracer.point = ""
            cluster.start_master()
        runs = load.runs()
        wait_until(lambda: set(runs) <= set(witness.ends()), 120, "every acknowledged run to end")
    starts, ends = witness.starts(), witness.ends()
    lost = [run for run in runs if not ends[run]]
    repeated = [run for run, count in starts.items() if count > 1]
    figure(
        "master dies at the N-th call",
        points=each * len(points),
        died=hit,
        runs=len(runs),
        lost=len(lost),
        repeated=len(repeated),
    )
    assert lost == []
    assert repeated == []
    assert hit >= each * len(points) // 2, "the points were hardly ever reached: nothing was tested"
