"""Entry point of the master: reads its configuration, builds the actors, waits for a signal.

    python -m cicd.master --config FILE

Exit codes: 0 ended by a signal; 2 wrong arguments or configuration; 4 it may not run here (another master uses the data
folder, a store of another schema, an address in use); 70 a part of it failed: start it again.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pykka
import structlog

from cicd.actors.archive import Archive, LogNews
from cicd.actors.base import Inbox
from cicd.actors.build_host import BuildHost, spawn_build_host
from cicd.actors.crash import die
from cicd.actors.desk.calls import Calls
from cicd.actors.desk.client_desk import ClientDesk, News
from cicd.actors.desk.tools import About, Tools
from cicd.actors.drops import Drops
from cicd.actors.endpoints import Endpoints, publish
from cicd.actors.enroller import Enroller
from cicd.actors.explainer import Explainer, ExplainerClient
from cicd.actors.gate import Gate
from cicd.actors.heartbeat import HeartbeatMonitor
from cicd.actors.janitor import DiskLook, Janitor
from cicd.actors.log_files import LogFiles
from cicd.actors.minion_registry import MinionRegistry
from cicd.actors.pipeline_compiler import PipelineCompiler
from cicd.actors.recovery import restore
from cicd.actors.routes import Routes
from cicd.actors.scheduler import Scheduler, SchedulerClient
from cicd.actors.store import Store, StoreClient
from cicd.clock import SystemClock
from cicd.config import ConfigError, MasterConfig, arguments, load_master
from cicd.core.cluster import Cluster
from cicd.core.events import Event, Now
from cicd.core.settings import CoreSettings
from cicd.errors import CicdError
from cicd.ids import IdSource
from cicd.logs import set_up_logs
from cicd.messages.base import Wire
from cicd.messages.pipeline import Source
from cicd.plugins.repository import make_source
from cicd.replay.files import DAY_S, Limits
from cicd.replay.reader import JOURNAL
from cicd.replay.writer import InputJournal
from cicd.storage.lmdb import LmdbStorage
from cicd.storage.room import Room
from cicd.transport.base import Delivery, Listener, PeerEvent
from cicd.transport.curve import KeyPair, load_or_create_keys
from cicd.transport.policy import CLIENT_DOMAIN, ENROL_DOMAIN, MINION_DOMAIN, KeyRing
from cicd.transport.token import new_token
from cicd.transport.zmq_transport import ZmqTransport

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_REFUSED = 4
# The enrol socket before control: a minion that finds control alone takes the master for an older one.
_DOMAINS = {"enrol": ENROL_DOMAIN, "control": MINION_DOMAIN, "bulk": MINION_DOMAIN, "client": CLIENT_DOMAIN}


class Master:
    """The master's actors and sockets, in the order of recovery: store, active runs, then sockets, then time.

    Args:
        process: the build host, started before any thread was.
        build_sock: our end of its socketpair.
    """

    def __init__(
        self, config: MasterConfig, process: subprocess.Popen[bytes], build_sock: socket.socket, clock: SystemClock
    ) -> None:
        data_dir = config.master.data_dir
        ids = IdSource(clock)
        started_s = clock.wall_s()

        room = Room(data_dir, config.store.reserve_bytes)
        self.storage = LmdbStorage(data_dir / "store", max_size_bytes=config.store.max_size_bytes)
        settings = CoreSettings(
            heartbeat_s=config.cluster.heartbeat_s,
            suspect_s=config.cluster.suspect_s,
            lease_s=config.cluster.lease_s,
            lease_margin_s=config.cluster.lease_margin_s,
            job_timeout_s=config.cluster.job_timeout_s,
            cancel_grace_s=config.cluster.cancel_grace_s,
            run_timeout_s=config.runs.timeout_s,
        )
        now = Now(boot_s=clock.boot_s(), wall_s=started_s)
        cluster = restore(self.storage, settings, now)
        self.journal = _journal(config, cluster, now)

        self.keyring = KeyRing()
        server_keys, operator_keys = _keys(data_dir / "keys")
        self.keyring.add(CLIENT_DOMAIN, operator_keys.public, config.master.operator)

        tap = config.tap.address if config.tap.enabled else ""
        self.transport = ZmqTransport(clock, self.keyring, tap_address=tap, on_death=lambda e: die("transport", e))
        listen = config.listen
        sockets = {name: self._listen(getattr(listen, name), server_keys, name) for name in _DOMAINS}
        self._enrol, self._control, self._bulk, self._client = sockets.values()

        events: Inbox[Event] = Inbox()
        self._control_in: Inbox[Delivery | PeerEvent] = Inbox()
        self._bulk_in: Inbox[Delivery | PeerEvent] = Inbox()
        self._enrol_in: Inbox[Delivery | PeerEvent] = Inbox()
        self._desk_in: Inbox[News] = Inbox()
        built: Inbox[Wire] = Inbox()
        routes = Routes(self.transport.name_peer)
        gate = Gate(self.keyring, self._enrol, (self._control, self._bulk), routes)
        gate.load(cluster)
        drops = Drops(sockets)
        logs = LogFiles(data_dir / "logs")

        store_actor = Store.start(self.storage, die, room)
        store = StoreClient(store_actor)
        scheduler_actor = Scheduler.start(
            cluster=cluster,
            inbox=events,
            store=store,
            listener=self._control,
            routes=routes,
            clock=clock,
            on_reply=lambda reply: self._desk_in.put([reply]),
            on_saved=lambda plan: self._desk_in.put([plan]),
            die=die,
            decide=self.journal.handle if self.journal is not None else None,
            gate=gate,
        )
        scheduler = SchedulerClient(scheduler_actor)
        registry = MinionRegistry.start(
            self._control_in, events, self._control, routes, die, dropped=drops.of["control"]
        )
        enroller = Enroller.start(self._enrol_in, events, self._enrol, drops.of["enrol"], die)
        archive = Archive.start(
            inbox=self._bulk_in,
            listener=self._bulk,
            storage=self.storage,
            store=store,
            logs=logs,
            data_dir=data_dir,
            on_log=self._on_log,
            die=die,
            dropped=drops.of["bulk"],
        )
        self._build_host = BuildHost(process, build_sock, built, die)

        def source(repository: str, ref: str, path: str) -> Source:
            compiler = config.compiler
            return make_source(
                repository, ref, path, allowed_hosts=compiler.allowed_hosts, allow_local=compiler.allow_local
            )

        compiler = PipelineCompiler.start(
            inbox=built,
            build_host=self._build_host,
            storage=self.storage,
            store=store,
            scheduler=scheduler,
            make_source=source,
            data_dir=data_dir,
            clock=clock,
            ids=ids,
            on_built=lambda pipeline: self._desk_in.put([pipeline]),
            die=die,
        )
        self.endpoints = Endpoints.of(
            self._control, self._bulk, self._client, enrol=self._enrol, tap=tap, advertise=listen.advertise
        )

        def token_for_minions() -> tuple[str, str, str]:
            token = new_token(server_keys.public)
            return token.id, token.client_keys().public, token.render()

        explainer = Explainer.start(data_dir / JOURNAL, self.journal, clock, die)
        look = DiskLook(data_dir, room, clock)
        tools = Tools(
            disk=lambda: look.now,
            storage=self.storage,
            store=store,
            scheduler=scheduler,
            explainer=ExplainerClient(explainer),
            events=events,
            compiler=compiler,
            logs=LogFiles(data_dir / "logs"),
            new_token=token_for_minions,
            clock=clock,
            ids=ids,
            about=About(started_s=started_s, data_dir=data_dir, endpoints=self.endpoints.addresses()),
            dropped=lambda: drops.totals() | {"control.not_accepted": cluster.book.refused},
        )
        desk = ClientDesk.start(self._desk_in, self._client, Calls(tools, room), clock, die, dropped=drops.of["client"])
        # In the order in which they are stopped: who asks others goes before those it asks.
        self._actors: list[pykka.ActorRef[Any]] = [
            HeartbeatMonitor.start(events, clock, die),
            Janitor.start(
                storage=self.storage,
                store=store,
                clock=clock,
                data_dir=data_dir,
                rules=config.retention,
                look=look,
                die=die,
            ),
            desk,
            compiler,
            registry,
            enroller,
            archive,
            explainer,
            scheduler_actor,
            store_actor,
        ]
        publish(data_dir, self.endpoints, config.master.operator, server_keys.public, operator_keys)

    def _listen(self, address: str, keys: KeyPair, name: str) -> Listener:
        return self.transport.listener(address, keys, _DOMAINS[name], name=name)

    def _on_log(self, news: list[LogNews]) -> None:
        self._desk_in.put(news)

    def start(self) -> None:
        """Let frames in."""
        self._build_host.start()
        _open(self._enrol, self._enrol_in)
        _open(self._control, self._control_in)
        _open(self._bulk, self._bulk_in)
        _open(self._client, self._desk_in)
        log.info("master.ready", **self.endpoints.addresses())

    def stop(self) -> None:
        """End everything; what is committed stays."""
        for actor in self._actors:
            actor.stop(timeout=10)
        if self.journal is not None:
            self.journal.close()
        for listener in (self._client, self._control, self._bulk, self._enrol):
            listener.close()
        self.transport.close()
        self._build_host.close()
        self.storage.close()


def _keys(folder: Path) -> tuple[KeyPair, KeyPair]:
    """Return the server's and the operator's pair; the first start makes them."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return load_or_create_keys(folder / "server.toml"), load_or_create_keys(folder / "operator.toml")


