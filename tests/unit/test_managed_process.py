"""Processes that are started again, end when told to, and outlive nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd.testing.free_ports import free_ports
from cicd.testing.managed_process import ManagedProcess, ProcessEndedError
from cicd.testing.waiting import wait_until

STUBBORN = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def process(tmp_path: Path, program: str) -> ManagedProcess:
    command = [sys.executable, "-I", "-c", program]
    return ManagedProcess("sleeper", command, log=tmp_path / "logs" / "x.log", folder=tmp_path, env=dict(os.environ))


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ManagedProcess]:
    sleeper = process(tmp_path, "import time; print('up', flush=True); time.sleep(600)")
    yield sleeper
    sleeper.kill()


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_it_is_the_program_itself_and_no_helper_in_between(sleeper):
    pid = sleeper.start()
    wait_until(lambda: "up" in sleeper.tail())
    assert b"tether" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert sleeper.pid == pid
    assert sleeper.start() == pid
    assert os.getsid(pid) == pid


def test_a_death_is_noticed_and_told_with_the_last_words(tmp_path):
    dying = process(tmp_path, "import sys; print('first'); print('what a pity', file=sys.stderr); sys.exit(3)")
    assert not dying.has_died
    dying.start()
    wait_until(lambda: dying.has_died)
    with pytest.raises(ProcessEndedError, match=r"(?s)sleeper ended with exit code 3; .*x\.log\):\n.*what a pity"):
        dying.check()
    with pytest.raises(ProcessEndedError):
        _ = dying.pid


def test_an_end_that_was_asked_for_is_no_death(sleeper):
    sleeper.start()
    sleeper.kill(signal.SIGKILL)
    assert not sleeper.is_running
    assert not sleeper.has_died
    sleeper.check()
    assert sleeper.ending() == "by SIGKILL"


def test_a_signal_that_does_not_end_it_is_not_waited_for(sleeper):
    pid = sleeper.start()
    sleeper.kill(signal.SIGSTOP)
    wait_until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text())
    assert sleeper.is_running
    assert sleeper.end(10)  # though it was stopped


def test_who_does_not_end_is_killed(tmp_path):
    stubborn = process(tmp_path, STUBBORN)
    stubborn.start()
    wait_until(lambda: "up" in stubborn.tail())
    with pytest.raises(ProcessEndedError, match=r"has not ended for 0\.1 s") as caught:
        stubborn.kill(signal.SIGTERM, timeout_s=0.1)
    assert caught.value.code == "still_there"
    assert not stubborn.end(0.1)
    assert not stubborn.is_running


def test_its_log_goes_on_over_its_starts(sleeper):
    for said in ("  up", "  up\n  up"):
        sleeper.start()
        wait_until(lambda said=said: sleeper.tail() == said)
        sleeper.kill()
    assert sleeper.tail() == "  up\n  up"


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
sys.path[:0] = {sys.path!r}
from cicd.testing.managed_process import ManagedProcess
child = ManagedProcess("c", [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
    log=Path({str(tmp_path)!r}) / "c.log", folder=Path("/"), env={{}})
print(child.start(), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        wait_until(lambda: (tmp_path / "c.log").read_text() == "up\n")
        parent.kill()
        parent.wait()
    wait_until(lambda: not exists(child))


def test_ports_are_free_different_and_not_for_outgoing_connections():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(10_000 <= port < lowest for port in ports)
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
