"""A witness outside the system: what jobs really did, held against what people were promised.

Jobs append `run job attempt start|alive|end boottime` to a file by one `write` each, and a `Load` keeps a ledger
of the runs whose start was acknowledged. The two are compared; the system's own store is not asked.
"""

from __future__ import annotations

import random  # noqa: TID251  seeded: the same in every run
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

from cicd.client import Client
from cicd.clock import SystemClock
from cicd.errors import CicdError
from cicd.messages.client import RunAnswer, StartRun
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until

CLOCK = SystemClock()

PIPELINE = """
import os, subprocess, time
import cicd_sdk as ci

pipeline = ci.Pipeline("witness")
pipeline.param("file", required=True)
pipeline.param("hold", default=0.0, description="seconds that it takes")
pipeline.param("beat", default=0.0, description="seconds between two signs of life; 0: none")
pipeline.param("children", default=0, description="how many processes it leaves behind, each in a session of its own")


def say(ctx, what):
    line = f"{ctx.run_id} {ctx.job} {ctx.attempt} {what} {time.clock_gettime(time.CLOCK_BOOTTIME)}\\n"
    file = os.open(ctx.params["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@pipeline.job(idempotent=IDEMPOTENT)
def work(ctx: ci.Context) -> None:
    say(ctx, "start")
    for number in range(3):
        print("line", number, flush=True)
    for _ in range(ctx.params["children"]):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    over = time.monotonic() + ctx.params["hold"]
    while (left := over - time.monotonic()) > 0:
        time.sleep(min(left, ctx.params["beat"] or left))
        if ctx.params["beat"]:
            say(ctx, "alive")
    say(ctx, "end")


if __name__ == "__main__":
    pipeline.main()
"""


def pipeline(*, idempotent: bool = True) -> str:
    """Return the source of a pipeline of one job, `work`, that tells the witness."""
    return PIPELINE.replace("IDEMPOTENT", str(idempotent))


@dataclass(frozen=True)
class Statement:
    """A line of the witness's file."""

    run: str
    job: str
    attempt: int
    what: str
    boot_s: float


@dataclass
class Witness:
    """The file that jobs write to."""

    path: Path

    def statements(self) -> list[Statement]:
        """Return everything that was said, in the order of the file."""
        if not self.path.exists():
            return []
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return [Statement(run, job, int(attempt), what, float(at)) for run, job, attempt, what, at in lines]

    def starts(self) -> Counter[str]:
        """Return how many attempts of each run have started."""
        return Counter(one.run for one in self.statements() if one.what == "start")

    def wait_for_start(self, run: str, count: int = 1) -> None:
        """Wait until as many attempts of a run have begun to act: later than their processes exist."""
        wait_until(lambda: self.starts()[run] >= count, 60, f"attempt {count} of {run}")

    def ends(self) -> Counter[str]:
        """Return how many attempts of each run have come to their end."""
        return Counter(one.run for one in self.statements() if one.what == "end")

    def overlaps(self) -> int:
        """Return how often two attempts of a job acted at the same time; without an end: until its last word."""
        acted: dict[tuple[str, str, int], tuple[float, float]] = {}
        for one in self.statements():
            key = (one.run, one.job, one.attempt)
            acted[key] = (acted.get(key, (one.boot_s, 0.0))[0], one.boot_s)
        spans: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for (run, job, _), span in acted.items():
            spans.setdefault((run, job), []).append(span)
        count = 0
        for several in spans.values():
            several.sort()
            count += sum(later[0] < earlier[1] for earlier, later in pairwise(several))
        return count


@dataclass
class Load:
    """Starts runs at a steady rate from a thread of its own, through whatever happens to the master.

    Args:
        cluster: whose master is asked.
        params: of each run.
        rate: runs a second.
    """

    cluster: LocalCluster
    params: dict[str, str]
    rate: float
    pipeline: str = "witness"
    acknowledged: list[tuple[float, str]] = field(default_factory=list)
    """When (boot time) and which run."""
    _over: threading.Event = field(default_factory=threading.Event)
    _fault: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._main, name="load")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._fault:
            raise self._fault[0]

    def _main(self) -> None:
        try:
            with self.cluster.client() as client:
                number = 0
                while not self._over.wait(1 / self.rate):
                    number += 1
                    self._start(client, f"load-{number}")
        except BaseException as error:  # noqa: BLE001  raised again where the load is stopped
            self._fault.append(error)

    def _start(self, client: Client, request: str) -> None:
        while True:  # the request's id makes it safe to ask again
            try:
                call = StartRun(pipeline=self.pipeline, params=self.params, request=request)
                run = client.ask(call, RunAnswer, timeout_s=30).run
            except CicdError as error:
                if not error.retryable:
                    raise
                if self._over.is_set():
                    return  # not acknowledged: nothing was promised
            else:
                self.acknowledged.append((CLOCK.boot_s(), run.id))
                return

    def runs(self) -> list[str]:
        """Return the acknowledged runs."""
        return [run for _, run in self.acknowledged]

    def wait_for_answer_after(self, boot_s: float, timeout_s: float = 60.0) -> float:
        """Wait until a run is acknowledged after a moment, and return when that was (boot time)."""
        return wait_until(
            lambda: next((at for at, _ in list(self.acknowledged) if at > boot_s), None),
            timeout_s,
            "a run to be accepted",
        )


@dataclass
class Dice:
    """Seeded chance: the same in every run."""

    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  no secret

    def between(self, least: float, most: float) -> float:
        """Return a number between two."""
        return self._random.uniform(least, most)

    def pick(self, things: list[str]) -> str:
        """Return one of some things."""
        return self._random.choice(things)


def pass_time(seconds: float) -> None:
    """Let real time pass: a fault comes at a moment of its own, not when something is ready for it."""
    threading.Event().wait(seconds)


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and the greatest, rounded to milliseconds."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)

    return {"p50_s": at(0.5), "p99_s": at(0.99), "max_s": round(ordered[-1], 3)}
