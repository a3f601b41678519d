"""The tap: what it shows, what it hides, and that nothing waits for it."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zmq

from cicd.codec import Codec
from cicd.errors import UserError
from cicd.messages.base import JobId, Wire
from cicd.messages.bulk import LogChunk
from cicd.messages.client import Reply, Request, StartRun, StatusAnswer
from cicd.messages.minion import Beat, BeatAck
from cicd.messages.tap import TapRecord
from cicd.testing.fake_clock import FakeClock
from cicd.testing.transport_bench import ALICE, CLOCK, DOMAIN, SERVER, Client, Server, ring
from cicd.testing.waiting import wait_until
from cicd.transport.base import LinkState
from cicd.transport.tap import HEAD_BYTES, TapPublisher
from cicd.transport.tap_latency import LIMIT, Latencies
from cicd.transport.tap_reader import TapFilter, TapReader
from cicd.transport.zmq_transport import ZmqTransport

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tap(context: Context, folder: Path, clock: FakeClock) -> Iterator[TapPublisher]:
    tap = TapPublisher(context, f"ipc://{folder}/tap", clock=clock)
    yield tap
    tap.close()


def frame_of(message: Wire) -> bytes:
    return Codec((type(message),)).encode(message)


def beat(seq: int) -> bytes:
    return frame_of(Beat(session=1, seq=seq, sent_boot_s=0.0))


def ready(tap: TapPublisher) -> None:
    wait_until(lambda: tap._active, what="a subscriber")


def read(reader: TapReader) -> TapRecord:
    record = reader.read(10)
    assert record is not None
    return record


def test_a_record_shows_who_what_and_how_long_but_no_payload(context: Context, tap: TapPublisher) -> None:
    clock = tap._clock
    assert isinstance(clock, FakeClock)
    with TapReader(context, tap.address) as reader:
        ready(tap)
        tap.name(b"\x01\x02", "worker-1")
        asked, answered = beat(7), frame_of(BeatAck(session=1, seq=7, sent_boot_s=0.0))
        tap.record("control", "in", b"\x01\x02", asked)
        start_s = clock.wall_s()
        clock.advance(0.25)
        tap.record("control", "out", b"\x01\x02", answered)
        ids = {"session": "1", "seq": "7"}
        assert read(reader) == TapRecord(
            time_s=start_s,
            socket="control",
            direction="in",
            peer="worker-1",
            kind="Beat",
            size_bytes=len(asked),
            ids=ids,
        )
        answer = read(reader)
        assert (answer.kind, answer.direction, answer.ids) == ("BeatAck", "out", ids)
        assert answer.latency_s == pytest.approx(0.25)


def test_payloads_secrets_and_parameters_never_reach_a_reader(context: Context, tap: TapPublisher) -> None:
    subscriber = context.socket(zmq.SUB)
    subscriber.linger = 0
    subscriber.subscribe(b"")
    subscriber.connect(tap.address)
    ready(tap)
    chunk = LogChunk(job=JobId("r-0"), attempt=1, seq=1, offset=0, data=b"hunter2" * 9000, crc32=0)
    tap.record("bulk", "in", b"p", frame_of(chunk))
    tap.record("client", "in", b"p", frame_of(Request(id=1, call=StartRun(pipeline="x", params={"k": "hunter2"}))))
    tap.record("client", "in", b"p", b"hunter2 is no message")
    seen = [subscriber.recv_multipart() for _ in range(3)]
    assert [topic for topic, _ in seen] == [b"bulk/LogChunk", b"client/Request", b"client/?"]
    assert b"hunter2" not in b"".join(part for parts in seen for part in parts)
    subscriber.close()


def test_a_reader_is_given_what_it_asks_for(context: Context, tap: TapPublisher) -> None:
    wanted = TapFilter(kinds=("StartRun", "Beat"), peers=("worker-1", "ab"), ids=(("seq", "2"),))
    with (
        TapReader(context, tap.address, TapFilter(sockets=("client",))) as clients,
        TapReader(context, tap.address, wanted) as second_beat,
    ):
        wait_until(lambda: tap._topics == {b"client/", b""})
        tap.name(b"w", "worker-1")
        tap.record("control", "in", b"w", beat(1))
        tap.record("control", "in", b"other", beat(2))
        tap.record("control", "in", b"w", beat(2))
        tap.record("client", "in", b"\xab", frame_of(Request(id=1, call=StartRun(pipeline="x"))))
        found = read(second_beat)
        assert (found.peer, found.ids["seq"]) == ("worker-1", "2")
        assert read(clients).ids == {"id": "1", "call": "StartRun"}


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (TapFilter(), True),
        (TapFilter(sockets=("client",)), True),
        (TapFilter(sockets=("control",)), False),
        (TapFilter(kinds=("Request",)), True),
        (TapFilter(kinds=("StartRun",)), True),
        (TapFilter(kinds=("Beat",)), False),
        (TapFilter(peers=("ana",)), True),
        (TapFilter(peers=("bo",)), False),
        (TapFilter(direction="in"), True),
        (TapFilter(direction="out"), False),
        (TapFilter(ids=(("id", "1"),)), True),
        (TapFilter(ids=(("id", "1"), ("run", "r"))), False),
    ],
)
def test_filters(wanted: TapFilter, *, passes: bool) -> None:
    ids = {"id": "1", "call": "StartRun"}
    record = TapRecord(time_s=0, socket="client", direction="in", peer="ana", kind="Request", size_bytes=1, ids=ids)
    assert wanted.wants(record) is passes


def test_without_a_reader_nothing_is_kept(context: Context, tap: TapPublisher) -> None:
    for _ in range(100):
        tap.record("control", "in", b"p", beat(1))
    assert len(tap._queue) == tap.dropped == 0
    with TapReader(context, tap.address) as reader:
        ready(tap)
        tap.record("control", "in", b"p", beat(2))
        assert read(reader).ids["seq"] == "2"
    wait_until(lambda: not tap._active, what="the reader's leave to be noticed")


def test_a_reader_that_does_not_read_loses_records_and_nobody_waits(context: Context, folder: Path) -> None:
    with (
        closing(TapPublisher(context, f"ipc://{folder}/slow", clock=CLOCK, queue_limit=50)) as tap,
        context.socket(zmq.SUB) as slow,
    ):
        slow.linger = 0
        slow.rcvhwm = 1
        slow.subscribe(b"")
        slow.connect(tap.address)
        ready(tap)
        frame = beat(1)
        start = CLOCK.boot_s()
        for _ in range(50_000):
            tap.record("control", "in", b"p", frame)
        assert CLOCK.boot_s() - start < 10
        assert tap.dropped > 0
        assert len(tap._queue) <= 50


def test_of_a_long_frame_only_the_head_is_kept(context: Context, tap: TapPublisher) -> None:
    with TapReader(context, tap.address) as reader:
        ready(tap)
        chunk = frame_of(LogChunk(job=JobId("r-0"), attempt=1, seq=1, offset=5, data=b"x" * 65536, crc32=0))
        held: list[int] = []
        publish = tap._publish

        def watched(seen: Any) -> None:
            held.append(len(seen.head))
            publish(seen)

        tap._publish = watched  # type: ignore[method-assign]
        tap.record("bulk", "in", b"p", chunk)
        record = read(reader)
        assert (record.size_bytes, record.ids["offset"]) == (len(chunk), "5")
        assert held == [HEAD_BYTES]


def test_the_socket_file_is_private(context: Context, folder: Path) -> None:
    before = os.umask(0)
    try:
        tap = TapPublisher(context, f"ipc://{folder}/made/tap", clock=CLOCK)
    finally:
        os.umask(before)
    with closing(tap), closing(tap):
        assert stat.S_IMODE((folder / "made" / "tap").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "made").stat().st_mode) == 0o700


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "ipc:///proc/none/tap", "nonsense"])
def test_an_address_that_will_not_do_is_a_user_error(context: Context, address: str) -> None:
    with pytest.raises(UserError, match="tap"):
        TapPublisher(context, address, clock=CLOCK)


def test_a_reader_of_nonsense_says_so(context: Context) -> None:
    with pytest.raises(UserError, match="cannot read the tap"):
        TapReader(context, "nonsense")


def test_a_transport_mirrors_all_its_sockets(folder: Path) -> None:
    status = frame_of(Reply(id=5, answer=StatusAnswer(version="1", operator="ana", started_s=0.0)))
    with (
        closing(ZmqTransport(CLOCK, ring(), tap_address=f"ipc://{folder}/tap")) as transport,
        closing(transport.listener("tcp://127.0.0.1:*", SERVER, DOMAIN, name="client")) as listener,
        closing(transport.dialer(listener.address, SERVER.public, ALICE, name="up")) as dialer,
        TapReader(transport.context, f"ipc://{folder}/tap", TapFilter(sockets=("client",))) as reader,
    ):
        assert transport.tap is not None
        ready(transport.tap)
        server, client = Server(listener, lambda _: status), Client(dialer)
        client.wait_state(LinkState.CONNECTED)
        client.dialer.send(frame_of(Request(id=5, call=StartRun(pipeline="x"))))
        client.wait_frames(1)
        asked, answered = read(reader), read(reader)
        assert (asked.direction, asked.kind, asked.ids) == ("in", "Request", {"id": "5", "call": "StartRun"})
        assert (answered.direction, answered.ids["answer"]) == ("out", "StatusAnswer")
        assert 0 <= answered.latency_s < 10
        assert asked.peer == answered.peer == server.peer("alice").hex()


def test_names_can_be_given_from_any_thread_and_taken_back(context: Context, tap: TapPublisher) -> None:
    with TapReader(context, tap.address) as reader:
        ready(tap)
        thread = threading.Thread(target=tap.name, args=(b"\x01", "one"))
        thread.start()
        thread.join()
        tap.record("control", "in", b"\x01", beat(1))
        assert read(reader).peer == "one"
        tap.name(b"\x01", "")
        tap.record("control", "in", b"\x01", beat(1))
        assert read(reader).peer == "01"


# ---- latency -------------------------------------------------------------------------------------------


def test_an_answer_is_measured_against_its_own_question() -> None:
    latencies = Latencies()
    asked = {"session": "1", "seq": "1"}
    assert latencies.of("control", b"a", "Beat", asked, 1.0) == -1.0
    assert latencies.of("control", b"a", "Beat", {**asked, "seq": "2"}, 2.0) == -1.0
    assert latencies.of("control", b"b", "BeatAck", asked, 3.0) == -1.0, "another peer's"
    assert latencies.of("bulk", b"a", "BeatAck", asked, 3.0) == -1.0, "another socket's"
    assert latencies.of("control", b"a", "BeatAck", {**asked, "seq": "3"}, 3.0) == -1.0, "never asked"
    assert latencies.of("control", b"a", "BeatAck", asked, 3.0) == 2.0
    assert latencies.of("control", b"a", "BeatAck", {**asked, "seq": "2"}, 2.5) == 0.5


def test_the_newest_question_counts_and_what_answers_itself_is_no_question() -> None:
    latencies = Latencies()
    ids = {"job": "r-0", "attempt": "1"}
    latencies.of("bulk", b"a", "LogOpen", ids, 1.0)
    latencies.of("bulk", b"a", "LogChunk", {**ids, "offset": "0"}, 4.0)
    assert latencies.of("bulk", b"a", "LogAck", {**ids, "offset": "9"}, 5.0) == 1.0
    latencies.of("control", b"a", "RunJob", ids, 1.0)
    assert latencies.of("control", b"a", "JobStarted", ids, 2.0) == 1.0
    assert latencies.of("control", b"a", "Goodbye", {}, 2.0) == -1.0


def test_questions_that_nobody_answers_are_forgotten() -> None:
    latencies = Latencies()
    for seq in range(LIMIT * 2):
        latencies.of("control", b"a", "Beat", {"session": "1", "seq": str(seq)}, 1.0)
    assert len(latencies._asked) == LIMIT
    assert latencies.of("control", b"a", "BeatAck", {"session": "1", "seq": "0"}, 2.0) == -1.0
    assert latencies.of("control", b"a", "BeatAck", {"session": "1", "seq": str(LIMIT * 2 - 1)}, 2.0) == 1.0
