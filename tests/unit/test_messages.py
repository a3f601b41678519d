"""Every message: what it looks like on the wire, what an older and a newer peer may leave out or add."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import get_args

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cicd.messages
from cicd import codec
from cicd.codec import Codec
from cicd.messages import build, bulk, client, enrol, jobhost, minion, tap
from cicd.messages.base import ErrorReply, JobId, Message, RunId, Wire, job_id, split_job_id

CONVERSATIONS: dict[str, tuple[type[Wire], ...]] = {
    "joiner to master": enrol.FROM_JOINER,
    "master to joiner": enrol.TO_JOINER,
    "minion to master": minion.FROM_MINION,
    "master to minion": minion.TO_MINION,
    "bulk to master": bulk.TO_MASTER,
    "bulk to minion": bulk.TO_MINION,
    "client to master": client.FROM_CLIENT,
    "master to client": client.TO_CLIENT,
    "agent to jobhost": jobhost.TO_HOST,
    "jobhost to agent": jobhost.TO_AGENT,
    "compiler to build host": build.TO_BUILD_HOST,
    "build host to compiler": build.TO_COMPILER,
    "tap": (tap.TapRecord,),
}


def all_messages() -> Iterator[type[Message]]:
    for module in pkgutil.walk_packages(cicd.messages.__path__, "cicd.messages."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Message) and value.__module__ == module.name:
                yield value


MESSAGES = sorted({kind for kind in all_messages() if kind not in (Message, Wire)}, key=lambda kind: kind.__qualname__)
BY_NAME = pytest.mark.parametrize(
    "kind", MESSAGES, ids=lambda kind: f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
)


def example(annotation: object) -> object:
    """Return a plain value of a type, as small as there is one."""
    return msgspec.to_builtins(smallest(msgspec.inspect.type_info(annotation)))


_SIMPLE = {
    msgspec.inspect.StrType: "x",
    msgspec.inspect.BytesType: b"x",
    msgspec.inspect.BoolType: True,
    msgspec.inspect.IntType: 1,
    msgspec.inspect.FloatType: 1.5,
}


def smallest(info: msgspec.inspect.Type) -> object:
    match info:
        case msgspec.inspect.StructType():
            plain = {field.encode_name: smallest(field.type) for field in info.fields if field.required}
            return plain | ({str(info.tag_field): info.tag} if info.tag_field else {})
        case msgspec.inspect.EnumType():
            return next(iter(info.cls)).value
        case msgspec.inspect.UnionType():
            return smallest(info.types[0])
        case msgspec.inspect.DictType():
            return {"k": smallest(info.value_type)}
        case msgspec.inspect.VarTupleType():
            return [smallest(info.item_type)]
    return _SIMPLE[type(info)]


@BY_NAME
def test_a_message_is_frozen_documented_and_open_to_newer_peers(kind: type[Message]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    assert config.omit_defaults
    assert not config.forbid_unknown_fields, "a newer peer may say more"
    assert kind.__doc__
    assert (config.tag == kind.__name__) if issubclass(kind, Wire) else (config.tag is None)


@BY_NAME
def test_what_a_peer_leaves_out_has_its_default_and_what_it_adds_is_ignored(kind: type[Message]) -> None:
    plain = example(kind)
    assert isinstance(plain, dict)
    least = msgspec.convert(plain, kind)
    more = msgspec.convert(plain | {"a_later_field": [1, {"x": None}]}, kind)
    assert more == least
    for field in msgspec.inspect.type_info(kind).fields:
        if not field.required:
            assert getattr(least, field.name) == field_default(field)


def field_default(field: msgspec.inspect.Field) -> object:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


@BY_NAME
def test_what_a_message_requires_may_not_be_left_out(kind: type[Message]) -> None:
    plain = example(kind)
    assert isinstance(plain, dict)
    for field in msgspec.inspect.type_info(kind).fields:
        if field.required:
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({name: value for name, value in plain.items() if name != field.name}, kind)


@BY_NAME
def test_a_message_comes_back_from_bytes_as_it_was_and_defaults_cost_nothing(kind: type[Message]) -> None:
    info = msgspec.inspect.type_info(kind)
    plain = {field.name: smallest(field.type) for field in info.fields}
    full = msgspec.convert(plain | ({"_": kind.__name__} if issubclass(kind, Wire) else {}), kind)
    assert codec.load(codec.dump(full), kind) == full
    least = msgspec.convert(example(kind), kind)
    assert set(msgpack.unpackb(codec.dump(least))) == set(example(kind))
    if issubclass(kind, Wire):
        both_ways = Codec([kind])
        assert both_ways.decode(both_ways.encode(full)) == full


def test_every_message_that_crosses_a_socket_belongs_to_a_conversation() -> None:
    spoken = {kind for kinds in CONVERSATIONS.values() for kind in kinds}
    spoken |= set(get_args(client.Call)) | set(get_args(client.Answer))
    assert {kind for kind in MESSAGES if issubclass(kind, Wire)} == spoken | {ErrorReply}


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_the_kinds_of_a_conversation_have_names_of_their_own(conversation: str) -> None:
    names = [kind.__name__ for kind in CONVERSATIONS[conversation]]
    assert len(names) == len(set(names))
    assert len(Codec(CONVERSATIONS[conversation])._types) == len(names)


def test_an_answer_in_an_answer_keeps_its_kind() -> None:
    both = Codec(client.TO_CLIENT)
    for kind in get_args(client.Answer):
        answer = msgspec.convert(example(kind), kind)
        decoded = both.decode(both.encode(client.Reply(id=3, answer=answer)))
        assert isinstance(decoded, client.Reply)
        assert type(decoded.answer) is kind


# ---- ids -----------------------------------------------------------------------------------------------


@given(st.text(min_size=1), st.integers(min_value=0))
def test_a_job_id_says_its_run_and_its_place(run: str, index: int) -> None:
    assert split_job_id(job_id(RunId(run), index)) == (run, index)


@pytest.mark.parametrize("text", ["", "x", "-1", "x-", "x-y", "x-1x", "x-\u0663", "x--", "x-\u00b2"])
def test_what_is_no_job_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        split_job_id(JobId(text))
