"""Decides everything again and compares.

From each checkpoint a fresh core is given the same batches at the same times. Its plans have to be the same, byte for
byte: whatever they differ by is a dependence on something that is not in the journal (a clock, an order of hashing), a
journal that somebody changed, or code that is not the one that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from cicd.core.cluster import Cluster
from cicd.core.events import Event, Now
from cicd.core.plan import Plan
from cicd.replay.batches import Batch, BatchDecoder, BatchEncoder, decided_in
from cicd.replay.checkpoint import freeze, thaw
from cicd.replay.digest import digest_of
from cicd.replay.reader import Segment

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """The first batch on which another thing is decided than was.

    Attributes:
        segment: name of the file.
        batch: its number in the segment, from 1.
        wall_s: when it was.
        events: what the core was told, in JSON.
        expected: what was decided, as the journal says.
        got: what is decided now.
    """

    segment: str
    batch: int
    wall_s: float
    events: tuple[str, ...]
    expected: tuple[str, ...]
    got: tuple[str, ...]


@dataclass(slots=True)
class Verdict:
    """What came of a replay.

    Attributes:
        segments: how many were read.
        batches: how many batches were decided again.
        decisions: how many records they stored and messages they sent.
        gaps: what the journal leaves out, and why.
        difference: the first; None: all the same.
    """

    segments: int = 0
    batches: int = 0
    decisions: int = 0
    gaps: tuple[str, ...] = ()
    difference: Difference | None = None


def replay(found: Iterable[Segment]) -> Verdict:
    """Decide again what these segments hold, up to the first difference.

    Raises:
        JournalDamagedError, CheckpointError, OSError: a segment cannot be read.
    """
    verdict = Verdict()
    for segment in found:
        verdict.segments += 1
        if segment.header.gap:
            verdict.gaps += (f"{segment.path.name}: {segment.header.gap}",)
        cluster, batches = segment.open()
        for number, (batch, events) in enumerate(batches, 1):
            verdict.batches += 1
            plan, failed = _decide(cluster, events, batch.now)
            verdict.decisions += size_of(plan)
            if not _same(batch, plan, failed):
                verdict.difference = _difference((segment.path.name, number), batch, events, plan, failed)
                return verdict
    return verdict


def _decide(cluster: Cluster, events: Sequence[Event], now: Now) -> tuple[Plan, str]:
    try:
        return cluster.handle(events, now), ""
    except Exception as error:  # noqa: BLE001  the core failed; perhaps it did so then, too
        return Plan(), f"{type(error).__name__}: {error}"


def _same(batch: Batch, plan: Plan, failed: str) -> bool:
    if batch.failed or failed:
        return batch.failed == failed
    return digest_of(plan) == batch.digest


def size_of(plan: Plan) -> int:
    """Return how many records a plan stores and messages it sends."""
    return sum(len(getattr(plan, name)) for name in plan.__dataclass_fields__)


def _difference(where: tuple[str, int], batch: Batch, events: Sequence[Event], plan: Plan, failed: str) -> Difference:
    got = decided_in(plan)
    effects = tuple(_plain(effect) for effect in plan.effects)
    unsaid = f"a plan with checksum {batch.digest:08x}" if got == batch.decided else ""
    return Difference(
        segment=where[0],
        batch=where[1],
        wall_s=batch.wall_s,
        events=_short([_plain(event) for event in events]),
        expected=_short([batch.failed] if batch.failed else [*batch.decided, *([unsaid] if unsaid else [])])
        or ("nothing",),
        got=_short([failed] if failed else [*got, *(effects if unsaid else ())]) or ("nothing",),
    )


def _short(texts: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(texts) - _SHOWN} more",) if len(texts) > _SHOWN else ()
    return (*texts[:_SHOWN], *more)


def _plain(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_text).decode()


def _text(value: object) -> Any:
    return str(value)


class Recording:
    """A core whose every batch is kept in memory, for simulations: `check` decides all of them again.

        recording = Recording(cluster)
        cluster.handle = recording.handle

    Args:
        cluster: the core, as it is before the first batch.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._handle = cluster.handle
        self._checkpoint = freeze(cluster)
        self._encoder, self._decoder = BatchEncoder(), BatchDecoder()
        self._kept: list[tuple[bytes, int, tuple[str, ...]]] = []

    def handle(self, events: Iterable[Event], now: Now) -> Plan:
        """Let the core decide on what is kept of the events, as events that came over a wire would be."""
        data = self._encoder.encode(list(events), now, Plan())
        plan = self._handle(self._decoder.decode(data)[1], now)
        self._kept.append((data, digest_of(plan), decided_in(plan)))
        return plan

    def __len__(self) -> int:
        return len(self._kept)

    def check(self) -> Difference | None:
        """Decide everything again from the beginning; return the first difference."""
        cluster, decoder = thaw(self._checkpoint), BatchDecoder()
        for number, (data, digest, decided) in enumerate(self._kept, 1):
            batch, events = decoder.decode(data)
            batch = replace(batch, digest=digest, decided=decided)
            plan, failed = _decide(cluster, events, batch.now)
            if not _same(batch, plan, failed):
                return _difference(("memory", number), batch, events, plan, failed)
        return None
