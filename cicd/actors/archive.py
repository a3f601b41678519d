"""Archive: the master's side of the bulk socket. logs in, blobs out.

A log is one append file per attempt. What was received is written, each touched file is synced once a batch, and only
then
acknowledged: an acknowledged byte is durable. The file's own length is what the master has; there is nothing else to
get out of step. The log's end is checked (length, sha256) and stored; until then a log is not called complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from cicd.actors.base import Actor, Inbox, Wake
from cicd.actors.crash import Die
from cicd.actors.drops import is_news
from cicd.actors.log_files import LogFile, LogFiles
from cicd.actors.store import StoreClient
from cicd.codec import Codec, UnknownKindError
from cicd.errors import ProtocolError
from cicd.messages.base import ErrorReply, JobId, MinionId, Wire, split_job_id
from cicd.messages.bulk import (
    CHUNK_BYTES,
    TO_MASTER,
    BlobData,
    BlobKind,
    BlobMissing,
    BlobRead,
    BulkHello,
    BulkWelcome,
    LogAck,
    LogChunk,
    LogEnd,
    LogEndAck,
    LogOpen,
)
from cicd.messages.run import LogRecord, Status
from cicd.storage import records
from cicd.storage.base import Storage, StoreFullError, Write
from cicd.storage.records import Records
from cicd.transport.base import Delivery, Listener, PeerEvent, PeerId, PeerState
from cicd.transport.policy import minion_of_user

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_DIGEST_LENGTH = 64
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class LogNews:
    """An attempt's log has reached `size_bytes` durable bytes; `ended`: its end is stored."""

    job: JobId
    attempt: int
    size_bytes: int
    ended: bool = False


@dataclass(slots=True)
class _Batch:
    """What one batch of messages means for logs.

    Attributes:
        touched: files to make durable, and whom to tell.
        gaps: the last chunk of each that could not be joined on.
        ends: logs that are whole.
    """

    touched: dict[tuple[JobId, int], tuple[LogFile, PeerId]] = field(default_factory=dict)
    gaps: dict[tuple[JobId, int], int] = field(default_factory=dict)
    ends: list[tuple[PeerId, LogEnd]] = field(default_factory=list)


OnLog = Callable[[list[LogNews]], None]


