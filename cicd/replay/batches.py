"""Batches of events to bytes and back, with what was decided on them.

msgspec's own encoder, not `cicd.codec`: this is neither wire nor store, stands in the way of every decision, and needs
to be read by the same version only. Most events are heartbeats, and most heartbeats say what the last one of that
minion said: then only its number and its times are kept, in some 25 bytes. How loaded a machine is decides nothing and
is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Union, cast

import msgspec
from msgspec.structs import replace

from cicd.core.events import Event, MinionBeat, Now, Ticked
from cicd.core.plan import Plan
from cicd.messages.cluster import Load
from cicd.messages.minion import Beat
from cicd.replay.digest import digest_of
from cicd.replay.segments import JournalDamagedError

_IDLE = Load()
_ARRAY = range(0x90, 0xA0)
"""How a short array begins in msgpack; every event begins as a map."""


class _SameBeat(msgspec.Struct, frozen=True, array_like=True):
    """A heartbeat that says what the last one of minion number `minion` in this segment said."""

    minion: int
    seq: int
    sent_boot_s: float
    received_boot_s: float


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What the core was told in one call, and what came of it.

    Attributes:
        digest: of the plan.
        decided: the plan's states of runs and jobs, in words; only those that the plan stores.
        failed: how the core itself failed on it; then there is no plan.
    """

    boot_s: float
    wall_s: float
    events: list[msgspec.Raw]
    digest: int
    decided: tuple[str, ...] = ()
    failed: str = ""

    @property
    def now(self) -> Now:
        """The time that the core was told."""
        return Now(boot_s=self.boot_s, wall_s=self.wall_s)


_EVENTS = msgspec.msgpack.Encoder()

_NEVER_THE_SAME = {"seq", "sent_boot_s", "received_boot_s", "load", "beat"}
_said = attrgetter(
    *(name for name in MinionBeat.__struct_fields__ if name not in _NEVER_THE_SAME),
    *(f"beat.{name}" for name in Beat.__struct_fields__ if name not in _NEVER_THE_SAME),
)
"""What a heartbeat says, beside its number, its times and the load."""


def decided_in(plan: Plan) -> tuple[str, ...]:
    """Return the new states of runs and jobs in words."""
    if not (plan.runs or plan.jobs):
        return ()
    runs = [f"run {run.id} {run.state.value}" for run in plan.runs.values()]
    jobs = [f"job {job.id} {job.state.value} {job.attempt} {job.minion_name}".rstrip() for job in plan.jobs.values()]
    return (*runs, *jobs)


def event_classes() -> tuple[type[Event], ...]:
    """Return every class of events that there is."""
    return tuple(sorted(Event.__subclasses__(), key=lambda kind: kind.__name__))


class BatchEncoder:
    """Encodes the batches of one segment: what one says may refer to those before."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, object]] = {}

    def encode(self, events: Sequence[Event], now: Now, plan: Plan | None, failed: str = "") -> bytes:
        """Return a batch and what came of it (`plan`; None: the core failed, as `failed` says).

        Raises:
            ValueError, TypeError, OverflowError: an event holds what cannot be encoded (a text that is no Unicode).
        """
        items = [self._item(event) for event in events]
        digest = 0 if plan is None else digest_of(plan)
        decided = () if plan is None else decided_in(plan)
        if failed:
            return _EVENTS.encode((now.boot_s, now.wall_s, items, digest, decided, failed))
        if decided:
            return _EVENTS.encode((now.boot_s, now.wall_s, items, digest, decided))
        return _EVENTS.encode((now.boot_s, now.wall_s, items, digest))

    def _item(self, event: Event) -> object:
        if not isinstance(event, MinionBeat):
            return None if type(event) is Ticked else event
        beat = event.beat
        said = _said(event)
        last = self._last.get(event.minion)
        if last is not None and last[1] == said:
            return (last[0], beat.seq, beat.sent_boot_s, event.received_boot_s)  # a _SameBeat
        self._last[event.minion] = (len(self._last) if last is None else last[0], said)
        return replace(event, beat=replace(beat, load=_IDLE))


class BatchDecoder:
    """Decodes the batches of one segment, in order, all of them."""

    def __init__(self) -> None:
        self._batches = msgspec.msgpack.Decoder(Batch)
        self._same = msgspec.msgpack.Decoder(_SameBeat)
        self._events = msgspec.msgpack.Decoder(Union[event_classes()])  # noqa: UP007  made at run time
        self._numbers: dict[str, int] = {}
        self._shapes: list[MinionBeat] = []

    def decode(self, data: bytes) -> tuple[Batch, list[Event]]:
        """Return a batch and its events.

        Raises:
            JournalDamagedError: it is none of this version's.
        """
        try:
            batch = self._batches.decode(data)
            return batch, [self._event(item) for item in batch.events]
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
            raise JournalDamagedError(f"a batch cannot be read: {str(error)[:200]}") from None

    def _event(self, item: msgspec.Raw) -> Event:
        first = bytes(memoryview(item)[:1])
        if first == b"\xc0":
            return Ticked()
        if first[0] in _ARRAY:
            same = self._same.decode(item)
            shape = self._shapes[same.minion]
            beat = replace(shape.beat, seq=same.seq, sent_boot_s=same.sent_boot_s)
            return replace(shape, received_boot_s=same.received_boot_s, beat=beat)
        event = cast("Event", self._events.decode(item))
        if isinstance(event, MinionBeat):
            number = self._numbers.setdefault(event.minion, len(self._shapes))
            self._shapes[number : number + 1] = [event]
        return event
