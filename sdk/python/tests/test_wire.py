"""Our codec against the official runtime, for every message of the contract, both ways."""

import contextlib

import pytest
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd.plugins.pb import pipeline_pb2 as pb
from cicd_sdk import _messages, _wire

NAMES = sorted(pb.DESCRIPTOR.message_types_by_name)

SCALARS = {
    F.TYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    F.TYPE_BYTES: st.binary(max_size=20),
    F.TYPE_BOOL: st.booleans(),
    F.TYPE_DOUBLE: st.floats(allow_nan=False),
    F.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    F.TYPE_UINT32: st.integers(0, 2**32 - 1),
    F.TYPE_UINT64: st.integers(0, 2**64 - 1),
    F.TYPE_ENUM: st.integers(0, 9),
}


def is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


@st.composite
def official(draw, descriptor):
    """Any message of the official runtime."""
    message = getattr(pb, descriptor.name)()
    for field in descriptor.fields:
        if not draw(st.booleans()):
            continue
        if is_map(field):
            value = field.message_type.fields_by_name["value"]
            for key in draw(st.lists(SCALARS[F.TYPE_STRING], max_size=3)):
                if value.message_type:
                    getattr(message, field.name)[key].CopyFrom(draw(official(value.message_type)))
                else:
                    getattr(message, field.name)[key] = draw(SCALARS[value.type])
        elif field.is_repeated:
            item = official(field.message_type) if field.message_type else SCALARS[field.type]
            getattr(message, field.name).extend(draw(st.lists(item, max_size=3)))
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            getattr(message, field.name).CopyFrom(draw(official(field.message_type)))
        else:
            setattr(message, field.name, draw(SCALARS[field.type]))
    return message


def plain(value):
    """A value of the official runtime, as what ours would show."""
    if isinstance(value, Message):
        return {
            field.name: plain(getattr(value, field.name)) for field in value.DESCRIPTOR.fields if is_told(value, field)
        }
    if hasattr(value, "items"):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if hasattr(value, "append") else value


def is_told(message, field):
    return not field.has_presence or message.HasField(field.name)


def ours_plain(value, descriptor):
    """One of our messages in the same form."""
    if isinstance(value, list):
        return [ours_plain(item, descriptor) for item in value]
    if isinstance(value, dict):
        return {key: ours_plain(item, descriptor.fields_by_name["value"].message_type) for key, item in value.items()}
    if not isinstance(value, _wire.Message):
        return value
    shown = {}
    for field in descriptor.fields:
        in_oneof = field.containing_oneof and field.message_type
        item = getattr(value, field.containing_oneof.name if in_oneof else field.name)
        if item is not None and (not in_oneof or type(item).__name__ == field.message_type.name):
            shown[field.name] = ours_plain(item, field.message_type)
    return shown


@pytest.mark.parametrize("name", NAMES)
def test_every_message_travels_both_ways(name):
    @settings(max_examples=40, deadline=None)
    @given(official(pb.DESCRIPTOR.message_types_by_name[name]))
    def check(theirs):
        ours = getattr(_messages, name).decode(theirs.SerializeToString())
        assert ours_plain(ours, theirs.DESCRIPTOR) == plain(theirs)
        assert type(theirs).FromString(ours.encode()) == theirs
        assert type(ours).decode(ours.encode()) == ours

    check()


def outcome(decode, data):
    try:
        return decode(data)
    except (_wire.WireError, DecodeError):
        return None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_messages_are_taken_or_refused_as_by_the_official_runtime(data):
    good = data.draw(official(pb.DESCRIPTOR.message_types_by_name["JobEvent"])).SerializeToString()
    damaged = bytearray(good + data.draw(st.binary(max_size=8)))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, max(len(damaged) - 1, 0)), st.integers(0, 255)), max_size=3)
    ):
        if damaged:
            damaged[at] = value
    damaged = bytes(damaged)
    theirs = outcome(pb.JobEvent.FromString, damaged)
    ours = outcome(_messages.JobEvent.decode, damaged)
    assert (ours is None) == (theirs is None)
    if ours is not None and b"\xf8\x7f" not in damaged and b"\xf0\x7f" not in damaged:  # NaN equals nothing
        again = pb.JobEvent.FromString(ours.encode())
        theirs.DiscardUnknownFields()
        assert again == theirs or "nan" in str(theirs)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(NAMES))
def test_any_bytes_give_a_message_or_one_error(data, name):
    with contextlib.suppress(_wire.WireError):
        getattr(_messages, name).decode(data)


class Numbers(_wire.Message):
    __slots__ = ("flags", "many", "signed")
    FIELDS = (
        _wire.Field(1, "many", "uint32", "many"),
        _wire.Field(2, "signed", "int64"),
        _wire.Field(3, "flags", "bool", "many"),
    )

    def __init__(self):
        self.many = []
        self.signed = 0
        self.flags = []


def test_repeated_numbers_are_read_packed_and_single():
    assert Numbers.decode(b"\x0a\x03\x01\xac\x02\x08\x07").many == [1, 300, 7]
    numbers = Numbers()
    numbers.many, numbers.signed, numbers.flags = [1, 300, 2**32 - 1], -5, [True, False]
    assert Numbers.decode(numbers.encode()) == numbers


def test_a_number_out_of_range_has_no_encoding():
    numbers = Numbers()
    numbers.many = [2**32]
    with pytest.raises(_wire.WireError, match="many"):
        numbers.encode()


def test_text_that_is_no_text_still_leaves_the_process():
    assert _messages.Result.decode(_messages.Result(message="\udcff!").encode()).message == "\\udcff!"


def test_unknown_enum_values_stay_numbers():
    assert _messages.Need.decode(_messages.Need(on=77).encode()).on == 77
    assert _messages.Need.decode(b"\x10\x01").on is _messages.NeedOn.FAILURE
