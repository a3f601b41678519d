"""How soon the loss of a minion is known and settled, with real processes; and what is no loss."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median

import pytest

from cicd.client import Client
from cicd.clock import SystemClock
from cicd.messages.client import ListMinions, MinionPage
from cicd.messages.cluster import Connection
from cicd.plugins.child.tree import descendants
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import Repository, cluster_of, create, finish, start, until_running

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

CLOCK = SystemClock()
TICK_S = 0.25
"""How often the master looks."""
SLACK_S = 5.0
"""What a loaded machine may add; the figures of a quiet one are what is promised."""
AT_ONCE_S = 1.75
"""The same for a connection that breaks: well before silence would tell."""
QUICK_TIMES = {"heartbeat_s": 0.3, "suspect_s": 2.5, "lease_s": 3.0, "lease_margin_s": 1.0}
"""For the short form. Between silence and a broken connection a loaded machine must leave room."""
PULSE_S = 3.0
"""A jobhost that is silent for so long gets no heartbeat any more."""

BURN = """
    import os, subprocess, sys, time
    from cicd_sdk import Pipeline

    pipeline = Pipeline("burn")
    pipeline.param("seconds")
    pipeline.param("processes")

    @pipeline.job()
    def burn(ctx):
        code = "import time; end = time.monotonic() + %s\\nwhile time.monotonic() < end: pass" % ctx.params["seconds"]
        burning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(int(ctx.params["processes"]))]
        for process in burning:
            process.wait()

    if __name__ == "__main__":
        pipeline.main()
"""


def percentile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3)


class Watch:
    """Notes when the master says of which minion that it is suspect, or lost. Times count from `begin`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._begun: dict[str, float] = {}
        self.suspect: dict[str, float] = {}
        self.lost: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self._begun[name] = CLOCK.boot_s()

    def states(self) -> dict[str, Connection]:
        page = self._client.ask(ListMinions(), MinionPage)
        return {view.minion.name: view.connection for view in page.minions}

    def look(self) -> bool:
        """Look once; return whether all that were begun are lost."""
        for name, connection in self.states().items():
            if name in self._begun and connection in (Connection.SUSPECT, Connection.LOST):
                passed = CLOCK.boot_s() - self._begun[name]
                self.suspect.setdefault(name, passed)
                if connection is Connection.LOST:
                    self.lost.setdefault(name, passed)
        return self.lost.keys() == self._begun.keys()


def whole(cluster: LocalCluster, name: str) -> list[int]:
    """Return all processes of a minion, its jobhost first."""
    pid = cluster.minion_pid(name)
    return [pid, *descendants(pid)]


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_minion_that_is_gone_is_suspect_and_then_settled_in_time(size: Callable, figure: Callable) -> None:
    """Half of them are killed whole, half are stopped whole; those that come back join again."""
    full, each = size(0, 1), size(2, 3)
    times = {} if full else QUICK_TIMES
    suspect_s = times.get("suspect_s", 2.5)
    expiry_s = times.get("lease_s", 10.0) + times.get("lease_margin_s", 2.7)
    suspect: dict[int, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
    lost: dict[int, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
    with (
        cluster_of(minions=2 * each, slots=1, master_overrides={"cluster": times}) as cluster,
        cluster.client() as client,
    ):
        for _ in range(size(1, 20)):
            names = cluster.minion_names
            ends = dict.fromkeys(names[:each], signal.SIGKILL) | dict.fromkeys(names[each:], signal.SIGSTOP)
            pids = {name: whole(cluster, name) for name in names}
            watch = Watch(client)
            for name, number in ends.items():
                watch.begin(name)
                signal_all(pids[name], number)
            wait_until(watch.look, expiry_s + 30, "the minions to be lost")
            for name, number in ends.items():
                suspect[number].append(watch.suspect[name])
                lost[number].append(watch.lost[name])
                if number == signal.SIGKILL:
                    cluster.kill_minion(name)
                    cluster.start_minion(name)
                else:
                    signal_all(pids[name], signal.SIGCONT)
            cluster.wait_ready(len(names))
    for number, how in ((signal.SIGKILL, "killed"), (signal.SIGSTOP, "stopped")):
        found = {"suspect": suspect[number], "lost": lost[number]}
        figure(
            f"minion {how}",
            times=len(lost[number]),
            suspect_after_s=suspect_s,
            lost_after_s=expiry_s,
            **{f"{name}_p50_s": round(median(values), 3) for name, values in found.items()},
            **{f"{name}_p99_s": percentile(values, 0.99) for name, values in found.items()},
        )
        # A connection that breaks is seen at once; silence counts from the last heartbeat, up to one before the end.
        most_s = AT_ONCE_S if number == signal.SIGKILL else suspect_s + TICK_S + SLACK_S
        assert max(suspect[number]) < most_s
        # Whoever was ready had been heard of.
        assert min(lost[number]) > expiry_s - suspect_s - TICK_S
        assert max(lost[number]) < expiry_s + TICK_S + SLACK_S


def test_heartbeats_come_from_a_minion_whose_processors_are_busy_and_not_from_one_that_hangs(
    tmp_path: Path, size: Callable, figure: Callable
) -> None:
    """Jobs that use every processor make nobody suspect; an agent does not beat for a jobhost that cannot run."""
    repository = Repository(tmp_path / "repo")
    repository.commit(BURN)
    cpus = os.cpu_count() or 1
    seconds, processes = size(1, 60), size(2, 8) * cpus
    # In the short form other tests are about.
    suspect_s = 2.5 if size(0, 1) else 4.0
    times = {"cluster": {"suspect_s": suspect_s}}
    with cluster_of(minions=1, slots=1, master_overrides=times) as cluster, cluster.client() as client:
        create(client, "burn", repository)
        run = start(client, "burn", seconds=str(seconds), processes=str(processes))
        until_running(client, run, "burn")
        silences: list[float] = []

        def over() -> bool:
            (view,) = client.ask(ListMinions(), MinionPage).minions
            assert view.connection is Connection.READY
            silences.append(CLOCK.wall_s() - view.seen_s)
            return not view.running

        wait_until(over, seconds * 10 + 60, "the job to end")
        assert finish(client, run).run.state == "succeeded"
        figure(
            "heartbeats under load",
            seconds=seconds,
            busy_processes_per_cpu=processes // cpus,
            silence_p50_s=round(median(silences), 3),
            silence_p99_s=percentile(silences, 0.99),
            silence_max_s=round(max(silences), 3),
            false_suspects=0,
        )
        watch = Watch(client)
        watch.begin("minion-1")
        cluster.kill_minion("minion-1", signal.SIGSTOP)
        wait_until(lambda: watch.look() or watch.suspect, 60, "the minion to be suspect")
        cluster.kill_minion("minion-1", signal.SIGCONT)
        cluster.wait_ready(1)
        (passed,) = watch.suspect.values()
        figure("jobhost stopped", suspect_s=round(passed, 3))
        assert PULSE_S - 1.0 < passed < PULSE_S + 1.0 + suspect_s + TICK_S + SLACK_S
