"""`make bench`: the system beside the raw limits of this machine, one JSON line each; the last line holds the ratios.

The machine is noisy: compare the ratios, and figures of one run only.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench import jobs, limits
from bench.figures import Figure, emit


def main() -> None:
    """Measure everything; about two minutes at most."""
    _machine("begin")
    raw_trip = limits.raw_round_trip(3000)
    our_trip = limits.our_round_trip(3000)
    raw_one, our_one = limits.raw_commit(500, 1), limits.our_commit(500, 1)
    raw_many, our_many = limits.raw_commit(200, 100), limits.our_commit(200, 100)
    fork = limits.fork(300)
    with tempfile.TemporaryDirectory(prefix="cb-") as folder, jobs.cluster(Path(folder), (1, 5, 1000)) as client:
        latency = jobs.latency(client, count=300, limit_s=20)
        jobs.one_run(client, 1000)
        jobs.many_runs(client, 200, 5, limit_s=60)
    _machine("end")
    # What no design can do without: there and back between client and master and between master and minion, the run
    # and its result made durable, and a process.
    floor_ms = 2 * _p50(raw_trip) + 2 * _p50(raw_one) + _p50(fork)
    emit(
        "ratios",
        round_trip_ours_to_raw=_p50(our_trip) / _p50(raw_trip),
        commit_ours_to_raw=_p50(our_one) / _p50(raw_one),
        commit_of_100_ours_to_raw=_p50(our_many) / _p50(raw_many),
        noop_job_floor_ms=floor_ms,
        noop_job_to_floor=_p50(latency) / floor_ms,
    )


def _machine(when: str) -> None:
    # Limits are measured before the jobs: where the load differs between the two, the ratios between them mean little.
    emit("machine", when=when, processors=os.cpu_count(), load_1min=os.getloadavg()[0])


def _p50(figure: Figure) -> float:
    value = figure["p50_ms"]
    assert isinstance(value, float)
    return value


if __name__ == "__main__":
    main()
