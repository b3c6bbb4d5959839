"""Replies written by hand are what the generated classes would write."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.inference.onnx_runtime import TensorFact
from blindai_async.server.rpc.replies import prediction_reply, upload_reply
from blindai_async.tensors.dtypes import ModelDatumType, translate_dtype

KEY = Ed25519PrivateKey.generate()
DTYPES = st.sampled_from(
    ["<f4", ">f4", "<f8", "<i4", ">i8", "<i8", "<u4", "<u8", "u1", "<u2", ">u2", "i1", "<i2", "?"]
)
ARRAYS = st.lists(
    hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)),
    max_size=4,
)


def named(arrays):
    return [
        (TensorFact(f"out{index}", (), translate_dtype(array.dtype)), array)
        for index, array in enumerate(arrays)
    ]


@given(arrays=ARRAYS, seconds=st.floats(0, 1e6), sign=st.booleans())
def test_a_prediction_is_the_same_message_byte_by_byte(arrays, seconds, sign):
    digest = hashlib.sha256(b"inputs").digest() if sign else b""
    serialized = prediction_reply(
        named(arrays),
        seconds,
        input_hash=digest,
        model_id="m" if sign else "",
        signing_key=KEY if sign else None,
    )
    reply = pb.RunModelReply.FromString(serialized)
    payload = pb.Payload.FromString(reply.payload)
    # Parsed and written again by the generated class, it is the same.
    assert reply.SerializeToString(deterministic=True) == serialized
    assert payload.SerializeToString(deterministic=True) == reply.payload
    assert payload.WhichOneof("payload") == "run_model_payload"
    ran = payload.run_model_payload
    assert (ran.input_hash, ran.model_id) == (digest, "m" if sign else "")
    assert ran.inference_time >= max(1, seconds * 1000)
    for index, (tensor, array) in enumerate(zip(ran.output_tensors, arrays, strict=True)):
        assert tuple(tensor.info.dims) == array.shape
        assert (tensor.info.index, tensor.info.index_name) == (index, f"out{index}")
        assert tensor.bytes_data == array.astype(array.dtype.newbyteorder("<")).tobytes()
    if sign:
        KEY.public_key().verify(reply.signature, reply.payload)
    else:
        assert reply.signature == b""


@pytest.mark.parametrize("layout", ["fortran", "strided", "read-only"])
def test_outputs_of_any_layout_are_written_in_c_order(layout):
    array = np.arange(24, dtype="float32").reshape(4, 6)
    array = {"fortran": np.asfortranarray(array), "strided": array[::2, ::-1]}.get(layout, array)
    array.flags.writeable = layout != "read-only"
    fact = TensorFact("y", (), ModelDatumType.F32)
    reply = pb.RunModelReply.FromString(prediction_reply([(fact, array)], 0.0))
    (tensor,) = pb.Payload.FromString(reply.payload).run_model_payload.output_tensors
    assert tensor.bytes_data == array.tobytes()
    assert list(tensor.info.dims) == list(array.shape)


@pytest.mark.parametrize("key", [None, KEY])
def test_an_upload_reply_holds_the_payload_that_it_signs(key):
    payload = pb.SendModelPayload(model_id="m", model_hash=b"h")
    reply = pb.SendModelReply.FromString(upload_reply(payload, key))
    assert pb.Payload.FromString(reply.payload).send_model_payload == payload
    if key is None:
        assert reply.signature == b""
    else:
        key.public_key().verify(reply.signature, reply.payload)
