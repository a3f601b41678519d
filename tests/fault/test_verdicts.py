"""Jobs that die in every way, for real: whose fault it was is told, and told right. A wrong verdict is a bug."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cicd.messages.evidence import Blame, Cause
from cicd.messages.jobhost import Cancel, Fence, FenceDone, Started
from cicd.messages.run import FailureKind, Result, Status
from cicd.testing.jobhost_lab import JobhostLab
from cicd.testing.plugin_folder import make_plugin, make_sdk
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, cluster_of, create, show, start, until_running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PIPELINE = """
import ctypes, os, resource, signal, sys, threading
import cicd_sdk as ci

pipeline = ci.Pipeline("deaths")


@pipeline.job
def segv(ctx):
    ctypes.string_at(0)


@pipeline.job
def aborts(ctx):
    os.abort()


@pipeline.job
def exits(ctx):
    os._exit(7)


@pipeline.job
def exits_well(ctx):
    os._exit(0)


@pipeline.job
def raises(ctx):
    raise ValueError("no")


@pipeline.job
def command(ctx):
    ctx.run("sh", "-c", "exit 3")


@pipeline.job
def killed_command(ctx):
    ctx.run("sh", "-c", "kill -9 $$")


@pipeline.job
def memory_error(ctx):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(1 << 31)


@pipeline.job
def eats(ctx):
    eaten = []
    while True:
        eaten.append(os.urandom(1 << 20) * 8)


@pipeline.job
def waits(ctx):
    print("waiting", flush=True)
    threading.Event().wait()
