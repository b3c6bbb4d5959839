"""Tensors on the wire: one copy out, none in, and every bit where protobuf says it is."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._wire.protobuf import WireFormatError
from blindai_async._wire.tensor_data import (
    OutgoingTensor,
    array_bytes,
    outgoing,
    read_tensor_data,
    request_frames,
)
from blindai_async.errors import TensorError
from blindai_async.tensors import ModelDatumType, translate_tensors
from blindai_async.tensors.dtypes import TABLE

arrays = st.sampled_from(list(TABLE.values())).flatmap(
    lambda row: npst.arrays(row.numpy, npst.array_shapes(min_dims=0, max_dims=3, min_side=0))
)


def sent(arrays_, chunk_size, trailer=b"", digest=None):
    """What a server puts together from the messages, as the wire document tells it to."""
    tensors = [outgoing(t, i) for i, t in enumerate(translate_tensors(list(arrays_)))]
    messages = [
        pb.RunModelRequest.FromString(frame)
        for frame in request_frames(tensors, trailer, chunk_size, digest)
    ]
    infos, data = {}, {}
    for message in messages:
        for tensor in message.input_tensors:
            infos.setdefault(tensor.info.index, tensor.info)
            data[tensor.info.index] = data.get(tensor.info.index, b"") + tensor.bytes_data
    return messages, infos, data


@given(st.lists(arrays, min_size=1, max_size=4), st.integers(1, 300))
def test_a_server_reassembles_exactly_what_was_given(arrays_, chunk_size):
    digest = hashlib.sha256()

    messages, infos, data = sent(arrays_, chunk_size, digest=digest)

    assert list(infos) == list(range(len(arrays_)))
    for index, array in enumerate(arrays_):
        assert list(infos[index].dims) == list(array.shape)
        assert TABLE[ModelDatumType(infos[index].datum_type)].numpy == array.dtype
        assert data[index] == array.tobytes()
    assert digest.digest() == hashlib.sha256(b"".join(data.values())).digest()
    assert all(
        sum(len(t.bytes_data) for t in message.input_tensors) <= chunk_size for message in messages
    )


def test_small_tensors_share_one_message_and_every_message_has_the_trailer():
    trailer = pb.RunModelRequest(sign=True, model_id="m").SerializeToString()

    one, *_ = sent([np.zeros(4, "f4"), np.zeros(4, "i8")], 1000, trailer)
    many, *_ = sent([np.zeros(400, "f4")], 1000, trailer)

    assert [len(m.input_tensors) for m in one] == [2]
    assert len(many) == 2
    assert {(m.model_id, m.sign) for m in one + many} == {("m", True)}


def test_rows_of_several_callers_are_joined_without_touching_them():
    rows = [np.full((1, 4), n, np.float32) for n in range(5)]
    info = outgoing(translate_tensors(np.zeros((5, 4), np.float32))[0], 0).info
    joined = OutgoingTensor(info, [array_bytes(row) for row in rows], 80)

    frames = list(request_frames([joined], b"", 50))

    data = b"".join(pb.RunModelRequest.FromString(f).input_tensors[0].bytes_data for f in frames)
    assert data == np.concatenate(rows).tobytes()


@given(arrays, st.integers(0, 9), st.text(max_size=5))
def test_a_reply_is_read_without_a_copy_and_bit_exact(array, index, name):
    datum_type = next(t for t, row in TABLE.items() if row.numpy == array.dtype)
    message = pb.TensorData(
        info=pb.TensorInfo(dims=array.shape, datum_type=datum_type, index=index, index_name=name),
        bytes_data=array.tobytes(),
    ).SerializeToString()
    buffer = b"??" + message

    tensor = read_tensor_data(buffer, 2, len(buffer))

    back = tensor.as_numpy()
    assert (tensor.info.index, tensor.info.index_name) == (index, name)
    assert (back.shape, back.dtype, back.tobytes()) == (array.shape, array.dtype, array.tobytes())
    assert not back.flags.writeable
    if array.size:
        assert np.shares_memory(back, np.frombuffer(buffer, np.uint8))


def test_dims_are_read_unpacked_too():
    encoded = b"\x0a\x06" + b"\x08\x02" + b"\x08\x01" + b"\x10\x06" + b"\x12\x02ab"

    assert read_tensor_data(encoded, 0, len(encoded)).shape == (2, 1)


@pytest.mark.parametrize(
    ("info", "data", "error"),
    [
        ({"dims": [3], "datum_type": 0}, b"\x00" * 8, TensorError),
        ({"dims": [2**31 - 1] * 4, "datum_type": 1}, b"", TensorError),
        ({"dims": [-1, -8], "datum_type": 6}, b"\x00" * 8, TensorError),
        ({"dims": [1] * 65, "datum_type": 6}, b"\x00", TensorError),
        ({"dims": [1], "datum_type": -1}, b"\x00", WireFormatError),
        ({"dims": [1], "datum_type": 11}, b"\x00", WireFormatError),
    ],
)
def test_a_tensor_that_does_not_fit_its_facts_is_refused(info, data, error):
    message = pb.TensorData(info=pb.TensorInfo(**info), bytes_data=data).SerializeToString()

    with pytest.raises(error):
        read_tensor_data(message, 0, len(message))


@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_only_the_packages_errors(encoded):
    try:
        tensor = read_tensor_data(encoded, 0, len(encoded))
    except (WireFormatError, TensorError):
        return
    theirs = pb.TensorData.FromString(encoded)
    assert (list(theirs.info.dims), theirs.bytes_data) == (tensor.info.dims, tensor.bytes_data)
