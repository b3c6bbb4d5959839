"""RunModel: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib

import grpc
import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindai_async._pb import securedexchange_pb2 as pb

DTYPES = (
    "float32",
    "float64",
    "int32",
    "int64",
    "uint32",
    "uint64",
    "uint8",
    "uint16",
    "int8",
    "int16",
    "bool",
)


def any_bits(dtype, shape):
    """Every bit pattern of the type may occur, signalling NaNs included."""
    generator = np.random.default_rng(7)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(generator.bytes(count), dtype).reshape(shape)


@pytest.mark.parametrize("dtype", DTYPES)
async def test_every_datum_type_comes_back_bit_by_bit(client, onnx_models, dtype):
    model_id = await client.upload_id(onnx_models.identity(dtype, ("n", 5)))
    sent = any_bits(dtype, (3, 5))
    (got,) = await client.predict(model_id, sent)
    assert (got.dtype, got.shape, got.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


async def test_outputs_are_described(client, onnx_models):
    model_id = await client.upload_id(onnx_models.subtract_and_swap("int64", ("n", 2)))
    one = np.arange(4).reshape(2, 2)
    payload = pb.Payload.FromString((await client.run(model_id, one, one)).payload)
    infos = [tensor.info for tensor in payload.run_model_payload.output_tensors]
    assert [(i.index, i.index_name, i.datum_type, list(i.dims)) for i in infos] == [
        (0, "difference", pb.I64, [2, 2]),
        (1, "second", pb.I64, [2, 2]),
    ]
    assert payload.run_model_payload.inference_time >= 1
    assert payload.header.issued_at.seconds > 1_600_000_000


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (7, 4)])
async def test_a_symbolic_dimension_takes_any_size(client, onnx_models, shape):
    model_id = await client.upload_id(onnx_models.identity("float32", ("n", 4)))
    (got,) = await client.predict(model_id, np.ones(shape, np.float32))
    assert got.shape == shape


async def test_a_scalar_goes_in_and_out(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("float64", ()))
    (got,) = await client.predict(model_id, np.array(2.5))
    assert (got.shape, got.item()) == ((), 2.5)


async def test_bool_bytes_other_than_0_and_1_are_true(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("bool", (4,)))
    info = pb.TensorInfo(dims=[4], datum_type=pb.Bool)
    data = pb.TensorData(info=info, bytes_data=b"\x00\x01\x02\xff")
    request = pb.RunModelRequest(input_tensors=[data], model_id=model_id)
    reply = await client.call("RunModel", iter([request]))
    (tensor,) = pb.Payload.FromString(reply.payload).run_model_payload.output_tensors
    assert tensor.bytes_data == b"\x00\x01\x01\x01"


async def test_inputs_go_to_the_model_in_order_of_first_arrival(client, onnx_models):
    model_id = await client.upload_id(onnx_models.subtract_and_swap("int32", (2,)))
    first, second = np.array([5, 5], "int32"), np.array([1, 2], "int32")
    # The higher index comes first, and chunks are interleaved.
    (a, b), (c, d) = client.pieces(first, 9, 4), client.pieces(second, 3, 4)
    requests = [
        pb.RunModelRequest(input_tensors=[a, c], model_id=model_id),
        pb.RunModelRequest(input_tensors=[d, b], model_id=model_id),
    ]
    reply = await client.call("RunModel", iter(requests))
    (difference, _) = pb.Payload.FromString(reply.payload).run_model_payload.output_tensors
    assert client.array(difference).tolist() == [4, 3]


async def test_chunks_of_one_name_belong_together(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("int32", (2,)))

    def piece(index, data):
        info = pb.TensorInfo(dims=[2], datum_type=pb.I32, index=index, index_name="x")
        return pb.TensorData(info=info, bytes_data=data)

    request = pb.RunModelRequest(
        input_tensors=[piece(0, b"\1\0\0\0"), piece(1, b"\2\0\0\0")], model_id=model_id
    )
    reply = await client.call("RunModel", iter([request]))
    (tensor,) = pb.Payload.FromString(reply.payload).run_model_payload.output_tensors
    assert client.array(tensor).tolist() == [1, 2]


async def test_facts_count_as_the_first_chunk_states_them(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("int32", (2,)))
    first = pb.TensorInfo(dims=[2], datum_type=pb.I32)
    later = pb.TensorInfo(dims=[99], datum_type=pb.F64)
    request = pb.RunModelRequest(
        input_tensors=[
            pb.TensorData(info=first, bytes_data=b"\1\0\0\0"),
            pb.TensorData(info=later, bytes_data=b"\2\0\0\0"),
        ],
        model_id=model_id,
    )
    reply = await client.call("RunModel", iter([request]))
    (tensor,) = pb.Payload.FromString(reply.payload).run_model_payload.output_tensors
    assert client.array(tensor).tolist() == [1, 2]


async def test_model_id_and_sign_are_read_from_the_last_message(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("int32", (2,)))
    a, b = client.pieces(np.array([1, 2], "int32"), 0, 4)
    requests = [
        pb.RunModelRequest(input_tensors=[a], model_id="another", sign=False),
        pb.RunModelRequest(input_tensors=[b], model_id=model_id, sign=True),
    ]
    reply = await client.call("RunModel", iter(requests))
    assert len(reply.signature) == 64
    assert pb.Payload.FromString(reply.payload).run_model_payload.model_id == model_id


async def test_a_signed_reply_covers_inputs_model_and_outputs(server, client, onnx_models):
    model_id = await client.upload_id(onnx_models.add("float32", (3,)))
    a, b = np.arange(3, dtype="float32"), np.ones(3, "float32")
    reply = await client.run(model_id, a, b, sign=True, chunk=4)
    key = Ed25519PublicKey.from_public_bytes(server.enclave_signing_key)
    key.verify(reply.signature, reply.payload)
    with pytest.raises(InvalidSignature):
        key.verify(reply.signature, reply.payload + b"\x00")
    payload = pb.Payload.FromString(reply.payload).run_model_payload
    assert payload.input_hash == hashlib.sha256(a.tobytes() + b.tobytes()).digest()
    assert payload.model_id == model_id
    assert client.array(payload.output_tensors[0]).tolist() == [1, 2, 3]


async def test_an_unsigned_reply_leaves_signature_hash_and_model_empty(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("float32", (1,)))
    reply = await client.run(model_id, np.ones(1, "float32"))
    payload = pb.Payload.FromString(reply.payload).run_model_payload
    assert (reply.signature, payload.input_hash, payload.model_id) == (b"", b"", "")


@pytest.mark.parametrize(
    "array",
    [
        np.ones((1, 5), "float32"),
        np.ones((4,), "float32"),
        np.ones((1, 1, 4), "float32"),
        np.ones((1, 4), "float64"),
    ],
    ids=["dimension", "too few dims", "too many dims", "dtype"],
)
async def test_what_the_model_does_not_take_is_refused(client, onnx_models, array, refusal):
    model_id = await client.upload_id(onnx_models.identity("float32", ("n", 4)))
    code, details = await refusal(client.run(model_id, array))
    assert code is grpc.StatusCode.UNKNOWN
    assert details.startswith("Incompatible tensor input: ")


async def test_a_batch_for_a_fixed_batch_dimension_is_refused(client, onnx_models, refusal):
    model_id = await client.upload_id(onnx_models.linear(4, 2, batch=1))
    code, details = await refusal(client.run(model_id, np.ones((2, 4), "float32")))
    assert code is grpc.StatusCode.UNKNOWN
    assert "[2, 4]" in details
    assert "[1, 4]" in details


@pytest.mark.parametrize("count", [1, 3])
async def test_another_number_of_inputs_is_refused(client, onnx_models, count, refusal):
    model_id = await client.upload_id(onnx_models.add("float32", (1,)))
    code, details = await refusal(client.run(model_id, *[np.ones(1, "float32")] * count))
    assert code is grpc.StatusCode.UNKNOWN
    assert details == f"Incompatible tensor input: the model takes 2, {count} came"


@pytest.mark.parametrize(
    ("dims", "data"),
    [
        ([4], b"\0" * 15),
        ([4], b"\0" * 17),
        ([4], b""),
        ([], b""),
        ([-1], b""),
        ([-4], b"\0" * 16),
        ([-2, -2], b"\0" * 16),
        ([2**31 - 1] * 8, b"\0" * 16),
        ([2**31 - 1, 2**31 - 1, 0, 2**31 - 1], b""),
        ([1] * 33, b"\0" * 4),
    ],
)
async def test_bytes_that_do_not_fit_the_shape_are_refused(
    client, onnx_models, dims, data, refusal
):
    model_id = await client.upload_id(onnx_models.identity("float32", None))
    info = pb.TensorInfo(dims=dims, datum_type=pb.F32)
    request = pb.RunModelRequest(
        input_tensors=[pb.TensorData(info=info, bytes_data=data)], model_id=model_id
    )
    assert await refusal(client.call("RunModel", iter([request]))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Tensor serialization error",
    )


async def test_an_unlisted_datum_type_is_refused(client, onnx_models, refusal):
    model_id = await client.upload_id(onnx_models.identity("float32", None))
    info = pb.TensorInfo(dims=[1], datum_type=pb.UNKNOWN)
    request = pb.RunModelRequest(
        input_tensors=[pb.TensorData(info=info, bytes_data=b"\0" * 4)], model_id=model_id
    )
    code, _ = await refusal(client.call("RunModel", iter([request])))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("model_id", ["", "nobody's"])
async def test_an_unknown_model_is_refused(client, model_id, refusal):
    assert await refusal(client.run(model_id, np.ones(1, "float32"))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Model doesn't exist",
    )


async def test_an_empty_stream_is_refused(client, refusal):
    code, _ = await refusal(client.call("RunModel", iter([])))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_failing_model_is_reported_without_paths(client, onnx_models, refusal):
    # The symbolic sizes differ: only the runtime can tell.
    model_id = await client.upload_id(onnx_models.add("float32", ("n",)))
    code, details = await refusal(
        client.run(model_id, np.ones(2, "float32"), np.ones(3, "float32"))
    )
    assert code is grpc.StatusCode.UNKNOWN
    assert "/" not in details


async def test_concurrent_callers_get_their_own_answers(client, onnx_models):
    model_id = await client.upload_id(onnx_models.identity("int64", ("n",)))
    answers = await asyncio.gather(
        *(client.predict(model_id, np.full(1 + n % 5, n)) for n in range(300))
    )
    for n, (got,) in enumerate(answers):
        assert got.tolist() == [n] * (1 + n % 5)


@pytest.mark.parametrize("chunk", [32 * 1024, 1024 * 1024, 5_000_000])
async def test_large_inputs_and_replies_pass(client, onnx_models, chunk):
    model_id = await client.upload_id(onnx_models.identity("float32", ("n",)))
    sent = np.random.default_rng(1).standard_normal(3_000_000, dtype=np.float32)
    (got,) = await client.predict(model_id, sent, chunk=chunk, sign=True)
    assert got.tobytes() == sent.tobytes()
