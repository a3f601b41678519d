"""A disk that is full, under the master and under a minion, with real processes on a real small disk.

The ledger of what was acknowledged is the client's, what ran is written by the jobs themselves to a file elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cicd.client import Client
from cicd.clock import SystemClock
from cicd.errors import CicdError, UnavailableError
from cicd.messages.client import ListRuns, RunPage
from cicd.messages.evidence import Cause
from cicd.messages.run import RunState
from cicd.storage.room import BALLAST_FILE
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import PYTHON, QUICK_LEASES, Repository, create, finish, log_of, show, start, states, until_running
from small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MIB = 1024 * 1024
CLOCK = SystemClock()

PIPELINE = """
    import os, time
    import cicd_sdk as ci

    pipeline = ci.Pipeline("p")
    witness = pipeline.param("witness")
    gate = pipeline.param("gate", default="")
    fill = pipeline.param("fill", default="")

    @pipeline.job
    def job(ctx):
        with open(ctx.params["witness"], "a") as file:
            file.write(os.environ["CICD_RUN"] + "\\n")
        print("begun", flush=True)
        while ctx.params["gate"] and not os.path.exists(ctx.params["gate"]):
            time.sleep(0.02)
        if ctx.params["fill"]:
            with open("large", "wb") as file:
                while True:
                    file.write(b"x" * 65536)
        for number in range(200):
            print("line", number)
        return {"much": "x" * 15_000}
"""


class FullMaster:
    """A cluster whose master has a small disk, with a client's ledger of what was acknowledged."""

    def __init__(self, cluster: LocalCluster, client: Client, disk: SmallDisk, folder: Path) -> None:
        self.cluster = cluster
        self.client = client
        self.disk = disk
        self.folder = folder
        self.witness = folder / "witness"
        self.acknowledged: list[str] = []
        self.refused = 0

    def begin(self, gate: str, count: int) -> list[str]:
        """Start runs that wait at a gate, and wait until they run."""
        runs = [start(self.client, "p", witness=str(self.witness), gate=str(self.folder / gate)) for _ in range(count)]
        self.acknowledged += runs
        for run in runs:
            until_running(self.client, run, "job")
        return runs

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    def is_refused(self) -> None:
        """See that a new run is refused, by a clear error that says that it may be tried again."""
        with pytest.raises(CicdError) as caught:
            start(self.client, "p", witness=str(self.witness))
        assert (caught.value.code, caught.value.retryable) == ("store_full", True)
        assert "disk is full" in caught.value.message
        self.refused += 1

    def fill_until(self, condition: Callable[[], bool], what: str) -> None:
        """Leave nothing free, also of what the master gives away meanwhile."""

        def filled() -> bool:
            self.disk.fill()
            return condition()

        wait_until(filled, 40, what)

    def stands_still(self) -> bool:
        """Whether the Scheduler has a plan that found no room: the Archive's commits may find none without that."""
        return "nothing new is taken in" in self.cluster.log_file("master").read_text()

    def go_full(self, name: str) -> float:
        """Fill the disk under runs, hold it full, free it; return after how long all of them had ended."""
        first, last = self.begin(f"{name}a", 2), self.begin(f"{name}b", 4)
        through = self.begin(f"{name}d", 1)  # runs all the while: it needs its lease
        self.disk.fill(leave_bytes=MIB)
        self.is_refused()
        # What ends first is stored in the room of the ballast, what ends then has none.
        self.open(f"{name}a")
        ballast = self.disk.path / BALLAST_FILE
        self.fill_until(lambda: not ballast.exists(), "the ballast to go")
        self.open(f"{name}b")
        self.fill_until(self.stands_still, "the master to stand still")
        since_s = CLOCK.boot_s()
        wait_until(lambda: CLOCK.boot_s() - since_s > 4.0, 20, "more than the time that loses a minion")
        self.is_refused()
        self.disk.free()
        freed_s = CLOCK.boot_s()
        for run in (*first, *last):
            assert finish(self.client, run).run.state is RunState.SUCCEEDED
        took_s = CLOCK.boot_s() - freed_s
        self.open(f"{name}d")
        assert finish(self.client, through[0]).run.state is RunState.SUCCEEDED
        self.cluster.log_file("master").write_text("")
        self.open(f"{name}c")
        for run in self.begin_again(f"{name}c"):
            assert finish(self.client, run).run.state is RunState.SUCCEEDED
        return took_s

    def begin_again(self, gate: str) -> list[str]:
        """Start a run as soon as the master takes new ones again."""

        def begun() -> str:
            with contextlib.suppress(UnavailableError):
                return start(self.client, "p", witness=str(self.witness), gate=str(self.folder / gate))
            return ""

        run = wait_until(begun, 20, "new runs to be taken again")
        self.acknowledged.append(run)
        return [run]

    def lost(self) -> list[str]:
        """Return what was acknowledged and is not there, did not succeed, or has no whole log."""
        listed = {run.id for run in self.client.ask(ListRuns(), RunPage).runs}
        return [run for run in self.acknowledged if run not in listed or not self._is_whole(run)]

    def _is_whole(self, run: str) -> bool:
        text, end = log_of(self.client, run, "job")
        return states(show(self.client, run)) == {"job": "succeeded"} and end.complete and text.endswith("line 199\n")