"""

Verdict = tuple[Status, FailureKind, str, str]
CODE, MACHINE, NETWORK, UNCLEAR = Blame.CODE, Blame.MACHINE, Blame.NETWORK, Blame.UNCLEAR
USER, CRASH, INFRA = FailureKind.USER, FailureKind.CRASH, FailureKind.INFRASTRUCTURE

BY_ITSELF: dict[str, Verdict] = {
    "segv": (Status.FAILED, CRASH, CODE, Cause.SIGNAL),
    "aborts": (Status.FAILED, CRASH, CODE, Cause.SIGNAL),
    "exits": (Status.FAILED, CRASH, CODE, Cause.NO_RESULT),
    "exits_well": (Status.FAILED, CRASH, CODE, Cause.NO_RESULT),
    "raises": (Status.FAILED, USER, CODE, Cause.REPORTED),
    "command": (Status.FAILED, USER, CODE, Cause.REPORTED),
    "killed_command": (Status.FAILED, USER, CODE, Cause.REPORTED),
    "memory_error": (Status.FAILED, FailureKind.OUT_OF_MEMORY, CODE, Cause.OUT_OF_MEMORY),
}


def verdict(result: Result) -> Verdict:
    return result.status, result.failure_kind, result.evidence.blame, result.evidence.cause


@pytest.fixture(scope="module")
def things() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vd-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    make_sdk(folder / "sdk")
    make_plugin(folder / "plugin", PIPELINE, folder / "sdk")
    (folder / "source").mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab(things: Path) -> Iterator[JobhostLab]:
    lab = JobhostLab(things)
    try:
        yield lab
    finally:
        lab.close()


@contextlib.contextmanager
def waiting(lab: JobhostLab, index: int, **run: object) -> Iterator[tuple[str, int]]:
    """A job that waits for what is done to it; yields its id and its process."""
    job = lab.begin("waits", index, **run)
    pid = lab.talk.wait_for(Started, lambda message: message.job == job).pid
    lab.wait_for_output("waiting", job)
    yield job, pid


def test_what_a_job_does_to_itself(lab, size, figure):
    lab.start()
    rounds = size(1, 25)
    wrong = []
    for index, (name, expected) in enumerate(list(BY_ITSELF.items()) * rounds):
        result = lab.finished(lab.begin(name, index))
        if verdict(result) != expected:
            wrong.append((name, result))
    figure("job killed by itself: verdicts", deaths=len(BY_ITSELF) * rounds, wrong=len(wrong))
    assert wrong == []


def test_what_is_done_to_a_job(lab, size, figure):
    lab.start()
    rounds = size(1, 25)

    def signalled(number: int) -> Callable[[str, int], None]:
        return lambda _job, pid: os.kill(pid, number)

    def cancelled(job: str, _pid: int) -> None:
        lab.talk.send(Cancel(job=job, attempt=1, grace_s=0.2, reason="by ada"))

    def reaped(_job: str, _pid: int) -> None:
        os.kill(lab.pid_of("cicd-reaper"), signal.SIGKILL)

    cases: list[tuple[str, Callable[[str, int], None], Verdict, dict[str, float]]] = [
        ("SIGKILL", signalled(signal.SIGKILL), (Status.FAILED, CRASH, UNCLEAR, Cause.KILLED), {}),
        ("SIGHUP", signalled(signal.SIGHUP), (Status.FAILED, CRASH, UNCLEAR, Cause.KILLED), {}),
        ("SIGSEGV", signalled(signal.SIGSEGV), (Status.FAILED, CRASH, CODE, Cause.SIGNAL), {}),
        ("cancel", cancelled, (Status.CANCELLED, FailureKind.NONE, Blame.NONE, Cause.NONE), {}),
        ("reaper killed", reaped, (Status.LOST, INFRA, UNCLEAR, Cause.SUPERVISOR_KILLED), {}),
        (
            "timeout",
            lambda _job, _pid: None,
            (Status.TIMED_OUT, FailureKind.TIMEOUT, CODE, Cause.TIMEOUT),
            {"timeout_s": 0.5},
        ),
    ]
    wrong = []
    for index, (name, do, expected, run) in enumerate(cases * rounds):
        with waiting(lab, index, **run) as (job, pid):
            do(job, pid)
            result = lab.finished(job)
            if verdict(result) != expected:
                wrong.append((name, result))
    figure("job killed by others: verdicts", deaths=len(cases) * rounds, wrong=len(wrong))
    assert wrong == []


def test_what_happens_to_its_minion(lab):
    """In one life of a minion after the other: no answer, frozen, fenced, killed, stopped."""
    lab.start()
    with waiting(lab, 0) as (job, _pid):
        lab.shorten_lease(0.5)
        assert verdict(lab.finished(job)) == (Status.LOST, INFRA, NETWORK, Cause.LEASE)
    lab.session += 1
    lab.grant(60)
    with waiting(lab, 1) as (job, _pid):
        lab.shorten_lease(0.5)
        over = lab.clock.boot_s() + 2.5
        lab.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not lab.alive() and lab.clock.boot_s() > over, 20, "the end of the job by its reaper")
        lab.process.send_signal(signal.SIGCONT)
        result = lab.finished(job)
        assert verdict(result) == (Status.LOST, INFRA, MACHINE, Cause.LEASE)
        assert result.evidence.stalled_s >= 1.0
    lab.session += 1
    lab.grant(60)
    with waiting(lab, 2) as (job, _pid):
        lab.talk.send(Fence())
        assert verdict(lab.finished(job)) == (Status.LOST, INFRA, UNCLEAR, Cause.FENCED)
        lab.talk.wait_for(FenceDone)
    lab.session += 1
    lab.grant(60)
    with waiting(lab, 3) as (job, _pid):
        lab.process.kill()
        lab.process.wait()
        lab.start()
        dead = next(entry.result for entry in lab.talk.hello.entries if entry.job == job)
        assert dead is not None
        assert verdict(dead) == (Status.LOST, INFRA, MACHINE, Cause.JOBHOST_ENDED)
    with waiting(lab, 4) as (job, _pid):
        lab.process.terminate()
        assert verdict(lab.finished(job)) == (Status.LOST, INFRA, MACHINE, Cause.STOPPED)


# ---- out of memory -------------------------------------------------------------------------------------

_LIMIT_BYTES = 256 * 1024 * 1024


def _memory_cgroup() -> tuple[Path, Path] | None:
    """Return the folder of this process's memory cgroup and a new one below it; None: none can be made here."""
    root = Path("/sys/fs/cgroup/memory")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line.split(":", 2)[2] for line in lines if ":memory:" in line)
        parent = root / own.lstrip("/")
        made = parent / f"cicd-test-{os.getpid()}"
        made.mkdir()
    except (OSError, StopIteration):
        return None
    try:
        (made / "memory.limit_in_bytes").write_text(str(_LIMIT_BYTES))
    except OSError:
        made.rmdir()
        return None
    return parent, made