class Archive(Actor):
    """Logs in, blobs out.

    Args:
        inbox: where the bulk socket's loop puts deliveries and news of peers.
        storage: for looking up whose an attempt is; read only.
        logs: the log files.
        data_dir: holds `plugins/<digest>/plugin.tar` and `sources/<digest>.tar`.
        on_log: called with what has become durable; quick.
        dropped: counts what was dropped, by reason.
    """

    def __init__(
        self,
        *,
        inbox: Inbox[Delivery | PeerEvent],
        listener: Listener,
        storage: Storage,
        store: StoreClient,
        logs: LogFiles,
        data_dir: Path,
        on_log: OnLog,
        die: Die,
        dropped: Counter[str] | None = None,
    ) -> None:
        super().__init__(die)
        self._inbox = inbox
        self._listener = listener
        self._storage = storage
        self._store = store
        self._logs = logs
        self._data_dir = data_dir
        self._on_log = on_log
        self._codec = Codec(TO_MASTER)
        self._minion_of: dict[PeerId, MinionId] = {}
        self._owner: dict[tuple[JobId, int], MinionId] = {}
        self._full = False
        self.dropped: Counter[str] = Counter() if dropped is None else dropped

    def on_start(self) -> None:
        """Take what has come in already."""
        self._inbox.attach(self.actor_ref)

    def on_stop(self) -> None:
        """Close the files."""
        self._logs.close()

    def on_receive(self, message: Any) -> Any:
        """Take a batch in, make it durable, then acknowledge it."""
        if not isinstance(message, Wake):
            raise TypeError(f"Archive: {type(message).__name__}")
        batch = _Batch()
        for item in self._inbox.drain():
            if isinstance(item, PeerEvent):
                if item.state is PeerState.GONE:
                    self._minion_of.pop(item.peer, None)
                continue
            try:
                self._take(item, batch)
            except OSError as error:
                self._no_room(error)
        news: list[LogNews] = []
        for (job, attempt), (file, peer) in batch.touched.items():
            try:
                file.sync()
            except OSError as error:
                self._no_room(error)
                continue
            if self._full:
                self._full = False
                log.info("archive.has_room")
            gap_seq = batch.gaps.get((job, attempt), 0)
            self._send(peer, LogAck(job=job, attempt=attempt, offset=file.size_bytes, gap_seq=gap_seq))
            news.append(LogNews(job, attempt, file.size_bytes))
        news += self._store_ends(batch.ends)
        if news:
            self._on_log(news)

    def _no_room(self, error: OSError) -> None:
        """A full disk: nothing is acknowledged, and minions ask again every few seconds where to go on."""
        self.dropped["disk"] += 1
        if not self._full:
            self._full = True
            effect = "logs wait on their minions until there is room"
            log.error("archive.full", error=str(error), effect=effect)

    def _take(
        self,
        delivery: Delivery,
        batch: _Batch,
    ) -> None:
        peer = delivery.peer
        minion = self._minion_of.get(peer)
        try:
            message = self._codec.decode(delivery.frame)
        except ProtocolError as error:
            self.dropped[error.code] += 1
            if minion is not None:
                kind = error.kind if isinstance(error, UnknownKindError) else ""
                self._send(peer, ErrorReply(code=error.code, text=error.message, kind=kind))
            return
        if isinstance(message, BulkHello):
            self._hello(peer, delivery.user, message)
        elif minion is None:
            self.dropped["hello_first"] += 1
            if not isinstance(message, ErrorReply):
                self._send(
                    peer, ErrorReply(code="hello_first", text="say BulkHello first", kind=type(message).__name__)
                )
        elif isinstance(message, BlobRead):
            self._blob(peer, message)
        elif isinstance(message, LogOpen | LogChunk | LogEnd):
            self._log(peer, minion, message, batch)

    def _hello(self, peer: PeerId, user: str, hello: BulkHello) -> None:
        record = Records(self._storage).minion(hello.minion)
        own = minion_of_user(user)
        if (own is not None and own != hello.minion) or (own is None and record is not None and record.key):
            self.dropped["spoofed"] += 1
            if is_news(count := self.dropped["spoofed"]):
                log.warning("minion.spoofed", user=user, claimed=hello.minion, kind="BulkHello", count=count)
            self._minion_of.pop(peer, None)
            return
        if record is None or record.fenced or hello.session < record.session:
            self._send(peer, ErrorReply(code="session", text="say Hello on the control socket first", kind="BulkHello"))
            return
        self._minion_of[peer] = hello.minion
        self._send(peer, BulkWelcome())

    def _log(
        self,
        peer: PeerId,
        minion: MinionId,
        message: LogOpen | LogChunk | LogEnd,
        batch: _Batch,
    ) -> None:
        key = (message.job, message.attempt)
        if isinstance(message, LogOpen) or key not in self._owner:
            verdict = self._look_up(minion, message.job, message.attempt)
            if verdict:
                self.dropped[verdict] += 1
                self._owner.pop(key, None)
                self._send(peer, LogAck(job=message.job, attempt=message.attempt, offset=0, dropped=True))
                return
            self._owner[key] = minion
        elif self._owner[key] != minion:
            self.dropped["not_its_own"] += 1
            return
        file = self._logs.open(message.job, message.attempt)
        if isinstance(message, LogOpen):
            self._send(peer, LogAck(job=message.job, attempt=message.attempt, offset=file.size_bytes))
        elif isinstance(message, LogEnd):
            batch.ends.append((peer, message))
        elif len(message.data) > CHUNK_BYTES or not file.append(message.offset, message.data, message.crc32):
            # Damaged, out of place or too long: say what we have, the sender goes on from there.
            self.dropped["log_chunk"] += 1
            batch.touched.setdefault(key, (file, peer))
            batch.gaps[key] = message.seq
        else:
            batch.touched[key] = (file, peer)

    def _look_up(self, minion: MinionId, job: JobId, attempt: int) -> str:
        """Return why a minion may not write this log; empty: it may."""
        try:
            run, index = split_job_id(job)
        except ValueError:
            return "not_a_job"
        with self._storage.snapshot() as view:
            found = Records(view)
            record, tried = found.job(run, index), found.attempt(job, attempt)
        if record is None or tried is None:
            return "no_such_attempt"
        if tried.minion != minion:
            return "not_its_own"
        # Of an attempt that was given up nothing is taken any more (R2). One that has told its end may still deliver
        # its log, though the next one may have begun in the same moment: each has a file of its own.
        given_up = tried.result is None or tried.result.status is Status.LOST
        return "stale" if attempt < record.attempt and given_up else ""

    def _store_ends(self, ends: list[tuple[PeerId, LogEnd]]) -> list[LogNews]:
        writes: list[Write] = []
        good: list[tuple[PeerId, LogEnd]] = []
        for peer, end in ends:
            try:
                file = self._logs.open(end.job, end.attempt)
            except OSError as error:
                self._no_room(error)
                continue
            if file.size_bytes < end.size_bytes:
                self._send(peer, LogAck(job=end.job, attempt=end.attempt, offset=file.size_bytes))
                continue
            gap = ""
            if file.size_bytes > end.size_bytes or file.sha256() != end.sha256:
                gap = "what arrived differs from what the minion wrote"
                log.error("log.damaged", job=end.job, attempt=end.attempt, size_bytes=file.size_bytes)
            record = LogRecord(
                job=end.job,
                attempt=end.attempt,
                size_bytes=file.size_bytes,
                lines=end.lines,
                sha256=end.sha256,
                gap=gap,
            )
            writes += records.save_log(record)
            good.append((peer, end))
        if not good:
            return []
        try:
            self._store.commit(writes)
        except StoreFullError as error:
            # No traceback: it is expected, and the minion asks again.
            log.error("store.full", error=error.message)  # noqa: TRY400  see above
            return []
        for peer, end in good:
            self._send(peer, LogEndAck(job=end.job, attempt=end.attempt))
            self._logs.release(end.job, end.attempt)
            self._owner.pop((end.job, end.attempt), None)
        return [LogNews(end.job, end.attempt, end.size_bytes, ended=True) for _, end in good]

    def _blob(self, peer: PeerId, read: BlobRead) -> None:
        if len(read.digest) != _DIGEST_LENGTH or not _HEX.issuperset(read.digest):
            self._send(peer, BlobMissing(digest=read.digest, text="not a digest"))
            return
        path = blob_path(self._data_dir, read.kind, read.digest)
        try:
            with path.open("rb") as file:
                file.seek(max(read.offset, 0))
                data = file.read(max(0, min(read.length, CHUNK_BYTES)))
                size_bytes = path.stat().st_size
        except FileNotFoundError:
            self._send(peer, BlobMissing(digest=read.digest, text=f"the master has no {read.kind} {read.digest}"))
            return
        self._send(peer, BlobData(digest=read.digest, offset=read.offset, data=data, size_bytes=size_bytes))

    def _send(self, peer: PeerId, message: Wire) -> None:
        self._listener.send(peer, self._codec.encode(message))


def blob_path(data_dir: Path, kind: BlobKind, digest: str) -> Path:
    """Return where the master keeps a blob."""
    if kind is BlobKind.PLUGIN:
        return data_dir / "plugins" / digest / "plugin.tar"
    return data_dir / "sources" / f"{digest}.tar"
