"""Courier: the agent's side of the bulk conversation. Logs up, blobs down.

The spool file is the truth of a log. What the master has it says itself after every (re)connect, and from there the
Courier goes on; at most `WINDOW_BYTES` of a log are on their way. What is fetched is checked against its digest and
unpacked beside its place, then renamed: a folder in the cache is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from cicd.actors.base import Actor, Inbox, Tick, Wake
from cicd.actors.blob_cache import BlobCache, Unpacked
from cicd.actors.crash import Die
from cicd.actors.log_shipment import LogShipment
from cicd.actors.minion import LinkNews
from cicd.actors.ticker import Ticker
from cicd.clock import Clock
from cicd.codec import Codec
from cicd.core.agent.steps import Fetched
from cicd.errors import ProtocolError
from cicd.messages.base import Digest, ErrorReply, JobId, MinionId, Wire
from cicd.messages.bulk import (
    TO_MINION,
    BlobData,
    BlobKind,
    BlobMissing,
    BulkHello,
    BulkWelcome,
    LogAck,
    LogEndAck,
    LogOpen,
)
from cicd.messages.jobhost import DiskReport, HostHello, LogClosed, LogGrew, LogStored
from cicd.messages.minion import RunJob
from cicd.transport.base import Dialer, LinkState

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

TICK_S = 1.0
STUCK_S = 5.0
"""A shipment or a fetch without an answer for so long asks again."""


class Courier(Actor):
    """Logs up, blobs down.

    Args:
        inbox: frames, link news, what the jobhost says of logs, sessions (int), RunJobs to fetch for.
        dialer: the bulk connection.
        cache: where fetched things are kept.
        tell_host: sends messages to the jobhost.
        on_fetched: called when an attempt's things are there, or cannot be had.
        on_disk: called with each report of the disk, and with what is about to be used of the cache.
    """

    def __init__(
        self,
        *,
        inbox: Inbox[object],
        dialer: Dialer,
        cache: BlobCache,
        minion: MinionId,
        tell_host: Callable[..., None],
        on_fetched: Callable[[Fetched], None],
        clock: Clock,
        die: Die,
        on_disk: Callable[[DiskReport, set[Digest]], None] | None = None,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._dialer = dialer
        self._cache = cache
        self._minion = minion
        self._tell_host = tell_host
        self._on_fetched = on_fetched
        self._on_disk = on_disk
        self._clock = clock
        self._codec = Codec(TO_MINION)
        self._session = 0
        self._connected = False
        self._welcomed = False
        self._greeted_boot_s = 0.0
        self._logs: dict[tuple[JobId, int], LogShipment] = {}
        self._waiting: list[RunJob] = []
        self._ticker: Ticker | None = None

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)
        self._ticker = Ticker(self.actor_ref, TICK_S, "courier")
        self._ticker.start()

    def on_stop(self) -> None:
        """Stop, and let go of files."""
        if self._ticker is not None:
            self._ticker.stop()
        for shipment in self._logs.values():
            shipment.close()
        self._cache.close()

    def on_receive(self, message: Any) -> Any:
        """Take in everything that has come, then move on what it concerns."""
        if isinstance(message, Wake):
            for item in self._inbox.drain():
                self._take(item)
            self._pump()
        elif isinstance(message, Tick):
            self._tick()

    def _take(self, item: object) -> None:
        match item:
            case bytes():
                self._frame(item)
            case LinkNews():
                self._connected = item.state is LinkState.CONNECTED
                self._welcomed = False
                self._greet()
            case int():
                self._session = item
                if not self._welcomed:
                    self._greet()
            case Unpacked():
                self._cache.unpacked(item)
            case RunJob():
                self._waiting.append(item)
                self._cache.want(BlobKind.PLUGIN, item.plugin)
                if item.checkout:
                    self._cache.want(BlobKind.SOURCE, item.source)
            case HostHello() | LogGrew() | LogClosed():
                self._host(item)
            case DiskReport() if self._on_disk is not None:
                self._on_disk(item, {digest for run in self._waiting for digest in (run.plugin, run.source)})

    def _host(self, message: HostHello | LogGrew | LogClosed) -> None:
        match message:
            case HostHello():
                for state in message.logs:
                    shipment = self._shipment(state.job, state.attempt, state.path)
                    shipment.grew(state.size_bytes)
                    if state.closed:
                        shipment.closed(state.size_bytes, state.lines, state.sha256)
            case LogGrew():
                self._shipment(message.job, message.attempt, message.path).grew(message.size_bytes)
            case LogClosed():
                shipment = self._shipment(message.job, message.attempt, message.path)
                shipment.closed(message.size_bytes, message.lines, message.sha256)

    def _shipment(self, job: JobId, attempt: int, path: str) -> LogShipment:
        key = (job, attempt)
        shipment = self._logs.get(key)
        if shipment is None:
            shipment = self._logs[key] = LogShipment(job, attempt, Path(path), self._clock)
            self._open(shipment)
        return shipment

    # ---- the connection

    def _greet(self) -> None:
        if self._connected and self._session:
            self._greeted_boot_s = self._clock.boot_s()
            self._send(BulkHello(minion=self._minion, session=self._session))

    def _send(self, message: Wire) -> None:
        self._dialer.send(self._codec.encode(message))

    def _open(self, shipment: LogShipment) -> None:
        if self._welcomed:
            shipment.asked()
            self._send(LogOpen(job=shipment.job, attempt=shipment.attempt))

    def _frame(self, frame: bytes) -> None:
        try:
            message = self._codec.decode(frame)
        except ProtocolError as error:
            log.warning("master.sent_nonsense", socket="bulk", code=error.code, error=error.message)
            return
        match message:
            case BulkWelcome():
                self._welcomed = True
                for shipment in self._logs.values():
                    self._open(shipment)
                self._cache.restart_reads()
            case LogAck():
                self._acked(message)
            case LogEndAck():
                self._done(message.job, message.attempt)
            case BlobData():
                self._cache.take(message.digest, message.offset, message.data, message.size_bytes)
            case BlobMissing():
                self._cache.missing(message.digest, message.text)
            case ErrorReply():
                if message.code in {"hello_first", "session"}:
                    self._welcomed = False
                else:
                    log.warning("master.refused_a_message", socket="bulk", code=message.code, text=message.text)

    def _acked(self, ack: LogAck) -> None:
        shipment = self._logs.get((ack.job, ack.attempt))
        if shipment is None:
            return
        if ack.dropped:
            self._done(ack.job, ack.attempt)
        else:
            shipment.acked(ack.offset, ack.gap_seq)

    def _done(self, job: JobId, attempt: int) -> None:
        shipment = self._logs.pop((job, attempt), None)
        if shipment is not None:
            shipment.close()
        self._tell_host(LogStored(job=job, attempt=attempt))

    # ---- moving on

    def _pump(self) -> None:
        if self._welcomed:
            for shipment in self._logs.values():
                for message in shipment.ready():
                    self._send(message)
            for read in self._cache.reads():
                self._send(read)
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what is complete: attempts whose plugin and source are there, or cannot be had."""
        still: list[RunJob] = []
        for run_job in self._waiting:
            plugin = self._cache.state(BlobKind.PLUGIN, run_job.plugin)
            source = self._cache.state(BlobKind.SOURCE, run_job.source) if run_job.checkout else plugin
            error = plugin.error or source.error
            if not error and not (plugin.ready and source.ready):
                still.append(run_job)
                continue
            source_dir = str(source.folder) if run_job.checkout else ""
            self._on_fetched(
                Fetched(
                    job=run_job.job,
                    attempt=run_job.attempt,
                    plugin_dir=str(plugin.folder),
                    source_dir=source_dir,
                    error=error,
                )
            )
        self._waiting = still

    def _tick(self) -> None:
        now = self._clock.boot_s()
        if not self._welcomed and now - self._greeted_boot_s > STUCK_S:
            self._greet()
        for shipment in self._logs.values():
            if shipment.is_stuck(STUCK_S):
                self._open(shipment)
        self._cache.retry(now)
        self._pump()
