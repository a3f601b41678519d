"""Entry point of a minion's agent: the pykka actors and sockets, in a process of their own that the jobhost starts.

    python -m cicd.agent --fd N --config FILE

`N` is the agent's end of a socketpair to the jobhost; when that closes, the agent ends. It holds nothing that must
survive. Exit codes: 0 ended on purpose; 3 the master will not have this minion; 70 a part of it failed;
75 the master does not know this minion's key: start again, to enrol anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import select
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pykka
import structlog

from cicd import __version__
from cicd.actors.base import Inbox
from cicd.actors.blob_cache import BlobCache
from cicd.actors.courier import Courier
from cicd.actors.crash import die
from cicd.actors.disk_keeper import DiskKeeper
from cicd.actors.heartbeat import Heartbeat
from cicd.actors.joining import GoneError, Joining
from cicd.actors.local_link import LocalLink
from cicd.actors.minion import LinkNews, Minion
from cicd.actors.self_health import SelfHealth
from cicd.clock import Clock, SystemClock
from cicd.config import MinionConfig, load_minion
from cicd.core.agent.steps import EXIT_ENROL, EXIT_OK, EXIT_REFUSED, BeatNow
from cicd.core.health import HealthLimits
from cicd.core.retention import DAY_S, CacheRules
from cicd.errors import CicdError
from cicd.logs import set_up_logs
from cicd.messages.base import MinionId, Wire
from cicd.messages.cluster import Disk, Load
from cicd.messages.jobhost import LOCAL_VERSION, TO_AGENT, AgentHello, DiskReport, HostHello, LogClosed, LogGrew
from cicd.messages.minion import Hello
from cicd.plugins.platform_tags import minion_tags
from cicd.transport.base import Dialer, LinkState
from cicd.transport.token import JoinToken
from cicd.transport.zmq_transport import ZmqTransport

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

FIRST_PERIOD_S = 0.2
"""Between looks at the connection before the master has said how often to beat."""
MINION_ID_FILE = "minion_id"


def measure(data_dir: Path) -> Load:
    """Return how busy this machine is; quick."""
    usage = shutil.disk_usage(data_dir)
    return Load(
        load1=os.getloadavg()[0],
        memory_free_bytes=psutil.virtual_memory().available,
        disk=Disk(total_bytes=usage.total, free_bytes=usage.free),
    )


def self_health(config: MinionConfig, clock: Clock, disk: DiskKeeper) -> SelfHealth:
    """Return what judges this machine by the configuration's limits."""
    health = config.health
    limits = HealthLimits(
        disk_percent=health.disk_percent,
        memory_percent=health.memory_percent,
        load_per_cpu=health.load_per_cpu,
        clock_off_s=health.clock_off_s,
        checks={check.name: check.failures for check in health.checks},
    )
    memory_bytes = psutil.virtual_memory().total
    return SelfHealth(limits, clock, memory_total_bytes=memory_bytes, cpus=os.cpu_count() or 0, beside=disk.reasons)


def greeting(config: MinionConfig) -> Hello:
    """Return what a Hello says of this minion that does not change.

    Raises:
        CicdError: the jobhost has not made the minion's id.
    """
    try:
        minion = MinionId((config.minion.data_dir / MINION_ID_FILE).read_text(encoding="ascii").strip())
    except OSError as error:
        raise CicdError(f"{config.minion.data_dir}: no minion id; start the minion, not the agent") from error
    return Hello(
        minion=minion,
        name=config.minion.name,
        hostname=socket.gethostname(),
        version=__version__,
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        slots=config.minion.slots,
        labels=config.minion.labels,
        tags=minion_tags(),
        python=platform.python_version(),
    )


