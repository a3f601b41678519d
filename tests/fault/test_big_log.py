"""A job that prints far more than memory holds: the log is whole and in order, and no process grows by it."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from cicd.clock import SystemClock
from cicd.messages.client import LogEndInfo, LogText, ReadLog
from e2e import Repository, cluster_of, create, finish, start

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

MIB = 1024 * 1024
MOST_GROWTH_BYTES = 64 * MIB

PIPELINE = """
    import cicd_sdk as ci
    import os

    pipeline = ci.Pipeline("big")
    lines = pipeline.param("lines", type=int)


    @pipeline.job
    def small(ctx):
        print("warm")


    @pipeline.job
    def big(ctx):
        for first in range(0, ctx.params["lines"], 1000):
            block = b"".join(b"line %09d of a log that is long, and whose order is held against it\\n" % number
                             for number in range(first, min(first + 1000, ctx.params["lines"])))
            while block:
                block = block[os.write(1, block):]
"""


def line(number: int) -> bytes:
    return b"line %09d of a log that is long, and whose order is held against it\n" % number


class Memory:
    """The most that some processes ever held, above what they held at the beginning."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._begin = {name: _rss_bytes(pid) for name, pid in pids.items()}
        self._most = dict(self._begin)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for name, pid in self._pids.items():
                self._most[name] = max(self._most[name], _rss_bytes(pid))

    def growth(self) -> dict[str, int]:
        """Stop; return how much each grew at most, in bytes."""
        self._over.set()
        self._thread.join()
        return {name: self._most[name] - self._begin[name] for name in self._pids}


def _rss_bytes(pid: int) -> int:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("VmRSS:"):
            return int(text.split()[1]) * 1024
    return 0


def test_a_big_log_is_whole_in_order_and_breaks_no_memory(tmp_path, size, figure):
    wanted = size(24 * MIB, 1024 * MIB)
    lines = wanted // len(line(0)) + 1
    clock = SystemClock()
    repository = Repository(tmp_path / "repo")
    repository.commit(PIPELINE)
    with cluster_of(minions=1) as cluster, cluster.client() as client:
        create(client, "big", repository)
        finish(client, start(client, "big", lines="20000"))  # whatever is loaded late is loaded
        (name,) = cluster.minion_names
        pids = {"master": cluster.master_pid, "jobhost": cluster.minion_pid(name), "agent": cluster.agent_pid(name)}
        memory = Memory(pids)
        try:
            began_s = clock.boot_s()
            run = start(client, "big", lines=str(lines))
            digest = hashlib.sha256()
            expected = hashlib.sha256()
            number, rest, end = 0, b"", None
            for answer in client.stream(ReadLog(run=run, job="big", follow=True)):
                if isinstance(answer, LogText):
                    digest.update(answer.data)
                    *whole, rest = (rest + answer.data).split(b"\n")
                    for text in whole:
                        assert text + b"\n" == line(number)
                        expected.update(line(number))
                        number += 1
                elif isinstance(answer, LogEndInfo):
                    end = answer
            took_s = clock.boot_s() - began_s
        finally:
            growth = memory.growth()
        answer = finish(client, run)
        result = next(view.attempts[-1].result for view in answer.jobs if view.job.name == "big")
    assert (number, rest) == (lines, b"")
    assert end is not None
    assert end.complete, end
    assert end.sha256 == digest.hexdigest() == expected.hexdigest() == result.log_sha256
    assert end.lines == lines
    figure(
        "one job prints without end",
        mib=round(wanted / MIB),
        lines=lines,
        lines_per_s_to_the_reader=round(lines / took_s),
        lines_per_s_of_the_job=round(lines / max(result.run_s, 0.001)),
        mib_per_s=round(wanted / MIB / took_s, 1),
        **{f"{name}_grew_mib": round(grew / MIB, 1) for name, grew in growth.items()},
    )
    for name, grew in growth.items():
        assert grew <= MOST_GROWTH_BYTES, f"{name} grew by {grew / MIB:.0f} MiB"
