"""Chunks into tensors, whatever their order and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.server.inference.tensor_assembly import InputAssembler
from blindai_async.server.status_errors import RefusalError


def chunk(data, *, dims=(), kind=pb.U8, index=0, name=""):
    info = pb.TensorInfo(dims=dims, datum_type=kind, index=index, index_name=name)
    return pb.TensorData(info=info, bytes_data=data)


@given(
    contents=st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=10),
    order=st.randoms(use_true_random=False),
)
def test_tensors_come_out_whole_however_they_are_cut_and_interleaved(contents, cuts, order):
    queues = []
    for index, content in enumerate(contents):
        pieces, at, turn = [], 0, 0
        while at < len(content) or not pieces:
            size = cuts[turn % len(cuts)]
            pieces.append(
                chunk(content[at : at + size], dims=[len(content)], index=index, name=f"n{index}")
            )
            at, turn = at + size, turn + 1
        queues.append(pieces)
    assembler, arrived = InputAssembler(1000), []
    while any(queues):
        queue = order.choice([queue for queue in queues if queue])
        piece = queue.pop(0)
        if piece.info.index not in arrived:
            arrived.append(piece.info.index)
        assert assembler.add(piece) == len(piece.bytes_data)
    tensors = assembler.finish()
    assert [bytes(tensor.data) for tensor in tensors] == [contents[index] for index in arrived]
    assert [tensor.as_array().tobytes() for tensor in tensors] == [
        contents[index] for index in arrived
    ]


def test_a_tensor_in_one_chunk_is_viewed_and_not_copied():
    assembler = InputAssembler(100)
    assembler.add(chunk(b"12345678", dims=[2], kind=pb.F32))
    (tensor,) = assembler.finish()
    array = tensor.as_array()
    assert np.shares_memory(array, np.frombuffer(tensor.data, np.uint8))
    assert not array.flags.writeable


def test_an_empty_first_chunk_declares_the_tensor():
    assembler = InputAssembler(100)
    assembler.add(chunk(b"", dims=[2], kind=pb.I16))
    assembler.add(chunk(b"\1\0\2\0", dims=[77], kind=pb.F64))
    (tensor,) = assembler.finish()
    assert tensor.as_array().tolist() == [1, 2]


def test_what_is_too_much_in_all_is_refused_and_not_kept():
    assembler = InputAssembler(10)
    assembler.add(chunk(bytes(6), dims=[6], index=0))
    with pytest.raises(RefusalError, match="Input is too big"):
        assembler.add(chunk(bytes(5), dims=[5], index=1))


@given(
    dims=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40),
    kind=st.integers(-(2**31), 2**31 - 1),
    data=st.binary(max_size=64),
)
def test_any_declaration_is_an_array_of_that_shape_or_refused(dims, kind, data):
    assembler = InputAssembler(1000)
    try:
        assembler.add(chunk(data, dims=dims, kind=kind))
        (tensor,) = assembler.finish()
    except RefusalError:
        return
    array = tensor.as_array()
    assert array.shape == tuple(dims)
    assert array.nbytes == len(data)


@given(dims=st.lists(st.sampled_from([0, 1, 2**31 - 1]), max_size=32), kind=st.integers(0, 10))
def test_empty_tensors_of_any_shape_do_not_overflow(dims, kind):
    assembler = InputAssembler(1000)
    try:
        assembler.add(chunk(b"", dims=dims, kind=kind))
        (tensor,) = assembler.finish()
    except RefusalError:
        return
    assert tensor.as_array().shape == tuple(dims)
