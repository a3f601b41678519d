"""A network that breaks between the master and a minion, both ways, one way, again and again: real, in namespaces."""

from __future__ import annotations

import pytest

from cicd.messages.client import ListMinions, MinionPage
from cicd.messages.cluster import Connection
from cicd.messages.run import JobState
from cicd.testing.free_ports import free_ports
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, cluster_of, create, finish, start, until_running
from networks import Networks, missing
from witness import CLOCK, Witness, pass_time, percentiles, pipeline

WHY_NOT = missing()

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(14_400),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.xdist_group("networks"),
]

NAMES = ["minion-1", "minion-2"]
WAYS = {
    "both ways": {},
    "what it says": {"to_minion": False},
    "what it is told": {"to_master": False},
}


def listen(networks: Networks) -> dict[str, str]:
    """Return addresses in the master's namespace: what is free here is free there."""
    keys = ("control", "bulk", "client", "enrol")
    return {key: f"tcp://{networks.master}:{port}" for key, port in zip(keys, free_ports(4), strict=True)}


def connection(client, name: str) -> Connection:
    page = client.ask(ListMinions(), MinionPage)
    return next(view.connection for view in page.minions if view.minion.name == name)


def test_partitions_are_noticed_and_never_let_two_attempts_act(tmp_path, size, figure):
    """The job is given to another; what comes back when the network heals is refused and ended."""
    rounds = size(1, 20)
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    witness = Witness(tmp_path / "witness")
    suspect_s: list[float] = []
    lost_s: list[float] = []
    stale = 0
    with (
        Networks(NAMES) as networks,
        cluster_of(
            minions=2, slots=2, wrap=networks.wrap, master_overrides={**QUICK_LEASES, "listen": listen(networks)}
        ) as cluster,
        cluster.client() as client,
    ):
        create(client, "witness", repository)
        for _ in range(rounds):
            for way in list(WAYS.values())[: size(1, 3)]:
                run = start(client, "witness", file=str(witness.path), hold="6", beat="0.05")
                first = until_running(client, run, "work").job.minion_name
                witness.wait_for_start(run)
                networks.cut(first, **way)
                cut_s = CLOCK.boot_s()
                wait_until(lambda first=first: connection(client, first) is not Connection.READY, 30)
                suspect_s.append(CLOCK.boot_s() - cut_s)
                wait_until(lambda first=first: connection(client, first) is Connection.LOST, 30)
                lost_s.append(CLOCK.boot_s() - cut_s)
                witness.wait_for_start(run, 2)
                networks.heal(first)
                (view,) = finish(client, run).jobs
                assert (view.job.state, view.job.attempt) == (JobState.SUCCEEDED, 2)
                stale += view.job.minion_name == first
                cluster.wait_ready(2)
    figure(
        "partitions, healed after the job was given to another",
        partitions=len(lost_s),
        overlaps=witness.overlaps(),
        stale_results_accepted=stale,
        leases=QUICK_LEASES["cluster"],
        suspect=percentiles(suspect_s),
        lost=percentiles(lost_s),
    )
    assert (witness.overlaps(), stale) == (0, 0)


def test_a_network_that_flaps_costs_no_attempt(tmp_path, size, figure):
    """Cuts that are shorter than the lease: the job never notices."""
    flaps = size(2, 100)
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    witness = Witness(tmp_path / "witness")
    with (
        Networks(NAMES) as networks,
        cluster_of(minions=2, slots=1, wrap=networks.wrap, master_overrides={"listen": listen(networks)}) as cluster,
        cluster.client() as client,
    ):
        create(client, "witness", repository)
        run = start(client, "witness", file=str(witness.path), hold=str(flaps * 1.4 + 1))
        name = until_running(client, run, "work").job.minion_name
        for _ in range(flaps):
            networks.cut(name)
            pass_time(0.7)
            networks.heal(name)
            pass_time(0.7)
        (view,) = finish(client, run).jobs
    figure("a network that flaps", flaps=flaps, attempts=view.job.attempt)
    assert (view.job.state, view.job.attempt, view.job.lost) == (JobState.SUCCEEDED, 1, 0)
