"""The codec: every message survives the way there and back, and hostile bytes give one error only."""

from __future__ import annotations

import importlib
import pkgutil
import tracemalloc
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cicd.messages
from cicd.codec import FRAME_LIMIT_BYTES, Codec, CorruptRecordError, UnknownKindError, dump, load, peek, to_plain
from cicd.errors import ProtocolError
from cicd.messages import bulk, client, enrol, jobhost, minion
from cicd.messages.base import ErrorReply, JobId, Message, MinionId, Wire
from cicd.messages.bulk import LogChunk
from cicd.messages.client import Reply, Request, ShowRun, StartRun, TokenAnswer
from cicd.messages.cluster import TokenRecord
from cicd.messages.minion import Beat, Hello, RunJob
from cicd.messages.run import JobRecord


def all_messages() -> list[type[Message]]:
    found: dict[str, type[Message]] = {}
    for module in pkgutil.walk_packages(cicd.messages.__path__, "cicd.messages."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Message) and value not in (Message, Wire):
                found[f"{value.__module__}.{value.__name__}"] = value
    return [found[name] for name in sorted(found)]


MESSAGES = all_messages()
WIRES = [kind for kind in MESSAGES if issubclass(kind, Wire)]
CONVERSATIONS = {
    "enrol.FROM_JOINER": enrol.FROM_JOINER,
    "enrol.TO_JOINER": enrol.TO_JOINER,
    "minion.FROM_MINION": minion.FROM_MINION,
    "minion.TO_MINION": minion.TO_MINION,
    "bulk.TO_MASTER": bulk.TO_MASTER,
    "bulk.TO_MINION": bulk.TO_MINION,
    "client.FROM_CLIENT": client.FROM_CLIENT,
    "client.TO_CLIENT": client.TO_CLIENT,
    "jobhost.TO_HOST": jobhost.TO_HOST,
    "jobhost.TO_AGENT": jobhost.TO_AGENT,
}

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
BASIC: dict[object, st.SearchStrategy[Any]] = {
    str: TEXT,
    bytes: st.binary(max_size=40),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False, width=64),
    bool: st.booleans(),
    NoneType: st.none(),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a field's type."""
    hint = getattr(hint, "__supertype__", hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in BASIC:
        return BASIC[hint]
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(any_of(arguments[0]), any_of(arguments[1]), max_size=3)
    if origin in (UnionType, Union):
        return st.one_of([any_of(each) for each in arguments])
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return arbitrary(hint)


@cache
def arbitrary(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Return a strategy for a message; fields with defaults are there or not."""
    hints = get_type_hints(kind)
    fields = {field.name: any_of(hints[field.name]) for field in msgspec.structs.fields(kind)}
    must = {field.name for field in msgspec.structs.fields(kind) if field.required}
    return st.fixed_dictionaries(
        {name: strategy for name, strategy in fields.items() if name in must},
        optional={name: strategy for name, strategy in fields.items() if name not in must},
    ).map(lambda values: kind(**values))


few = settings(max_examples=20, deadline=None)
many = settings(max_examples=100, deadline=None)


# ---- there and back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WIRES, ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_what_is_encoded_is_decoded(kind: type[Wire], data: st.DataObject) -> None:
    message = data.draw(arbitrary(kind))
    assert isinstance(message, kind)
    codec = Codec((kind,))
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_what_is_dumped_is_loaded(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(arbitrary(kind))
    assert load(dump(message), kind) == message


@pytest.mark.parametrize("kinds", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_kinds_of_a_conversation_have_names_of_their_own(kinds: tuple[type[Wire], ...]) -> None:
    assert len({kind.__name__ for kind in kinds}) == len(kinds)
    assert ErrorReply in kinds or kinds in (client.FROM_CLIENT, jobhost.TO_HOST, jobhost.TO_AGENT)


def test_a_field_that_is_not_known_is_ignored_and_one_that_is_missing_has_its_default() -> None:
    codec = Codec((Beat,))
    frame = msgpack.packb({"_": "Beat", "session": 1, "seq": 2, "sent_boot_s": 3, "from_the_future": {"a": [1]}})
    assert codec.decode(frame) == Beat(session=1, seq=2, sent_boot_s=3.0)


# ---- hostile -------------------------------------------------------------------------------------------

ANYTHING = Codec(dict.fromkeys(kind for kinds in CONVERSATIONS.values() for kind in kinds))


def accepts_or_refuses(frame: bytes) -> None:
    """Decoding gives a message or a ProtocolError; anything else comes out of here and fails the test."""
    try:
        message = ANYTHING.decode(frame)
    except ProtocolError:
        return
    assert isinstance(message, Wire)
    ANYTHING.encode(message)


@many
@given(st.binary(max_size=300))
def test_any_bytes(frame: bytes) -> None:
    accepts_or_refuses(frame)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT | st.binary(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@many
@given(kind=st.sampled_from(sorted({kind.__name__ for kind in WIRES})), data=st.data())
def test_right_kinds_with_wrong_fields(kind: str, data: st.DataObject) -> None:
    names = next(each for each in WIRES if each.__name__ == kind).__struct_fields__
    fields = {name: data.draw(VALUES) for name in names}
    accepts_or_refuses(msgpack.packb({"_": kind, **fields}))


@many
@given(message=st.sampled_from(WIRES).flatmap(arbitrary), data=st.data())
def test_messages_with_bytes_changed_or_cut(message: Message, data: st.DataObject) -> None:
    frame = bytearray(dump(message))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    accepts_or_refuses(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",  # never used in msgpack
        b"\x91" * 100_000,  # nested deeper than any stack
        b"\x81\xa1_" * 50_000,
        b"\x81\xa1_\x81" * 50_000,
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\xd7\xff" + b"\xff" * 8,  # a timestamp that is none
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x81\xa1_\xa2\xff\xfe",  # not UTF-8
        b"\x81\x01\x02",  # a key that is no text
        b"\x81\x90\x02",  # a key that cannot be one
        b"\x81\xc4\x01_\xa4Beat",  # a key of bytes
        b"\x81\xa1_\xc4\x04Beat",
        b"\x81\xa1_\xa4Beat",
        b"\x81\xa1_\xa4Beat\x00",  # something after its end
        b"\x82\xa1_\xa4Beat\xa1_\xa5Hello",
        b"\x80",
        b"\xc0",
        msgpack.packb({"_": "Beat", "session": 2**63, "seq": float("nan"), "sent_boot_s": "now"}),
        msgpack.packb({"_": "Request", "id": 1, "call": {"_": "Request", "id": 2}}),
        msgpack.packb({"_": "Request", "id": 1, "call": {"_": []}}),
        msgpack.packb({"_": "Request", "id": 1, "call": 7}),
        msgpack.packb({"_": "x" * 1000}),
        msgpack.packb({"_": "Beat", "session": msgpack.Timestamp(0)}),
        msgpack.packb({"_": "Beat", "session": msgpack.ExtType(5, b"x")}),
    ],
)
def test_what_is_known_to_break_decoders(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        ANYTHING.decode(frame)
    with pytest.raises(CorruptRecordError):
        load(frame, Hello)
    kind, ids = peek(frame)
    assert isinstance(kind, str)
    assert all(isinstance(text, str) for text in ids.values())


def test_a_frame_cannot_grow_out_of_all_proportion() -> None:
    nested = msgpack.packb({"_": "Hello", "inventory": [{} for _ in range(FRAME_LIMIT_BYTES - 100)]})
    assert len(nested) <= FRAME_LIMIT_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            ANYTHING.decode(nested)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * FRAME_LIMIT_BYTES


def test_an_unknown_kind_says_which() -> None:
    with pytest.raises(UnknownKindError) as caught:
        Codec((Beat,)).decode(Codec((Hello,)).encode(ErrorReply(code="x", text="y")))
    assert caught.value.kind == "ErrorReply"
    assert caught.value.code == "unknown_kind"
    with pytest.raises(UnknownKindError) as caught:
        Codec((Beat,)).decode(msgpack.packb({"_": "x" * 1000}))
    assert len(caught.value.kind) == 64


def test_frames_over_the_limit_are_refused_both_ways() -> None:
    codec = Codec((ErrorReply,), limit_bytes=1000)
    room = 1000 - len(codec.encode(ErrorReply(code="", text="x" * 300))) + 300
    fits = codec.encode(ErrorReply(code="", text="x" * room))
    assert len(fits) == 1000
    assert codec.decode(fits) == ErrorReply(code="", text="x" * room)
    for refused in (
        lambda: codec.encode(ErrorReply(code="", text="x" * (room + 1))),
        lambda: codec.decode(Codec((ErrorReply,)).encode(ErrorReply(code="", text="x" * (room + 1)))),
    ):
        with pytest.raises(ProtocolError) as caught:
            refused()
        assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "message",
    [
        ErrorReply(code="x", text="caf\udce9"),  # what Python makes of a file name that is not UTF-8
        Beat(session=2**64, seq=0, sent_boot_s=0),
        Beat(session=-(2**63) - 1, seq=0, sent_boot_s=0),
    ],
)
def test_what_cannot_be_encoded_is_a_protocol_error_too(message: Wire) -> None:
    with pytest.raises(ProtocolError) as caught:
        ANYTHING.encode(message)
    assert caught.value.code == "unencodable"


def test_a_damaged_record_says_so() -> None:
    record = dump(JobRecord(id=JobId("r-0"), run="r", index=0, name="build"))  # type: ignore[arg-type]
    for damaged in (record[:-1], b"", record + b"\0", msgpack.packb([1]), msgpack.packb({"id": 5})):
        with pytest.raises(CorruptRecordError) as caught:
            load(damaged, JobRecord)
        assert caught.value.code == "corrupt"


# ---- for people ----------------------------------------------------------------------------------------


@many
@given(st.sampled_from(MESSAGES).flatmap(arbitrary))
def test_plain_values_are_what_json_can_hold(message: Message) -> None:
    plain = to_plain(message)
    assert msgspec.json.decode(msgspec.json.encode(plain)) is not None
    assert set(plain) == set(message.__struct_fields__)


def test_plain_values_hold_defaults_and_bytes_as_base64() -> None:
    chunk = LogChunk(job=JobId("r-0"), attempt=1, seq=1, offset=0, data=b"\xff\0", crc32=0)
    assert to_plain(chunk)["data"] == "/wA="
    assert to_plain([Beat(session=1, seq=1, sent_boot_s=0.0)])[0]["inventory"] == []


# ---- peek ----------------------------------------------------------------------------------------------


def frame_of(message: Wire) -> bytes:
    return Codec((type(message),)).encode(message)


def test_peek_shows_kind_and_ids_and_nothing_that_a_user_wrote() -> None:
    message = RunJob(
        session=3,
        run="run",  # type: ignore[arg-type]
        run_number=1,
        job=JobId("run-0"),
        name="deploy",
        attempt=2,
        pipeline="shop",
        plugin="d",  # type: ignore[arg-type]
        plugin_size_bytes=1,
        source="e",  # type: ignore[arg-type]
        source_size_bytes=1,
        params={"password": "hunter2"},
    )
    assert peek(frame_of(message)) == ("RunJob", {"session": "3", "run": "run", "job": "run-0", "attempt": "2"})


def test_peek_names_the_call_in_a_request_and_the_answer_in_a_reply() -> None:
    call = Request(id=7, call=StartRun(pipeline="shop", params={"k": "hunter2"}))
    assert peek(frame_of(call)) == ("Request", {"id": "7", "call": "StartRun"})
    token = TokenRecord(id="t", client_public="p", created_s=0.0)
    reply = Reply(id=7, answer=TokenAnswer(record=token, token="cicd1.secret"))
    assert peek(frame_of(reply)) == ("Reply", {"id": "7", "answer": "TokenAnswer"})
    assert peek(frame_of(Request(id=8, call=ShowRun(run="r")))) == ("Request", {"id": "8", "call": "ShowRun"})


def test_peek_reads_what_is_there_of_a_frame_that_was_cut() -> None:
    chunk = LogChunk(job=JobId("r-0"), attempt=1, seq=9, offset=64, data=b"secret" * 1000, crc32=0)
    kind, ids = peek(frame_of(chunk)[:500])
    assert (kind, ids) == ("LogChunk", {"job": "r-0", "attempt": "1", "seq": "9", "offset": "64"})


def test_peek_shows_nothing_that_could_command_a_terminal() -> None:
    frame = msgpack.packb({"_": "\x1b[2J", "run": "\x1b]0;x\x07", "minion": MinionId("m"), "id": "x" * 1000})
    assert peek(frame) == ("?", {"minion": "m", "id": "x" * 128})


@many
@given(st.binary(max_size=200) | VALUES.map(msgpack.packb))
def test_peek_never_raises(frame: bytes) -> None:
    kind, ids = peek(frame)
    assert kind
    assert kind.isprintable()
    assert all(text.isprintable() and len(text) <= 128 for text in ids.values())


@many
@given(st.sampled_from(WIRES).flatmap(arbitrary))
def test_peek_agrees_with_the_message(message: Wire) -> None:
    kind, ids = peek(frame_of(message))
    assert kind == type(message).__name__
    values: dict[str, Any] = {name: getattr(message, name, None) for name in ids if name not in ("call", "answer")}
    assert {name: str(value)[:128] for name, value in values.items()} == {name: ids[name] for name in values}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("single", [False, True])
def test_numbers_that_are_not_finite_are_refused(number: float, single: bool) -> None:  # noqa: FBT001  a parameter
    packer = msgpack.Packer(use_single_float=single)
    beat = {"_": "Beat", "session": 1, "seq": 1, "sent_boot_s": 1.0, "load": {"load1": number}}
    with pytest.raises(ProtocolError, match="finite"):
        Codec(minion.FROM_MINION).decode(packer.pack(beat))
    beat["load"] = {"load1": 0.5}
    assert Codec(minion.FROM_MINION).decode(packer.pack(beat))
