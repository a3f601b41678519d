"""Keeps the journal beside a running core.

What is to be written is made on the deciding thread, as it has to be; written it is by a thread of its own, some times
a second. So the core never waits for a disk. When the disk is full, or slower than what is to be written, the journal
stops, says so, and begins a new segment after a while, with the gap noted in its header.

A new segment begins with the core's whole state, so it begins when as many bytes were written as make that cheap.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from cicd.core.cluster import Cluster
from cicd.core.events import Event, Now
from cicd.core.plan import Plan
from cicd.replay import segments
from cicd.replay.batches import BatchEncoder
from cicd.replay.checkpoint import CheckpointError, freeze
from cicd.replay.files import Begin, Files, Kind, Limits

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

WRITE_S = 0.05
"""Between writes: a kill leaves out no more than that."""
RETRY_S = 30.0
"""After this long a journal that stopped begins again."""
_MAX_WAITING_BYTES = 32 * 1024 * 1024
_LEAST_SEGMENT_BYTES, _MOST_SEGMENT_BYTES = 256 * 1024, 64 * 1024 * 1024
_PER_CHECKPOINT = 8
"""A segment's batches are this much larger than its checkpoint, if that is within the limits above."""


class InputJournal:
    """The journal of one core, from now on.

    Args:
        folder: where the segments are; made, for its owner only, if it is not there.
        cluster: the core, before its first batch.
        now: the time.
        limits: what is kept.
    """

    def __init__(self, folder: Path, cluster: Cluster, now: Now, limits: Limits) -> None:
        self._folder = folder
        self._cluster = cluster
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: deque[bytes | Begin] = deque()
        self._waiting_bytes = 0
        self._stopped_for = ""
        self._retry_boot_s = 0.0
        self._missed = 0
        self._encoder = BatchEncoder()
        self._room = 0
        self._files = Files(folder, limits)
        self._wake = threading.Event()
        self._written = threading.Condition(self._lock)
        self._writing = False
        self._closed = False
        self._begin("start", now, "")
        self._thread = threading.Thread(target=self._write_all, name="input-journal", daemon=True)
        self._thread.start()

    # ---- on the deciding thread

    def handle(self, events: Iterable[Event], now: Now) -> Plan:
        """Let the core decide, and note on what and what came of it. Raises what the core raises."""
        batch = list(events)
        try:
            plan = self._cluster.handle(batch, now)
        except Exception as error:
            self._append(batch, now, None, f"{type(error).__name__}: {error}")
            self.sync()
            raise
        self._append(batch, now, plan)
        return plan

    def _append(self, events: Sequence[Event], now: Now, plan: Plan | None, failed: str = "") -> None:
        if self._stopped_for:
            self._missed += 1
            if now.boot_s < self._retry_boot_s or failed:
                return
            # What the core holds now includes this batch.
            self._begin("gap", now, f"{self._missed} batches were not written: {self._stopped_for}")
            if not self._stopped_for:
                self._missed = 0
            return
        try:
            data = self._encoder.encode(events, now, plan, failed)
        except (ValueError, TypeError, OverflowError) as error:
            self._stop(f"a batch cannot be written: {str(error)[:200]}", now)
            return
        framed = segments.frame(data)
        self._put(framed, len(framed), now)
        self._room -= len(framed)
        if self._room <= 0 and not failed:
            self._begin("next", now, "")

    def _begin(self, kind: Kind, now: Now, gap: str) -> None:
        """Begin a segment with the core's state as it is now."""
        try:
            checkpoint = freeze(self._cluster)
        except CheckpointError as error:
            self._stop(error.message, now)
            return
        self._room = min(max(_PER_CHECKPOINT * len(checkpoint), _LEAST_SEGMENT_BYTES), _MOST_SEGMENT_BYTES)
        self._encoder = BatchEncoder()
        self._stopped_for = ""
        self._put(Begin(kind, now.wall_s, gap, checkpoint), len(checkpoint), now)

    def _put(self, item: bytes | Begin, size: int, now: Now) -> None:
        with self._lock:
            if isinstance(item, Begin) and item.kind != "next":
                self._files.failed = ""  # a new beginning, whatever became of the segment before
            problem = self._files.failed
            if not problem and self._waiting_bytes > _MAX_WAITING_BYTES:
                problem = "the disk is slower than what is to be written"
            if not problem:
                self._waiting.append(item)
                self._waiting_bytes += size
                return
        self._stop(problem, now)

    def _stop(self, why: str, now: Now) -> None:
        log.warning("journal.stopped", reason=why, effect=f"what happens now cannot be explained; again in {RETRY_S} s")
        self._stopped_for = why
        self._missed += 1
        self._retry_boot_s = now.boot_s + RETRY_S
        with self._lock:
            self._waiting.clear()
            self._waiting_bytes = 0

    # ---- on any thread

    def sync(self, timeout_s: float = 5.0) -> None:
        """Wait until what was decided so far can be read (not: is durable), or for `timeout_s`."""
        with self._written:
            self._wake.set()
            self._written.wait_for(lambda: not self._waiting and not self._writing, timeout_s)

    def close(self) -> None:
        """Write what waits, and end."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=10)

    # ---- on its own thread

    def _write_all(self) -> None:
        while not self._closed:
            self._wake.wait(WRITE_S)
            self._wake.clear()
            self._write_waiting()
        self._write_waiting()
        self._files.close()

    def _write_waiting(self) -> None:
        with self._lock:
            items = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._writing = True
        failed = ""
        try:
            self._files.write(items)
        except OSError as error:
            failed = f"{error.strerror or error}"
        with self._written:
            self._files.failed = failed or self._files.failed
            self._writing = False
            self._written.notify_all()