def test_a_full_disk_of_the_master_loses_nothing_and_it_goes_on_by_itself(short_folder, tmp_path, size, figure):
    """Leases go on, new runs are refused, results wait; acknowledged runs end once each, without a restart."""
    repository = Repository(tmp_path / "repository")
    repository.commit(PIPELINE)
    overrides = {**QUICK_LEASES, "store": {"reserve_bytes": 2 * MIB}}
    with small_disk(short_folder / "master", 40 * MIB) as disk:
        cluster = LocalCluster(short_folder, minions=1, slots=8, python=PYTHON, master_overrides=overrides)
        with cluster, cluster.client() as client:
            create(client, "p", repository)
            pid = cluster.master_pid
            master = FullMaster(cluster, client, disk, tmp_path)
            took = [master.go_full(str(number)) for number in range(size(1, 10))]
            lost = master.lost()
            assert cluster.master_pid == pid
        assert "lease.expired" not in cluster.log_file("minion-1").read_text()
    ran = Counter(master.witness.read_text().split())
    assert lost == []
    assert ran == Counter(master.acknowledged)
    figure(
        "full disk of the master",
        rounds=len(took),
        acknowledged=len(master.acknowledged),
        lost=len(lost),
        repeated=sum(count > 1 for count in ran.values()),
        refused=master.refused,
        resume_s=round(max(took), 2),
        restarts=0,
    )


def test_a_full_disk_of_a_minion_fails_its_job_for_the_disk_and_it_goes_on_by_itself(
    short_folder, tmp_path, size, figure
):
    repository = Repository(tmp_path / "repository")
    repository.commit(PIPELINE)
    witness = tmp_path / "witness"
    times: list[float] = []
    with small_disk(short_folder / "minion-1", 40 * MIB):
        cluster = LocalCluster(
            short_folder,
            minions=1,
            python=PYTHON,
            master_overrides=QUICK_LEASES,
            minion_overrides={"health": {"disk_percent": 90.0}},
        )
        with cluster, cluster.client() as client:
            create(client, "p", repository)
            pid = cluster.minion_pid("minion-1")
            for _ in range(size(1, 20)):
                answer = finish(client, start(client, "p", witness=str(witness), fill="yes"))
                (view,) = answer.jobs
                result = view.attempts[-1].result
                assert result is not None
                assert str(view.job.state) == "failed"
                assert result.message.startswith("disk full on minion-1: ")
                assert result.evidence.cause == Cause.DISK
                failed_s = CLOCK.boot_s()
                assert finish(client, start(client, "p", witness=str(witness))).run.state is RunState.SUCCEEDED
                times.append(CLOCK.boot_s() - failed_s)
            assert cluster.minion_pid("minion-1") == pid
            os.kill(pid, 0)
        assert "lease.expired" not in cluster.log_file("minion-1").read_text()
    figure("full disk of a minion", jobs=len(times), wrong_verdicts=0, next_job_done_s=round(max(times), 2), restarts=0)
