"""Replies to RunModel: read in place, refused where they are ambiguous or do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._wire.run_model import read_run_model_payload, read_usual_reply, split_reply
from blindai_async.errors import ProofFormatError
from blindai_async.tensors import ModelDatumType


def tensor(dims, data, datum_type=pb.F32, index=0, name=""):
    info = pb.TensorInfo(dims=dims, datum_type=datum_type, index=index, index_name=name)
    return pb.TensorData(info=info, bytes_data=data)


def prediction(**facts):
    return pb.Payload(run_model_payload=pb.RunModelPayload(**facts)).SerializeToString()


def read(payload):
    return read_run_model_payload(payload, 0, len(payload))


@given(
    payload=st.binary(max_size=40), signature=st.binary(max_size=70), unknown=st.binary(max_size=5)
)
def test_a_reply_is_split_into_payload_and_signature(payload, signature, unknown):
    reply = pb.RunModelReply(payload=payload, signature=signature).SerializeToString()
    if unknown:
        reply += b"\x7a" + bytes((len(unknown),)) + unknown  # field 15: of a later protocol
    (start, stop), found = split_reply(reply)
    assert reply[start:stop] == payload
    assert found == signature


def test_a_reply_without_anything_is_empty_and_unsigned():
    assert split_reply(b"") == ((0, 0), b"")


@pytest.mark.parametrize(
    "reply",
    [
        b"\x0a\x01a\x0a\x01b",  # two payloads: parsers differ on which one is signed
        b"\x12\x01a\x12\x01b",
        b"\x08\x01",  # a payload that is a number
        b"\x12",
        b"\x0a\x05abc",
        b"\x00",
    ],
)
def test_an_ambiguous_or_cut_off_reply_is_refused(reply):
    with pytest.raises(ProofFormatError, match="not a well-formed reply"):
        split_reply(reply)


def test_all_that_a_prediction_says_is_read():
    payload = prediction(
        input_hash=b"h" * 32,
        model_id="grüße",
        output_tensors=[
            tensor([2], np.array([1, 2], "<i8").tobytes(), pb.I64, 0, "first"),
            tensor([], np.array(2.5, "<f8").tobytes(), pb.F64, 1, "second"),
        ],
        inference_time=2**64 - 1,
    )
    before, after = b"header", b"trailer"
    found = read_run_model_payload(before + payload + after, 6, 6 + len(payload))
    assert (found.input_hash, found.model_id) == (b"h" * 32, "grüße")
    assert found.inference_time == 2**64 - 1
    assert [t.as_flat() for t in found.outputs] == [[1, 2], [2.5]]
    assert [(t.info.index, t.info.index_name) for t in found.outputs] == [
        (0, "first"),
        (1, "second"),
    ]


def test_the_hosts_clock_is_not_read():
    payload = pb.Payload(run_model_payload=pb.RunModelPayload(model_id="m"))
    payload.header.issued_at.FromSeconds(1_700_000_000)
    assert read(payload.SerializeToString()).model_id == "m"


def test_the_outputs_are_views_of_the_reply():
    data = np.arange(1000, dtype="<f4")
    payload = prediction(output_tensors=[tensor([1000], data.tobytes())])
    (output,) = read(payload).outputs
    array = output.as_numpy()
    assert np.shares_memory(array, np.frombuffer(payload, "u1"))
    assert not array.flags.writeable


def test_an_upload_is_no_prediction():
    payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="m"))
    with pytest.raises(ProofFormatError, match="speaks of an upload"):
        read(payload.SerializeToString())


@pytest.mark.parametrize("payload", [b"", b"\x0a\x00", b"\x22\x00"])
def test_a_payload_of_no_kind_is_refused(payload):
    with pytest.raises(ProofFormatError, match="nothing known"):
        read(payload)


@pytest.mark.parametrize("upload_first", [True, False])
def test_both_members_of_the_oneof_are_refused(upload_first):
    """protobuf takes the last one; another parser the first: a signature over both is over none."""
    upload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="m")).SerializeToString()
    run = prediction(model_id="m")
    with pytest.raises(ProofFormatError, match="not of a prediction"):
        read(upload + run if upload_first else run + upload)


@pytest.mark.parametrize(
    "twice",
    [
        prediction(model_id="a") + prediction(model_id="b"),  # protobuf would merge them
        b"\x1a\x06\x12\x01a\x12\x01b",  # two model ids
        b"\x1a\x06\x0a\x01a\x0a\x01b",  # two input hashes
        b"\x1a\x04\x20\x01\x20\x02",  # two inference times
    ],
)
def test_what_came_twice_is_refused(twice):
    pb.Payload.FromString(twice)  # protobuf itself sees nothing wrong
    with pytest.raises(ProofFormatError, match="twice"):
        read(twice)


@pytest.mark.parametrize(
    "output",
    [
        tensor([3], b"\0" * 8),
        tensor([3], b"\0" * 13),
        tensor([], b""),
        tensor([-1, -3], b"\0" * 12),
        tensor([2**31 - 1, 2**31 - 1], b"\0" * 4),
        tensor([2**31 - 1] * 60, b""),
        tensor([2], b"\0\0", pb.UNKNOWN),
        tensor([1] * 65, b"\0" * 4),
    ],
    ids=["short", "long", "no scalar", "negative", "huge", "astronomic", "no dtype", "rank"],
)
def test_an_output_that_does_not_fit_its_facts_is_refused(output):
    with pytest.raises(ProofFormatError, match="not a well-formed prediction"):
        read(prediction(output_tensors=[output]))


def test_a_dimension_over_int32_is_read_as_protobuf_reads_it():
    """2^31 in a varint is the int32 -2^31: negative, and refused."""
    info = b"\x0a\x05\x80\x80\x80\x80\x08"
    data = b"\x0a" + bytes((len(info),)) + info
    run = b"\x1a" + bytes((len(data),)) + data
    payload = b"\x1a" + bytes((len(run),)) + run
    message = pb.Payload.FromString(payload)
    assert message.run_model_payload.output_tensors[0].info.dims == [-(2**31)]
    with pytest.raises(ProofFormatError, match="negative"):
        read(payload)


def test_a_model_id_that_is_no_text_is_refused():
    with pytest.raises(ProofFormatError, match="UTF-8"):
        read(b"\x1a\x03\x12\x01\xff")


_outputs = st.builds(
    lambda values, index, name: tensor(
        [len(values)], np.array(values, "<i2").tobytes(), pb.I16, index, name
    ),
    st.lists(st.integers(-(2**15), 2**15 - 1), max_size=5),
    st.integers(-(2**31), 2**31 - 1),
    st.text(max_size=5),
)


@given(
    input_hash=st.binary(max_size=32),
    model_id=st.text(max_size=10),
    outputs=st.lists(_outputs, max_size=4),
    inference_time=st.integers(0, 2**64 - 1),
)
def test_it_reads_what_protobuf_writes(input_hash, model_id, outputs, inference_time):
    found = read(
        prediction(
            input_hash=input_hash,
            model_id=model_id,
            output_tensors=outputs,
            inference_time=inference_time,
        )
    )
    assert found[:2] == (input_hash, model_id)
    assert found.inference_time == inference_time
    assert [t.bytes_data for t in found.outputs] == [t.bytes_data for t in outputs]
    assert [(t.info.index, t.info.index_name) for t in found.outputs] == [
        (t.info.index, t.info.index_name) for t in outputs
    ]
    assert all(t.datum_type is ModelDatumType.I16 for t in found.outputs)


WHOLE = prediction(
    input_hash=b"h" * 32,
    model_id="a model",
    output_tensors=[tensor([2, 3], bytes(24), name="y"), tensor([], bytes(4))],
    inference_time=300,
)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_only_the_packages_error(encoded):
    for reader in (read, split_reply):
        try:
            reader(encoded)
        except ProofFormatError:
            continue


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_read_as_it_stands(at, value):
    changed = bytearray(WHOLE)
    changed[at] = value
    try:
        found = read(bytes(changed))
    except ProofFormatError:
        return
    for output in found.outputs:  # what was let through can be used
        assert output.as_numpy().nbytes == len(output.bytes_data)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_prefix_is_refused(length):
    with pytest.raises(ProofFormatError):
        read(WHOLE[:length])


def read_in_full(reply):
    """What the readers of every form say of an unsigned reply; None where they refuse it."""
    try:
        span, signature = split_reply(reply)
        return span, signature, read_run_model_payload(reply, *span)
    except ProofFormatError:
        return None


@st.composite
def replies(draw):
    """Unsigned replies as servers write them, and with anything in them changed."""
    sizes = draw(st.lists(st.integers(0, 40), max_size=4))
    payload = pb.Payload(
        run_model_payload=pb.RunModelPayload(
            output_tensors=[tensor([n], bytes(4 * n), index=i) for i, n in enumerate(sizes)],
            inference_time=draw(st.sampled_from([0, 3, 300, 2**63])),
            model_id=draw(st.sampled_from(["", "", "m"])),
        )
    )
    if draw(st.booleans()):
        payload.header.issued_at.FromSeconds(draw(st.integers(0, 2**32)))
    signature = draw(st.sampled_from([b"", b"", b"s"]))
    reply = pb.RunModelReply(payload=payload.SerializeToString(), signature=signature)
    encoded = bytearray(reply.SerializeToString())
    for _ in range(draw(st.integers(0, 2))):
        if encoded:
            at = draw(st.integers(0, len(encoded) - 1))
            encoded[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(encoded)


@given(replies() | st.binary(max_size=40))
def test_the_usual_form_is_read_as_by_the_readers_of_every_form(reply):
    usual = read_usual_reply(reply)
    if usual is not None:
        span, payload = usual
        assert read_in_full(reply) == (span, b"", payload)


def test_what_servers_send_is_the_usual_form():
    payload = pb.Payload(
        run_model_payload=pb.RunModelPayload(
            output_tensors=[tensor([2], bytes(8), name="y")] * 2, inference_time=3
        )
    )
    payload.header.issued_at.FromSeconds(1_700_000_000)
    reply = pb.RunModelReply(payload=payload.SerializeToString()).SerializeToString()
    assert read_usual_reply(reply) is not None
    signed = pb.RunModelReply(payload=payload.SerializeToString(), signature=b"s")
    assert read_usual_reply(signed.SerializeToString()) is None


@pytest.mark.parametrize("outputs", [[tensor([0], b"")] * 100, [tensor([20_000], bytes(80_000))]])
def test_large_replies_are_left_to_the_readers_of_every_form(outputs):
    reply = pb.RunModelReply(payload=prediction(output_tensors=outputs)).SerializeToString()
    assert read_usual_reply(reply) is None
    assert len(read_in_full(reply)[2].outputs) == len(outputs)
