"""The client against a scripted peer that speaks the real conversation over the memory transport."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd.client import (
    Client,
    Operator,
    OperatorFileError,
    read_operator,
    readdress_operator,
    write_operator,
)
from cicd.client.stream_state import SILENCE_S
from cicd.errors import (
    CicdError,
    ConflictError,
    NotFoundError,
    ProtocolError,
    UnavailableError,
)
from cicd.messages.base import Digest, JobId, PipelineId, RunId, Wire
from cicd.messages.client import (
    STREAM_WINDOW,
    CreateToken,
    Credit,
    Done,
    End,
    Failure,
    FollowRun,
    Item,
    JobView,
    ListTokens,
    LogEndInfo,
    LogText,
    ReadLog,
    Reply,
    Request,
    RevokeToken,
    RunAnswer,
    StartRun,
    Status,
    StatusAnswer,
    StopStream,
    TokenPage,
)
from cicd.messages.run import JobRecord, JobState, RunRecord, RunState, Trigger
from cicd.testing.waiting import wait_until
from cicd.transport.curve import new_keypair
from client_peer import ADDRESS, Handler, Peer, connect, reply, streaming

ANSWER = StatusAnswer(version="1", operator="alice", started_s=0.0)


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.down()
    peer.transport.close()


@pytest.fixture
def client(peer: Peer) -> Iterator[Client]:
    with connect(peer) as client:
        yield client


# ---- calls ---------------------------------------------------------------------------------------------


def test_a_call_is_answered(peer, client):
    peer.handler = reply(ANSWER)
    peer.up()
    assert client.call(Status()) == ANSWER
    assert client.ask(Status(), StatusAnswer) == ANSWER
    assert [request.id for request in peer.requests()] == [1, 2]


def test_an_answer_of_the_wrong_kind_is_the_peers_fault(peer, client):
    peer.handler = reply(Done())
    peer.up()
    with pytest.raises(ProtocolError, match="Status was answered by Done, not StatusAnswer"):
        client.ask(Status(), StatusAnswer)


def test_a_failure_is_raised_as_the_error_of_its_code(peer, client):
    peer.handler = lambda message: [Failure(id=message.id, code="not_found", text="no pipeline 'x'")]
    peer.up()
    with pytest.raises(NotFoundError, match="no pipeline 'x'"):
        client.call(StartRun(pipeline="x"))


def test_answers_to_other_requests_are_ignored(peer, client):
    def handle(message: Wire) -> list[Wire]:
        wrong = Reply(id=message.id + 7, answer=Done())
        return [wrong, Item(id=99, seq=1, answer=Done()), End(id=98), Reply(id=message.id, answer=ANSWER), wrong]

    peer.handler = handle
    peer.up()
    assert client.call(Status()) == ANSWER


def test_no_master_is_unreachable_and_the_address_is_named(peer):
    with connect(peer, connect_s=0.05) as client, pytest.raises(UnavailableError, match=ADDRESS) as caught:
        client.call(Status())
    assert caught.value.code == "unreachable"


def test_a_master_that_does_not_answer_is_unreachable(peer, client):
    peer.up()
    with pytest.raises(UnavailableError, match=r"has not answered for 0\.2 s") as caught:
        client.call(Status(), timeout_s=0.2)
    assert caught.value.code == "unreachable"


def test_a_refused_key_is_told_at_once(peer):
    peer.up()
    peer.client_keys = new_keypair()
    started_s = time.monotonic()
    with connect(peer) as client, pytest.raises(UnavailableError, match="refuses this operator's key") as caught:
        client.call(Status())
    assert caught.value.code == "unreachable"
    assert time.monotonic() - started_s < 4


def test_a_call_waits_for_a_master_that_is_being_started(peer, client):
    peer.handler = reply(ANSWER)
    starter = threading.Timer(0.1, peer.up)
    starter.start()
    assert client.call(Status()) == ANSWER
    starter.join()


def test_what_can_be_asked_twice_is_asked_again_after_a_reconnect(peer, client):
    def die_once(message: Wire) -> list[Wire]:
        if len(peer.requests()) == 1:
            threading.Thread(target=lambda: (peer.down(), peer.up())).start()
            return []
        return [Reply(id=message.id, answer=Done())]

    peer.handler = die_once
    peer.up()
    assert client.call(StartRun(pipeline="web")) == Done()
    first, second = peer.requests()
    assert first.call == second.call
    assert len(first.call.request) == 26


def test_what_cannot_be_asked_twice_fails_as_unanswered(peer, client):
    def die(message: Wire) -> list[Wire]:
        threading.Thread(target=lambda: (peer.down(), peer.up())).start()
        return []

    peer.handler = die
    peer.up()
    with pytest.raises(UnavailableError, match="may or may not have been done") as caught:
        client.call(CreateToken())
    assert caught.value.code == "unanswered"
    assert not caught.value.retryable
    assert len(peer.requests()) == 1
    peer.handler = reply(TokenPage(tokens=()))
    assert client.call(ListTokens()) == TokenPage(tokens=())


def test_what_cannot_be_asked_twice_may_wait_for_the_first_connection(peer, client):
    peer.handler = reply(Done())
    starter = threading.Timer(0.1, peer.up)
    starter.start()
    assert client.call(RevokeToken(id="x")) == Done()
    starter.join()


# ---- streams -------------------------------------------------------------------------------------------

LOG = ReadLog(run="r", job="test", attempt=1, follow=True)
WHOLE = LogEndInfo(attempt=1, size_bytes=6, lines=2, sha256="x", complete=True)


def text(offset: int, data: bytes) -> LogText:
    return LogText(offset=offset, data=data)


def test_a_stream_ends_at_its_end(peer, client):
    peer.handler = streaming(text(0, b"abc"), text(3, b"def"), WHOLE)
    peer.up()
    assert list(client.stream(LOG)) == [text(0, b"abc"), text(3, b"def"), WHOLE]
    assert not peer.of(StopStream)


def test_every_item_is_acknowledged_once_it_was_taken(peer, client):
    """A master that holds to its window sends all of a long stream."""
    total = 3 * STREAM_WINDOW + 5
    sent = 0

    def handle(message: Wire) -> list[Wire]:
        nonlocal sent
        acknowledged = message.seq if isinstance(message, Credit) else 0
        assert acknowledged <= sent
        items: list[Wire] = []
        while sent < min(total, acknowledged + STREAM_WINDOW):
            sent += 1
            items.append(Item(id=1, seq=sent, answer=text(sent - 1, b"x")))
        if items and sent == total:
            items += [Item(id=1, seq=total + 1, answer=WHOLE), End(id=1)]
        return items

    peer.handler = handle
    peer.up()
    assert len(list(client.stream(LOG))) == total + 1


def test_items_that_are_not_taken_are_not_acknowledged(peer, client):
    peer.handler = streaming(*(text(i, b"x") for i in range(STREAM_WINDOW)), end=False)
    peer.up()
    stream = client.stream(LOG)
    next(stream)
    with pytest.raises(UnavailableError):
        client.call(Status(), timeout_s=0.1)
    assert all(credit.seq <= 1 for credit in peer.of(Credit))
    stream.close()


def test_closing_a_stream_stops_it(peer, client):
    peer.handler = streaming(text(0, b"a"), end=False)
    peer.up()
    with client.stream(LOG) as stream:
        assert next(stream) == text(0, b"a")
    wait_until(lambda: peer.of(StopStream))
    assert peer.of(StopStream) == [StopStream(id=1)]


def test_a_failure_ends_a_stream_with_its_error(peer, client):
    peer.handler = lambda message: [Failure(id=message.id, code="conflict", text="no")]
    peer.up()
    with pytest.raises(ConflictError, match="no"):
        list(client.stream(LOG))


def restarting(peer: Peer, *, first: list[Wire], then: list[Wire]) -> Handler:
    """Send some answers and die; when asked again, send others and end."""

    def handle(message: Wire) -> list[Wire]:
        if not isinstance(message, Request):
            return []
        if len(peer.requests()) == 1:
            return [Item(id=message.id, seq=seq, answer=answer) for seq, answer in enumerate(first, 1)]
        return streaming(*then)(message)

    return handle


def test_a_log_goes_on_at_the_offset_that_was_reached(peer, client):
    peer.handler = restarting(peer, first=[text(0, b"abc")], then=[text(3, b"def"), WHOLE])
    peer.up()
    stream = client.stream(LOG)
    assert next(stream) == text(0, b"abc")
    peer.down()
    peer.up()
    assert list(stream) == [text(3, b"def"), WHOLE]
    assert [request.call.offset for request in peer.requests()] == [0, 3]
    assert not peer.of(StopStream)  # the new connection never knew the old id


def test_bytes_that_come_twice_are_cut(peer, client):
    peer.handler = streaming(text(0, b"abc"), text(1, b"bcd"), text(0, b"ab"), text(4, b"e"), WHOLE)
    peer.up()
    assert list(client.stream(LOG)) == [text(0, b"abc"), text(3, b"d"), text(4, b"e"), WHOLE]


def run(state: RunState = RunState.RUNNING) -> RunRecord:
    return RunRecord(
        id=RunId("r"),
        pipeline=PipelineId("p"),
        pipeline_name="web",
        number=1,
        plugin=Digest("0" * 64),
        source_digest=Digest("0" * 64),
        commit="c",
        trigger=Trigger(by="alice"),
        job_count=2,
        state=state,
    )


def job(index: int, state: JobState) -> JobView:
    return JobView(job=JobRecord(id=JobId(f"r-{index}"), run=RunId("r"), index=index, name=f"j{index}", state=state))


def test_a_run_that_is_followed_anew_yields_changes_only(peer, client):
    whole = RunAnswer(run=run(), jobs=(job(0, JobState.RUNNING), job(1, JobState.QUEUED)))
    again = RunAnswer(run=run(), jobs=(job(0, JobState.RUNNING), job(1, JobState.RUNNING)))
    ended = RunAnswer(run=run(RunState.SUCCEEDED), jobs=(job(0, JobState.SUCCEEDED), job(1, JobState.SUCCEEDED)))
    peer.handler = restarting(peer, first=[whole], then=[whole, again, ended])
    peer.up()
    stream = client.stream(FollowRun(run="r"))
    assert next(stream) == whole
    peer.down()
    peer.up()
    assert list(stream) == [RunAnswer(run=run(), jobs=(job(1, JobState.RUNNING),)), ended]


def test_a_gap_in_the_numbers_makes_the_stream_start_anew(peer, client):
    def handle(message: Wire) -> list[Wire]:
        if isinstance(message, Request) and message.id == 1:
            return [Item(id=1, seq=1, answer=text(0, b"a")), Item(id=1, seq=3, answer=text(2, b"c"))]
        return streaming(text(1, b"bc"), WHOLE)(message)

    peer.handler = handle
    peer.up()
    assert list(client.stream(LOG)) == [text(0, b"a"), text(1, b"bc"), WHOLE]
    assert peer.of(StopStream) == [StopStream(id=1)]


@pytest.mark.parametrize("early", [End(id=1), Failure(id=1, code="unavailable", text="idle", retryable=True)])
def test_an_early_end_makes_the_stream_start_anew(peer, client, early):
    def handle(message: Wire) -> list[Wire]:
        if isinstance(message, Request) and message.id == 1:
            return [Item(id=1, seq=1, answer=text(0, b"a")), early]
        return streaming(text(1, b"b"), WHOLE)(message)

    peer.handler = handle
    peer.up()
    assert list(client.stream(LOG)) == [text(0, b"a"), text(1, b"b"), WHOLE]


def test_a_stream_that_ends_early_again_and_again_is_given_up(peer):
    peer.handler = streaming(text(0, b"a"))
    peer.up()
    with connect(peer, patience_s=0.3) as client, pytest.raises(UnavailableError, match="before it was whole"):
        list(client.stream(LOG))


def test_a_stream_gives_up_a_master_that_stays_away(peer):
    peer.handler = streaming(text(0, b"a"), end=False)
    peer.up()
    with connect(peer, patience_s=0.3) as client:
        stream = client.stream(LOG)
        next(stream)
        peer.down()
        with pytest.raises(UnavailableError) as caught:
            next(stream)
    assert caught.value.code == "unreachable"


def test_a_silent_stream_is_asked_for_again(peer, fake_clock):
    """What was lost without anybody noticing arrives all the same."""
    peer.up()
    with connect(peer, clock=fake_clock) as client:
        stream = client.stream(LOG)
        list(client.events(0.0))
        wait_until(lambda: (client._wait(fake_clock.boot_s() + 0.01), peer.requests())[1])
        fake_clock.advance(SILENCE_S + 1)
        peer.handler = streaming(text(0, b"a"), WHOLE)
        assert list(stream) == [text(0, b"a"), WHOLE]


def test_events_of_several_streams_come_in_order_of_arrival(peer, client):
    peer.up()
    one, two = client.stream(LOG), client.stream(ReadLog(run="r", job="lint", attempt=1))

    def both_asked() -> bool:
        assert not list(client.events(0.01))
        return len(peer.requests()) == 2

    wait_until(both_asked)
    peer.send(
        Item(id=1, seq=1, answer=text(0, b"a")),
        Item(id=2, seq=1, answer=text(0, b"b")),
        Item(id=1, seq=2, answer=text(1, b"c")),
        Item(id=1, seq=3, answer=WHOLE),
        End(id=1),
        Failure(id=2, code="not_found", text="no such job"),
    )
    events = []
    wait_until(lambda: (events.extend(client.events(0.1)), len(events) == 6)[1])
    assert [event.stream for event in events[:4]] == [one, two, one, one]
    assert [event.answer for event in events[:4]] == [text(0, b"a"), text(0, b"b"), text(1, b"c"), WHOLE]
    assert {event.stream: event.answer for event in events[4:]} == {one: None, two: None}
    assert one.error is None
    assert isinstance(two.error, NotFoundError)
    assert not list(client.events(0.0))


def test_calls_work_beside_a_stream(peer, client):
    def handle(message: Wire) -> list[Wire]:
        if isinstance(message, Request) and isinstance(message.call, Status):
            return [Item(id=1, seq=1, answer=text(0, b"a")), Reply(id=message.id, answer=ANSWER)]
        return []

    peer.handler = handle
    peer.up()
    stream = client.stream(LOG)
    wait_until(lambda: (list(client.events(0.01)), peer.requests())[1])
    assert client.call(Status()) == ANSWER
    assert next(stream) == text(0, b"a")
    stream.close()


def test_only_streams_are_streamed(client):
    with pytest.raises(TypeError, match="Status is answered once"):
        client.stream(Status())


# ---- the operator's file -------------------------------------------------------------------------------


@pytest.fixture
def operator() -> Operator:
    keys = new_keypair()
    return Operator("alice", "tcp://127.0.0.1:7713", new_keypair().public, keys.public, keys.secret)


def test_an_operators_file_is_private_and_read_back(tmp_path, operator):
    path = tmp_path / "operator.toml"
    write_operator(path, operator)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_operator(path) == operator
    assert operator.secret not in repr(operator)


def test_an_operators_file_is_never_overwritten(tmp_path, operator):
    path = tmp_path / "operator.toml"
    write_operator(path, operator)
    with pytest.raises(ConflictError):
        write_operator(path, operator)


def test_an_operators_file_follows_its_master(tmp_path, operator):
    path = tmp_path / "operator.toml"
    write_operator(path, operator)
    readdress_operator(path, "tcp://127.0.0.1:9999")
    moved = read_operator(path)
    assert moved.address == "tcp://127.0.0.1:9999"
    assert moved.secret == operator.secret
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.stat().st_ino
    readdress_operator(path, "tcp://127.0.0.1:9999")
    assert path.stat().st_ino == before
    assert [file.name for file in tmp_path.iterdir()] == ["operator.toml"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_an_operators_file_that_others_can_read_is_refused(tmp_path, operator, mode):
    path = tmp_path / "operator.toml"
    write_operator(path, operator)
    path.chmod(mode)
    with pytest.raises(OperatorFileError, match="chmod 600"):
        read_operator(path)


def test_an_operators_file_that_is_none(tmp_path):
    path = tmp_path / "operator.toml"
    with pytest.raises(OperatorFileError, match="--operator or CICD_OPERATOR"):
        read_operator(path)
    _write(path, "x = 1\n")
    with pytest.raises(OperatorFileError):
        read_operator(path)
    keys = new_keypair()
    _write(path, f'public = "{keys.public}"\nsecret = "{keys.secret}"\n'.replace("\\", "\\\\"))
    with pytest.raises(OperatorFileError, match="no operator file: name, address or server_public is missing"):
        read_operator(path)


def _write(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)


def test_a_connection_that_dies_is_told(peer, client):
    peer.up()
    client._news.put(RuntimeError("boom"))
    with pytest.raises(CicdError, match="boom"):
        client.call(Status())