def _journal(config: MasterConfig, cluster: Cluster, now: Now) -> InputJournal | None:
    """Begin the journal of the core's inputs, if one is to be kept."""
    kept = config.journal
    if not kept.enabled:
        return None
    limits = Limits(
        max_bytes=kept.max_bytes,
        max_age_s=kept.max_days * DAY_S,
        keep_free_bytes=config.store.reserve_bytes,
    )
    return InputJournal(config.master.data_dir / JOURNAL, cluster, now, limits)


def _open(listener: Listener, inbox: Inbox[Any]) -> None:
    listener.start(inbox.put, lambda event: inbox.put([event]), lambda error: die("socket", error))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a master until SIGTERM or SIGINT; return its exit code."""
    given = sys.argv[1:] if argv is None else argv
    config_file, overrides = arguments("python -m cicd.master", given, "The master of a cluster.")
    try:
        config = load_master(config_file, os.environ, overrides)
    except ConfigError as error:
        print(f"cicd master: {error.message}", file=sys.stderr)  # noqa: T201  for people, before logs are set up
        return EXIT_CONFIG
    set_up_logs(config.log, role="master")
    try:
        config.master.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        process, sock = spawn_build_host(config)
    except OSError as error:
        print(f"cicd master: {error}", file=sys.stderr)  # noqa: T201  for people
        return EXIT_REFUSED
    # All that there may be: connections take one each. Not before the child was started: it would inherit that.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    # Blocked before the first thread, and waited for. Not before the child was started: it would inherit that.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        master = Master(config, process, sock, SystemClock())
    except CicdError as error:
        print(f"cicd master: {error.message}", file=sys.stderr)  # noqa: T201  for people
        process.kill()
        process.wait()
        # Threads of what was built already are of no use: there is nothing to save yet.
        sys.stderr.flush()
        os._exit(EXIT_REFUSED)
    master.start()
    received = signal.sigwait({signal.SIGTERM, signal.SIGINT})
    log.info("master.stops", signal=signal.Signals(received).name)
    master.stop()
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
