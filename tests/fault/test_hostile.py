"""Frames of hostile peers, into all of a master that hears frames: nothing dies, and nothing changes.

Right frames of every kind are damaged, cut, nested, repeated, spoofed. Who sends them: a stranger, a minion that joined
and speaks of another one's jobs, the holder of a join token that is used up, an operator who only reads. What must not
change: the core's state, the store, the files; all but the hostile minion's own record.

How a listener stands idle sockets, endless parts and giants is in `tests/contract/test_zmq_hostile.py`.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cicd.codec import Codec
from cicd.messages.minion import Beat, Entry, EntryState, JobFinished, JobStarted
from cicd.messages.run import Result, Status
from hostile_master import (
    EVIL,
    EVIL_USER,
    JOBS,
    TOKEN,
    VICTIM,
    VICTIM_SESSION,
    HostileMaster,
    bulk_frames,
    enrol_frames,
    minion_frames,
    read_frames,
)
from mutations import Mutator

Size = Callable[[int, int], int]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[HostileMaster]:
    made = HostileMaster(tmp_path)
    yield made
    made.stop()
    assert not made.deaths.seen


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]


@pytest.mark.slow
def test_fuzz_mutated_frames_kill_nothing_and_change_nothing(
    master: HostileMaster, size: Size, figure: Callable[..., None]
) -> None:
    before = master.state()
    evil = f"peer-{EVIL}"
    senders = [
        ("control", "stranger", EVIL_USER, minion_frames(), 3),
        ("control", evil, EVIL_USER, minion_frames(), 6),
        ("control", evil, "older", [frame for frame in minion_frames() if b"Hello" not in frame], 3),
        ("bulk", "stranger", EVIL_USER, bulk_frames(), 2),
        ("bulk", evil, EVIL_USER, [frame for frame in bulk_frames() if b"BulkHello" not in frame], 4),
        ("enrol", "joiner", TOKEN.id, enrol_frames(), 2),
        ("client", "operator", "ada", read_frames(), 1),
    ]
    shares = sum(sender[-1] for sender in senders)
    count = size(20_000, 1_000_000)
    began_s = time.monotonic()
    thrown = 0
    # In rounds, so that a peer finds what others have left behind.
    rounds = size(2, 20)
    for number in range(rounds):
        for socket, peer, user, frames, share in senders:
            seed = zlib.crc32(f"{number} {socket} {peer}".encode())
            mutated = Mutator(seed, frames).frames(count * share // shares // rounds)
            thrown += master.throw(socket, peer, user, mutated)
            assert differences(before, master.state()) == [], (socket, peer, seed)
    took_s = time.monotonic() - began_s
    dropped = {socket: dict(counter) for socket, counter in master.dropped.items()}
    figure(
        "frames mutated",
        frames=thrown,
        crashes=len(master.deaths.seen),
        state_changes=len(differences(before, master.state())),
        frames_per_s=round(thrown / took_s),
        dropped=dropped,
        not_accepted=master.cluster.book.refused,
    )
    assert thrown >= count * 0.99
    assert dropped["control"]["spoofed"]
    assert dropped["bulk"]["not_its_own"]
    assert master.cluster.book.refused
    for socket in ("control", "bulk", "enrol", "client"):
        assert dropped[socket]["protocol"]
    # Nothing is kept of what came.
    assert len(master.cluster.book.minions) == 2


def test_a_right_frame_would_have_changed_something(master: HostileMaster) -> None:
    """What the fuzz holds to be no change is none because of who says it: the victim's own word counts."""
    before = master.state()
    assert differences(before, master.state()) == []
    master.throw("control", f"peer-{VICTIM}", "older", [result(1)])
    changed = differences(before, master.state())
    assert f"core {JOBS[0]}" in changed
    assert "core held" in changed
    assert any(key.startswith("store") for key in changed)


def result(attempt: int, session: int = VICTIM_SESSION) -> bytes:
    done = Result(status=Status.SUCCEEDED)
    return Codec(()).encode(JobFinished(session=session, job=JOBS[0], attempt=attempt, result=done))


def test_what_is_replayed_stale_or_of_another_session_changes_nothing(master: HostileMaster) -> None:
    """Not from the victim's own connection either: results are of an attempt, starts and beats of a session too."""
    encode = Codec(()).encode
    stale = [
        result(0),
        result(2),
        result(-1),
        encode(JobStarted(session=VICTIM_SESSION - 1, job=JOBS[0], attempt=1, pid=9, started_s=9.0)),
        encode(JobStarted(session=VICTIM_SESSION, job=JOBS[1], attempt=1, pid=9, started_s=9.0)),
        encode(JobStarted(session=VICTIM_SESSION, job=JOBS[0], attempt=2, pid=9, started_s=9.0)),
        encode(
            Beat(
                session=VICTIM_SESSION + 1,
                seq=1,
                sent_boot_s=1.0,
                inventory=(Entry(job=JOBS[0], attempt=1, state=EntryState.DEAD),),
            )
        ),
    ]
    before = master.state()
    master.throw("control", f"peer-{VICTIM}", "older", stale * 3)
    assert differences(before, master.state()) == []


def test_a_bulk_connection_that_never_said_hello_is_told_so_and_reads_nothing(master: HostileMaster) -> None:
    before, sent = master.state(), master.listeners["bulk"].counters.sent
    frames = [frame for frame in bulk_frames() if b"BulkHello" not in frame]
    master.throw("bulk", "stranger", EVIL_USER, frames)
    assert master.dropped["bulk"]["hello_first"] == len(frames)
    assert master.listeners["bulk"].counters.sent == sent + len(frames) - 1  # an ErrorReply is not answered
    assert differences(before, master.state()) == []
