"""predict: what is sent, bit by bit, what comes back, and what is never sent."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from blindai_async import PredictResponse
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import RequestRejectedError, TensorError

RUN_MODEL = "/securedexchange.Exchange/RunModel"

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
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def any_bits(dtype, shape=(3, 5)):
    """Every bit pattern of the type may occur, signalling NaNs included."""
    generator = np.random.default_rng(7)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(generator.bytes(count), dtype).reshape(shape)


def same_bits(got, sent):
    return (got.dtype, got.shape, got.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


@pytest.fixture
async def connection(connect, scripted):
    return await connect(scripted)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
async def test_every_datum_type_goes_out_and_comes_back_bit_by_bit(
    connection, scripted, dtype, sign
):
    sent = any_bits(dtype)
    response = await connection.predict("m", sent, sign=sign)
    (output,) = response.output
    assert same_bits(output.as_numpy(), sent)
    assert output.info.dims == [3, 5]
    message = pb.RunModelRequest.FromString(scripted.calls_of(RUN_MODEL)[0].messages[0])
    assert message.input_tensors[0].bytes_data == sent.tobytes()
    assert pb.DatumTypeEnum.Name(message.input_tensors[0].info.datum_type) == output.datum_type.name


@pytest.mark.parametrize("dtype", DTYPES)
async def test_every_datum_type_runs_in_a_real_model(connect, server, onnx_models, dtype):
    connection = await connect(server)
    model = await connection.upload_model(onnx_models.identity(dtype, ("n", 5)), sign=True)
    sent = any_bits(dtype)
    response = await connection.predict(model.model_id, sent, sign=True)
    assert same_bits(response.output[0].as_numpy(), sent)


async def test_nan_payloads_survive(connection):
    for bits, dtype in ((0x7FC0DEAD, "<u4"), (0xFFBADBAD, "<u4"), (0x7FF4DEADBEEF0001, "<u8")):
        sent = np.array([bits], dtype).view(dtype.replace("u", "f"))
        response = await connection.predict("m", sent)
        assert response.output[0].bytes_data == sent.tobytes()


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (X[:, ::-1], np.ascontiguousarray(X[:, ::-1])),
        (np.asfortranarray(X), X),
        (X.T, np.ascontiguousarray(X.T)),
        (X.astype(">f4"), X),
        (np.broadcast_to(np.float32(2), (4, 2)), np.full((4, 2), 2, np.float32)),
        (np.array(7, np.int64), np.array(7, np.int64)),
        (np.float64(2.5), np.array(2.5)),
        (np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32)),
        (np.zeros((3, 0, 2), np.uint8), np.zeros((3, 0, 2), np.uint8)),
    ],
    ids=[
        "reversed",
        "fortran",
        "transposed",
        "big-endian",
        "broadcast",
        "0-d",
        "scalar",
        "empty",
        "inner empty",
    ],
)
async def test_any_layout_is_sent_as_its_elements(connection, given, wire):
    response = await connection.predict("m", given, sign=True)
    assert same_bits(response.output[0].as_numpy(), wire)


async def test_several_inputs_keep_their_order_and_kinds(connection, scripted):
    sent = [X, any_bits("int64", (170_000,)), np.array(True), np.zeros(0, np.uint16)]
    response = await connection.predict("m", sent, sign=True)
    for output, array in zip(response.output, sent, strict=True):
        assert same_bits(output.as_numpy(), array)
    assert [output.info.index for output in response.output] == [0, 1, 2, 3]
    (call,) = scripted.calls_of(RUN_MODEL)
    assert len(call.messages) > 1


async def test_every_message_says_what_a_server_may_read_from_any(connection, scripted):
    await connection.predict("the model", any_bits("float64", (600_000,)), sign=True)
    (call,) = scripted.calls_of(RUN_MODEL)
    requests = [pb.RunModelRequest.FromString(message) for message in call.messages]
    assert len(requests) > 4
    for request in requests:
        assert (request.model_id, request.sign) == ("the model", True)
        assert request.client_info.user_agent == "blindai_async"
        assert request.client_info.uid == ""
        assert {piece.info.index for piece in request.input_tensors} == {0}


async def test_small_predictions_are_one_message(connection, scripted):
    await connection.predict("m", [X, X])
    assert [len(call.messages) for call in scripted.calls_of(RUN_MODEL)] == [1]


async def test_messages_are_larger_where_few_carry_the_whole_request(connection, scripted):
    sizes = {}
    for nbytes in (3 << 20, 5 << 20):
        await connection.predict("m", np.zeros(nbytes, np.uint8))
        sizes[nbytes] = max(map(len, scripted.calls_of(RUN_MODEL)[-1].messages)) >> 10

    assert sizes == {3 << 20: 1024, 5 << 20: 256}


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
async def test_any_chunk_size_arrives_whole(connect, scripted, chunk_size):
    connection = await connect(scripted, chunk_size=chunk_size)
    sent = [any_bits("int16", (11,)), any_bits("uint8", (5,))]
    response = await connection.predict("m", sent, sign=True)
    assert all(same_bits(o.as_numpy(), s) for o, s in zip(response.output, sent, strict=True))
    longest = max(
        sum(len(piece.bytes_data) for piece in pb.RunModelRequest.FromString(m).input_tensors)
        for m in scripted.calls_of(RUN_MODEL)[0].messages
    )
    assert longest <= chunk_size


async def test_flat_lists_take_their_dtype_and_shape_beside_them(connection):
    response = await connection.predict("m", [1, 2, 3, 4, 5, 6], "I16", [2, 3])
    assert same_bits(response.output[0].as_numpy(), np.arange(1, 7, dtype=np.int16).reshape(2, 3))
    response = await connection.predict(
        "m", [[1.5, 2.5], [True, False, True]], ["f32", "bool"], [[2], [3, 1]], sign=True
    )
    assert [o.as_flat() for o in response.output] == [[1.5, 2.5], [True, False, True]]


async def test_outputs_are_views_with_all_their_facts(connection, scripted, tensor_data):
    data = tensor_data(np.arange(4, dtype=np.int32), [2, 2], pb.I32)
    data.info.index, data.info.index_name = 1, "scores"

    async def answer(call):
        return await scripted.echo(call, outputs=[tensor_data(X, X.shape), data])

    scripted.answers[RUN_MODEL] = answer
    response = await connection.predict("m", X)
    second = response.output[1]
    assert (second.info.index, second.info.index_name) == (1, "scores")
    assert (second.shape, second.as_flat()) == ((2, 2), [0, 1, 2, 3])
    array = second.as_numpy()
    assert not array.flags.writeable
    assert not array.flags.owndata
    assert (response.inference_time, response.model_id) == (3, "m")
    assert not response.is_signed()


async def test_replies_over_8_mib_are_read(connection):
    """The original client's limit, which is gRPC's setting, not the wire's."""
    sent = any_bits("uint8", (9 << 20,))
    response = await connection.predict("m", sent, sign=True)
    assert np.array_equal(response.output[0].as_numpy(), sent)


