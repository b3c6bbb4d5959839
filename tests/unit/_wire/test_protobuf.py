"""Walking protobuf messages in place: what it accepts is what protobuf says they are."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._wire.protobuf import WireFormatError, fields, read_varint, varint


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_as_it_was_written(value):
    encoded = varint(value)

    assert read_varint(encoded, 0, len(encoded)) == (value, len(encoded))


@given(st.integers(0, 2**63 - 1))
def test_varints_are_protobufs(value):
    encoded = b"\x20" + varint(value)

    assert pb.RunModelPayload.FromString(encoded).inference_time == value


@given(st.binary(max_size=64))
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x80" * 11)
def test_any_bytes_are_walked_to_their_end_or_refused(encoded):
    try:
        walked = list(fields(encoded, 0, len(encoded)))
    except WireFormatError:
        return
    assert all(0 <= field.start <= field.stop <= len(encoded) for field in walked)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x08",
        b"\x08\x80",
        b"\x0b",
        b"\x0c",
        b"\x00",
        b"\x09abc",
        b"\x0f\x00",
    ],
)
def test_cut_off_and_malformed_messages_are_refused(encoded):
    with pytest.raises(WireFormatError):
        list(fields(encoded, 0, len(encoded)))
    with pytest.raises(DecodeError):
        pb.RunModelReply.FromString(encoded)