class Agent:
    """The agent's actors and sockets.

    Args:
        sock: our end of the socketpair to the jobhost.
    """

    def __init__(self, config: MinionConfig, sock: socket.socket, clock: Clock) -> None:
        self._over = threading.Event()
        self._code = EXIT_OK
        token = JoinToken.parse(config.master.token)
        hello = greeting(config)
        tap = config.tap.address if config.tap.enabled else ""
        self._transport = ZmqTransport(clock, tap_address=tap, on_death=lambda error: die("transport", error))
        self._joining = Joining(
            self._transport,
            token,
            control=config.master.control,
            enrol=config.master.enrol,
            hello=hello,
            folder=config.minion.data_dir,
            clock=clock,
            over=lambda: _is_closed(sock),
        )
        try:
            keys = self._joining.keys()
        except CicdError:
            self._transport.close()
            raise
        self._control = self._transport.dialer(config.master.control, token.server_public, keys, name="control")
        self._bulk = self._transport.dialer(config.master.bulk, token.server_public, keys, name="bulk")
        self._to_minion: Inbox[object] = Inbox()
        self._to_courier: Inbox[object] = Inbox()
        self._host = LocalLink(sock, TO_AGENT, "jobhost", self._from_host, self._host_gone)
        data_dir = config.minion.data_dir
        cache = BlobCache(data_dir / "cache", lambda news: self._to_courier.put([news]), clock)
        retention = config.retention
        rules = CacheRules(
            cache_bytes=retention.cache_bytes,
            cache_age_s=retention.cache_days * DAY_S,
            total_bytes=config.quota.minion_bytes,
        )
        self._disk = DiskKeeper(cache, rules, clock)
        self._courier = Courier.start(
            inbox=self._to_courier,
            dialer=self._bulk,
            cache=cache,
            minion=hello.minion,
            tell_host=self._host.send,
            on_fetched=lambda fetched: self._to_minion.put([fetched]),
            clock=clock,
            die=die,
            on_disk=self._disk.keep,
        )
        self._heartbeat = Heartbeat.start(lambda: self._to_minion.put([BeatNow()]), FIRST_PERIOD_S, die)
        self._minion = Minion.start(
            inbox=self._to_minion,
            dialer=self._control,
            tell_host=self._host.send,
            fetch=lambda run_job: self._to_courier.put([run_job]),
            on_session=lambda session: self._to_courier.put([session]),
            on_period=self._heartbeat.tell,
            hello=hello,
            health=self_health(config, clock, self._disk),
            load=self._disk.filling(lambda: measure(data_dir)),
            clock=clock,
            leave=self._leave,
            die=die,
        )

    def run(self) -> int:
        """Work until it is time to leave; return the exit code."""
        _connect(self._control, self._to_minion, self._key_refused)
        _connect(self._bulk, self._to_courier)
        self._host.send(AgentHello(version=LOCAL_VERSION, pid=os.getpid()))
        self._host.start()
        self._over.wait()
        self._heartbeat.stop()
        self._minion.stop()
        self._courier.stop()
        self._control.close()
        self._bulk.close()
        self._transport.close()
        self._host.close()
        return self._code

    def _key_refused(self) -> None:
        # Not while an older master is used: it goes by the token's key, and that may be let in again.
        if self._joining.is_enrolled:
            self._leave(EXIT_ENROL, "the master does not know this minion's key")

    def _leave(self, code: int, why: str) -> None:
        if why:
            log.error("agent.leaves", reason=why)
        if code == EXIT_ENROL:
            self._joining.forget()
        self._code = code
        self._over.set()

    def _host_gone(self, error: BaseException) -> None:
        log.info("jobhost.gone", error=str(error))
        # At once: without a jobhost there is nothing to speak for.
        os._exit(EXIT_OK)

    def _from_host(self, messages: Sequence[Wire]) -> None:
        """Sort what the jobhost says: logs are the Courier's, the first word is for both, the rest the Minion's."""
        for message in messages:
            if isinstance(message, LogGrew | LogClosed | HostHello | DiskReport):
                self._to_courier.put([message])
            if isinstance(message, DiskReport):
                self._disk.take(message)
            elif not isinstance(message, LogGrew | LogClosed):
                self._to_minion.put([message])


def _is_closed(sock: socket.socket) -> bool:
    """Return whether the other end of a socketpair is gone, whatever waits to be read."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))


def _connect(dialer: Dialer, inbox: Inbox[object], refused: Callable[[], None] = lambda: None) -> None:
    def on_link(state: LinkState, detail: str) -> None:
        inbox.put([LinkNews(state, detail)])
        if state is LinkState.REFUSED:
            refused()

    dialer.start(inbox.put, on_link, lambda error: die("socket", error))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m cicd.agent", description="Started by the minion, not by hand.")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--config", type=Path, default=None)
    options = parser.parse_args(arguments)
    try:
        config = load_minion(options.config, os.environ)
        set_up_logs(config.log, role="agent")
        agent = Agent(config, socket.socket(fileno=options.fd), SystemClock())
    except GoneError:
        return EXIT_OK
    except CicdError as error:
        print(f"cicd agent: {error.message}", file=sys.stderr)  # noqa: T201  logs are not set up for certain
        return EXIT_REFUSED
    try:
        return agent.run()
    finally:
        pykka.ActorRegistry.stop_all(timeout=5)


if __name__ == "__main__":
    sys.exit(main())