def test_out_of_memory_is_told_from_other_kills(lab, figure):
    """With a memory cgroup the kernel kills for real; where none can be made, that part has nothing to show."""
    cgroups = _memory_cgroup()
    if cgroups is None:
        figure("job out of memory: verdict", possible=False, why="no memory cgroup can be made here")
        return
    parent, made = cgroups
    try:
        (made / "cgroup.procs").write_text(str(os.getpid()))  # children are born into it
        try:
            lab.start()
        finally:
            (parent / "cgroup.procs").write_text(str(os.getpid()))
        with waiting(lab, 1) as (other, pid):
            result = lab.finished(lab.begin("eats", 0))
            assert verdict(result) == (Status.FAILED, FailureKind.OUT_OF_MEMORY, CODE, Cause.OUT_OF_MEMORY)
            assert result.evidence.oom_kills == 1
            assert result.evidence.oom_scope == "cgroup"
            assert result.evidence.memory_bytes == _LIMIT_BYTES
            os.kill(pid, signal.SIGKILL)  # while it ran there was a kill for memory, but another's
            assert verdict(lab.finished(other)) == (Status.FAILED, CRASH, UNCLEAR, Cause.KILLED)
        figure("job out of memory: verdict", possible=True, wrong=0)
    finally:
        lab.close()
        lab.folder.mkdir(exist_ok=True)  # the fixture closes it too
        wait_until(lambda: not (made / "cgroup.procs").read_text(), 10)
        made.rmdir()


# ---- a minion that is lost -----------------------------------------------------------------------------

WAITS = """
    import cicd_sdk as ci
    import threading

    pipeline = ci.Pipeline("waits")


    @pipeline.job(idempotent=False)
    def waits(ctx):
        threading.Event().wait()
"""


@pytest.mark.leaks("folder", "a minion that is killed cannot remove the folder of its sockets")
def test_a_lost_minion_is_told_with_its_silence_and_revised_when_it_is_back(tmp_path):
    repository = Repository(tmp_path / "repo")
    repository.commit(WAITS)
    with cluster_of(minions=2, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "waits", repository)
        runs = [start(client, "waits") for _ in range(2)]
        views = [until_running(client, run, "waits") for run in runs]

        def told(run: str) -> Result | None:
            return show(client, run).jobs[0].attempts[0].result

        killed, frozen = (view.job.minion_name for view in views)
        pids = [cluster.minion_pid(frozen), cluster.agent_pid(frozen)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        cluster.kill_minion(killed)
        wait_until(lambda: told(runs[0]) and told(runs[1]), 30, "both to be lost")
        results = [told(run) for run in runs]
        assert [result.evidence.cause for result in results] == [Cause.SILENCE] * 2
        assert [result.evidence.blame for result in results] == [MACHINE, UNCLEAR]
        assert [result.evidence.closed for result in results] == [True, False]
        for result in results:
            assert result.evidence.missed_beats >= 5
            assert result.evidence.heard_s > 0
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: told(runs[1]).evidence.cause == Cause.LEASE, 30, "a better verdict")
        revised = told(runs[1])
        assert revised.evidence.blame == MACHINE
        assert revised.evidence.stalled_s >= 1.0
        assert revised.evidence.heard_s == results[1].evidence.heard_s
