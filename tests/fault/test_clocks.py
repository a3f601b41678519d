"""A wall clock that jumps, by an hour and by years, forth and back: leases do not notice."""

from __future__ import annotations

import pytest

from cicd.messages.client import ListMinions, MinionPage
from cicd.messages.run import JobState
from e2e import Repository, cluster_of, create, finish, start, until_running
from witness import CLOCK, Witness, pass_time, pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(14_400)]

SHIFTED = """
import datetime, os, time

_time, _time_ns, _file = time.time, time.time_ns, {file!r}


def _shift():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + int(_shift() * 1e9)
"""
"""A `sitecustomize` that moves the wall clock of every Python process that sees it, by what a file says."""

HOUR, YEAR = 3600.0, 365 * 86400.0


def test_a_wall_clock_that_jumps_has_no_effect_on_leases(tmp_path, size, figure):
    """Master and minion both, while a job runs: no loss, no suspicion, the same attempt."""
    jumps = [HOUR, -YEAR] if size(0, 1) == 0 else [HOUR, -HOUR, YEAR, -YEAR, 10 * YEAR, -10 * YEAR]
    offset = tmp_path / "offset"
    offset.write_text("0")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SHIFTED.format(file=str(offset)))
    repository = Repository(tmp_path / "repo")
    repository.commit(pipeline())
    witness = Witness(tmp_path / "witness")
    with (
        cluster_of(minions=2, slots=1, env={"PYTHONPATH": str(site)}) as cluster,
        cluster.client() as client,
    ):
        create(client, "witness", repository)
        run = start(client, "witness", file=str(witness.path), hold=str(len(jumps) * 1.5 + 1))
        until_running(client, run, "work")
        for jump in jumps:
            offset.write_text(str(jump))
            pass_time(1.5)
            page = client.ask(ListMinions(), MinionPage)
            assert [view.connection for view in page.minions] == ["ready", "ready"]
        (view,) = finish(client, run).jobs
        # The clocks have really moved, in the master and on the minion: what they wrote down says so.
        assert abs(view.job.finished_s - CLOCK.wall_s() - jumps[-1]) < HOUR / 2
        assert abs(view.attempts[0].result.finished_s - CLOCK.wall_s() - jumps[-1]) < HOUR / 2
        effects = view.job.attempt - 1 + view.job.lost
    figure("wall clock moved", jumps=len(jumps), effects=effects)
    assert (view.job.state, effects) == (JobState.SUCCEEDED, 0)