@pytest.mark.slow
async def test_100_mb_go_out_and_come_back(connection):
    sent = np.arange(25 << 20, dtype=np.float32)
    response = await connection.predict("m", sent, sign=True, timeout=120)
    assert np.array_equal(response.output[0].as_numpy(), sent)


async def test_a_signed_prediction_is_a_proof(connection, tmp_path):
    response = await connection.predict("m", X, sign=True)
    assert response.is_signed()
    assert response.is_simulation_mode()
    response.save_to_file(tmp_path / "x.proof")
    again = PredictResponse.from_file(tmp_path / "x.proof")
    again.validate(
        "m",
        X,
        allow_simulation_mode=True,
        enclave_signing_key=connection.enclave_signing_key,
    )
    assert again.output[0].as_flat() == X.ravel().tolist()


@pytest.mark.parametrize(
    ("tensors", "dtype", "shape"),
    [
        (X.astype(np.float16), None, None),
        (X.astype(np.complex64), None, None),
        (np.array(["text"]), None, None),
        (np.array([object()]), None, None),
        ([X, X.astype(np.longdouble)], None, None),
        ([1.0, 2.0], None, None),
        ([1.0, 2.0], "float32", None),
        ([1.0, 2.0], "float32", [3]),
        ([[1.0], [2.0, 3.0]], "float32", [2, 2]),
        (X, "float64", None),
        (X, None, [6]),
        ([1, 300], "uint8", [2]),
        ("text", None, None),
        (None, None, None),
        ([], None, None),
    ],
)
async def test_what_has_no_place_on_the_wire_is_never_sent(
    connection, scripted, tensors, dtype, shape
):
    scripted.calls.clear()
    with pytest.raises(TensorError):
        await connection.predict("m", tensors, dtype, shape)
    await connection.predict("after", X)
    (call,) = scripted.calls
    assert pb.RunModelRequest.FromString(call.messages[0]).model_id == "after"


@pytest.mark.parametrize(
    ("model_id", "error"), [("", ValueError), (7, TypeError), (None, TypeError)]
)
async def test_a_model_id_is_text(connection, scripted, model_id, error):
    scripted.calls.clear()
    for call in (connection.predict(model_id, X), connection.delete_model(model_id)):
        with pytest.raises(error, match="model_id"):
            await call
    assert scripted.calls == []


async def test_what_the_server_says_of_a_wrong_model_reaches_the_caller(
    connect, server, onnx_models
):
    connection = await connect(server)
    with pytest.raises(RequestRejectedError, match="exist"):
        await connection.predict("no such model", X)
    model = await connection.upload_model(onnx_models.identity("float32", ("n", 4)))
    with pytest.raises(RequestRejectedError, match=r"[Ii]ncompatible"):
        await connection.predict(model.model_id, X)
    await connection.delete_model(model.model_id)
    with pytest.raises(RequestRejectedError):
        await connection.predict(model.model_id, np.zeros((1, 4), np.float32))


async def test_many_predictions_go_side_by_side_and_keep_apart(connection):
    async def one(number):
        sent = np.full((number % 7 + 1,), number, np.int64)
        response = await connection.predict("m", sent, sign=number % 2 == 0)
        return same_bits(response.output[0].as_numpy(), sent)

    assert all(await asyncio.gather(*map(one, range(200))))


async def test_the_callers_array_may_change_meanwhile(connection, scripted):
    """The hash covers the bytes that left, so that a signed answer to them is not refused."""
    sent = np.zeros(4 << 20, np.uint8)

    async def change():
        while True:
            sent[:] = np.random.default_rng().integers(0, 255, sent.shape, np.uint8)
            await asyncio.sleep(0)

    changing = asyncio.ensure_future(change())
    response = await connection.predict("m", sent, sign=True)
    changing.cancel()
    assert response.output[0].shape == sent.shape
