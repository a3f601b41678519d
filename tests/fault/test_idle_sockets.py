"""Connections that say nothing, or nonsense, in numbers that use up a master's descriptors: a real minion gets in."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from cicd.clock import SystemClock
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import cluster_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

CLOCK = SystemClock()
JOINED_S = 30.0
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"CURVE".ljust(20, b"\0")
_SAYINGS = (b"", b"", b"", b"GET / HTTP/1.1\r\n\r\n", _GREETING[:11], _GREETING + bytes(32))


class Idlers:
    """Keeps so many connections to a master's sockets open, saying nothing or nonsense.

    Args:
        addresses: of the sockets.
        count: of the connections.
        again: whether one that is ended is made anew at once.
    """

    def __init__(self, addresses: list[str], count: int, *, again: bool) -> None:
        parts = [address.removeprefix("tcp://").rpartition(":") for address in addresses]
        self._places = [(host, int(port)) for host, _, port in parts]
        self._count = count
        self._again = again
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._main)
        self._open: list[socket.socket] = []
        self.made = 0

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.made >= self._count, 60)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _main(self) -> None:
        try:
            while not self._over.wait(0.1):
                self._open = [each for each in self._open if not self._was_ended(each)]
                while self._wants_more() and not self._over.is_set():
                    self._begin()
        finally:
            for each in self._open:
                each.close()

    def _wants_more(self) -> bool:
        return (len(self._open) if self._again else self.made) < self._count

    def _begin(self) -> None:
        made = socket.socket()
        made.setblocking(False)  # noqa: FBT003  the standard library's signature
        made.connect_ex(self._places[self.made % len(self._places)])
        self._open.append(made)
        self.made += 1

    def _was_ended(self, connection: socket.socket) -> bool:
        try:
            said = _SAYINGS[connection.fileno() % len(_SAYINGS)]
            if said:
                connection.send(said)
            ended = connection.recv(4096) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            ended = True
        if ended:
            connection.close()
        return ended


def descriptors(cluster: LocalCluster) -> int:
    return len(list(Path(f"/proc/{cluster.master_pid}/fd").iterdir()))


def join(cluster: LocalCluster, name: str) -> float:
    """Start a minion and return how long it took until the master welcomed it."""
    began_s = CLOCK.boot_s()
    cluster.start_minion(name)

    def is_welcome() -> bool:
        cluster.check()
        return "master.welcomed_us" in cluster.log_file(name).read_text()

    wait_until(is_welcome, 240, f"{name} to join")
    return CLOCK.boot_s() - began_s


def test_idle_connections_do_not_keep_a_minion_out(
    size: Callable[[int, int], int], figure: Callable[..., None]
) -> None:
    """Whether those that are thrown out come again at once or not; and the master lives."""
    for again in (True, False)[: size(1, 2)]:
        stand(again, size, figure)


def stand(again: bool, size: Callable[[int, int], int], figure: Callable[..., None]) -> None:  # noqa: FBT001  a test's
    count, limit, times = size(400, 2000), size(320, 512), size(1, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > count + 200, "this test needs more descriptors"
    with cluster_of(minions=0) as cluster:
        alone_s = join(cluster, "before")
        joined, made, most = [], 0, 0
        for number in range(times):
            resource.prlimit(cluster.master_pid, resource.RLIMIT_NOFILE, (limit, hard))
            addresses = [cluster.endpoints[name] for name in ("control", "enrol", "bulk")]
            with Idlers(addresses, count, again=again) as idlers:
                joined.append(join(cluster, f"minion-{number}"))
                made += idlers.made
                most = max(most, descriptors(cluster))
        cluster.check()
    joined.sort()
    figure(
        "idle sockets under a descriptor limit",
        made="again and again" if again else "once",
        sockets=count,
        limit=limit,
        opened=made,
        descriptors_max=most,
        join_alone_s=round(alone_s, 2),
        join_p50_s=round(joined[len(joined) // 2], 2),
        join_max_s=round(joined[-1], 2),
        delay_max_s=round(joined[-1] - alone_s, 2),
    )
    assert joined[-1] < JOINED_S
