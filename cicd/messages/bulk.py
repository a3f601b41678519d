"""Bulk conversation between a minion's Courier and the master's Archive: logs up, plugins and source trees down.

It has a socket of its own, so that a heartbeat never waits behind a log. The file spool on the minion is the truth of a
log; the master acknowledges the highest contiguous offset that is durable on its side, and says it first after a
(re)connect.

    minion                                         master
    BulkHello(minion, session)              ->
                                            <-     BulkWelcome
    LogOpen(job, attempt)                   ->
                                            <-     LogAck(offset it has)
    LogChunk(job, attempt, seq, offset ..)  ->     at most 512 KiB unacknowledged per log
                                            <-     LogAck(offset)
    LogEnd(job, attempt, length, sha256)    ->
                                            <-     LogEndAck
    BlobRead(digest, offset, length)        ->     at most 8 reads in flight
                                            <-     BlobData | BlobMissing
"""

from enum import StrEnum

from cicd.messages.base import PROTOCOL_VERSION, Digest, ErrorReply, JobId, MinionId, Wire

CHUNK_BYTES = 64 * 1024
"""Longest piece of a log or a blob in one message."""
WINDOW_BYTES = 512 * 1024
"""Most bytes of one log that may be unacknowledged."""


class BlobKind(StrEnum):
    """What a blob is; either is a tar named by its sha256."""

    PLUGIN = "plugin"
    SOURCE = "source"


class BulkHello(Wire, frozen=True):
    """First message of a bulk connection: whose it is."""

    minion: MinionId
    session: int
    protocol: int = PROTOCOL_VERSION


class BulkWelcome(Wire, frozen=True):
    """The connection is bound to the minion."""


class LogOpen(Wire, frozen=True):
    """Where does the master stand with this log?"""

    job: JobId
    attempt: int


class LogChunk(Wire, frozen=True):
    """A piece of a log: `data` (at most `CHUNK_BYTES`) at `offset`, with its crc32 (zlib)."""

    job: JobId
    attempt: int
    seq: int
    offset: int
    data: bytes
    crc32: int


class LogAck(Wire, frozen=True):
    """All bytes before `offset` are durable on the master. `dropped`: the attempt is stale, send no more.

    Attributes:
        gap_seq: `seq` of the last chunk that could not be joined on, since one before it was lost or damaged; 0: none.
    """

    job: JobId
    attempt: int
    offset: int
    dropped: bool = False
    gap_seq: int = 0


class LogEnd(Wire, frozen=True):
    """The log is whole on the minion: its length, lines and sha256."""

    job: JobId
    attempt: int
    size_bytes: int
    lines: int
    sha256: str


class LogEndAck(Wire, frozen=True):
    """The log's end is stored: the spool file may go."""

    job: JobId
    attempt: int


class BlobRead(Wire, frozen=True):
    """Send `length` bytes (at most `CHUNK_BYTES`) of a blob from `offset`."""

    kind: BlobKind
    digest: Digest
    offset: int
    length: int


class BlobData(Wire, frozen=True):
    """A piece of a blob and the blob's total size."""

    digest: Digest
    offset: int
    data: bytes
    size_bytes: int


class BlobMissing(Wire, frozen=True):
    """The master has no such blob."""

    digest: Digest
    text: str


TO_MASTER: tuple[type[Wire], ...] = (BulkHello, LogOpen, LogChunk, LogEnd, BlobRead, ErrorReply)
"""What a master accepts on its bulk socket."""

TO_MINION: tuple[type[Wire], ...] = (BulkWelcome, LogAck, LogEndAck, BlobData, BlobMissing, ErrorReply)
"""What a minion's Courier accepts."""
