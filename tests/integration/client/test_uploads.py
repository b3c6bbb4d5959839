"""upload_model: what goes out in which message, what is told meanwhile, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from blindai_async import ModelDatumType, ModelSpec, TensorSpec, UploadModelResponse
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import RequestRejectedError, TensorError, TransportError

SEND_MODEL = "/securedexchange.Exchange/SendModel"

CONTENT = os.urandom(3 << 20)


@pytest.fixture
async def connection(connect, scripted):
    return await connect(scripted)


def requests(scripted):
    (call,) = scripted.calls_of(SEND_MODEL)
    return [pb.SendModelRequest.FromString(message) for message in call.messages]


def facts(infos):
    return [(list(i.dims), pb.DatumTypeEnum.Name(i.datum_type), i.index) for i in infos]


@pytest.mark.parametrize("kind", [str, Path, bytes, bytearray, memoryview])
async def test_a_model_arrives_whole_from_whatever_holds_it(connection, scripted, tmp_path, kind):
    path = tmp_path / "digits.onnx"
    path.write_bytes(CONTENT)
    from_file = kind in (str, Path)
    response = await connection.upload_model(kind(path if from_file else CONTENT), sign=True)
    assert isinstance(response, UploadModelResponse)
    sent = requests(scripted)
    assert b"".join(request.data for request in sent) == CONTENT
    assert {request.model_name for request in sent} == {"digits.onnx" if from_file else ""}
    assert {request.length for request in sent} == {len(CONTENT)}
    response.validate(
        hashlib.sha256(CONTENT).digest(),
        allow_simulation_mode=True,
        enclave_signing_key=connection.enclave_signing_key,
    )


async def test_every_message_says_what_a_server_may_read_from_any(connection, scripted):
    await connection.upload_model(CONTENT, model_id="mine", sign=True, save_model=False)
    sent = requests(scripted)
    assert len(sent) == 12
    for request in sent:
        assert (request.model_id, request.sign, request.save_model) == ("mine", True, False)
        assert request.client_info.user_agent == "blindai_async"
        assert request.client_info.uid == ""


async def test_the_defaults_are_the_apis(connection, scripted):
    response = await connection.upload_model(b"onnx")
    (request,) = requests(scripted)
    assert (request.model_id, request.sign, request.save_model) == ("", False, True)
    assert (request.tensor_inputs, request.tensor_outputs) == ([], [])
    assert (response.model_id, response.is_signed()) == ("a-random-id", False)


@pytest.mark.parametrize("length", [1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 2 << 20])
async def test_lengths_around_a_message_are_whole(connection, scripted, length):
    response = await connection.upload_model(CONTENT[:length], sign=True)
    assert b"".join(request.data for request in requests(scripted)) == CONTENT[:length]
    assert response.is_signed()


@pytest.mark.parametrize(
    ("stated", "inputs", "outputs"),
    [
        ({"shape": (1, 4)}, [([1, 4], "F32", 0)], []),
        (
            {"shape": (1, 4), "dtype": "uint8", "dtype_out": np.int64},
            [([1, 4], "U8", 0)],
            [([], "I64", 0)],
        ),
        (
            {"input_specs": [([1, 4], ModelDatumType.I16), ([2], "f64")], "output_specs": ["bool"]},
            [([1, 4], "I16", 0), ([2], "F64", 1)],
            [([], "Bool", 0)],
        ),
        (
            {
                "input_specs": ModelSpec(
                    inputs=[TensorSpec(dims=[3], dtype="i8", name="x")],
                    outputs=[TensorSpec(dims=[2], dtype="u16"), TensorSpec()],
                )
            },
            [([3], "I8", 0)],
            [([2], "U16", 0), ([], "F32", 1)],
        ),
    ],
)
async def test_specs_are_stated_in_the_first_message(connection, scripted, stated, inputs, outputs):
    await connection.upload_model(CONTENT, **stated)
    first, *rest = requests(scripted)
    assert facts(first.tensor_inputs) == inputs
    assert facts(first.tensor_outputs) == outputs
    assert all(not request.tensor_inputs for request in rest)
    assert connection.input_specs == [
        [dims, ModelDatumType[datum_type]] for dims, datum_type, _ in inputs
    ]
    assert connection.output_specs == [ModelDatumType[datum_type] for _, datum_type, _ in outputs]


async def test_names_of_tensors_are_stated_too(connection, scripted):
    await connection.upload_model(b"onnx", [TensorSpec(dims=[3], name="pixels")])
    assert requests(scripted)[0].tensor_inputs[0].index_name == "pixels"


async def test_a_wrong_spec_is_refused_before_anything_is_sent(connection, scripted):
    scripted.calls.clear()
    with pytest.raises(TensorError, match=r"input_specs\[0\]"):
        await connection.upload_model(CONTENT, [([1], "float16")])
    assert scripted.calls == []
    assert connection.input_specs is None


async def test_progress_goes_up_to_the_whole(connection, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(CONTENT)
    for model in (path, CONTENT):
        told = []
        await connection.upload_model(model, on_progress=lambda *now, told=told: told.append(now))
        assert told[-1] == (len(CONTENT), len(CONTENT))
        assert {total for _, total in told} == {len(CONTENT)}
        sent = [now for now, _ in told]
        assert sent == sorted(set(sent))
        assert len(sent) == 12


async def test_what_progress_raises_ends_the_upload_and_reaches_the_caller(connection, scripted):
    class StoppedError(Exception):
        pass

    def stop(sent, total):
        if sent > 1 << 20:
            raise StoppedError

    with pytest.raises(StoppedError):
        await connection.upload_model(CONTENT, on_progress=stop)
    await connection.upload_model(b"after")
    assert scripted.calls_of(SEND_MODEL)[-1].messages


async def test_what_is_no_model_is_refused_before_anything_is_sent(connection, scripted, tmp_path):
    scripted.calls.clear()
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(FileNotFoundError):
        await connection.upload_model(tmp_path / "nothing.onnx")
    with pytest.raises(ValueError, match=r"empty\.onnx is empty"):
        await connection.upload_model(tmp_path / "empty.onnx")
    with pytest.raises(ValueError, match="empty"):
        await connection.upload_model(b"")
    with pytest.raises(OSError, match="directory"):
        await connection.upload_model(tmp_path)
    with pytest.raises(TypeError):
        await connection.upload_model(None)
    assert scripted.calls == []


@pytest.mark.parametrize("change", ["grows", "shrinks"])
async def test_a_file_that_changes_while_it_is_sent_is_no_model(
    connection, scripted, tmp_path, change
):
    path = tmp_path / "m.onnx"
    path.write_bytes(CONTENT)
    received = []

    async def receive(call):
        await call.read_all()
        await asyncio.sleep(0.1)  # a cancelled call's messages end before its handler is cancelled
        received.append("a whole model")
        return b""

    def meddle(sent, total):
        if sent == 512 << 10:
            os.truncate(path, len(CONTENT) + (1 if change == "grows" else -1))

    scripted.answers[SEND_MODEL] = receive
    with pytest.raises(OSError, match=r"m\.onnx (grew|changed) while it was sent"):
        await connection.upload_model(path, on_progress=meddle)
    await asyncio.sleep(0.2)
    assert received == []  # the call was cancelled: a half-closed one would be taken for whole
    assert len(scripted.calls_of(SEND_MODEL)) == 1


async def test_a_real_server_runs_what_was_uploaded(connect, server, onnx_models, tmp_path):
    path = tmp_path / "linear.onnx"
    path.write_bytes(onnx_models.linear(4, 3))
    connection = await connect(server)
    x = np.ones((2, 4), np.float32)
    for model, options in (
        (path, {"sign": True}),
        (path.read_bytes(), {"model_id": "named", "save_model": False}),
    ):
        response = await connection.upload_model(model, **options)
        assert response.model_id == options.get("model_id", response.model_id)
        result = await connection.predict(response.model_id, x, sign=True)
        np.testing.assert_allclose(
            result.output[0].as_numpy(), x @ onnx_models.linear_weights(4, 3), rtol=1e-5
        )
        await connection.delete_model(response.model_id)


async def test_a_real_server_refuses_what_is_no_onnx(connect, server):
    connection = await connect(server)
    with pytest.raises(RequestRejectedError, match="upload_model: UNKNOWN"):
        await connection.upload_model(b"not an onnx file")


def peak_memory(*, reset=False):
    """The most that this process has had resident, in KiB; since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
async def test_memory_stays_flat_whatever_the_models_size(connection, scripted, tmp_path):
    path = tmp_path / "sparse.onnx"
    with path.open("wb") as file:
        file.truncate(300 << 20)

    async def count(call):
        digest = hashlib.sha256()
        async for message in call.incoming:
            digest.update(pb.SendModelRequest.FromString(message).data)
        payload = pb.SendModelPayload(model_id="m", model_hash=digest.digest())
        return scripted.reply(pb.Payload(send_model_payload=payload).SerializeToString())

    await connection.upload_model(CONTENT)  # what the first upload of all takes
    scripted.answers[SEND_MODEL] = count
    before = peak_memory(reset=True)
    response = await connection.upload_model(path, sign=True)
    assert response.is_signed()
    grown = peak_memory() - before
    assert grown < 48 << 10, f"{grown} KiB more at the peak"


@pytest.mark.parametrize(
    ("theirs", "accepted"), [("m", True), ("ann/m", True), ("other", False), ("xm", False)]
)
async def test_an_answer_about_another_model_id_is_refused(connection, scripted, theirs, accepted):
    payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id=theirs))

    async def answer(call):
        await call.read_all()
        return scripted.reply(payload.SerializeToString())

    scripted.answers[SEND_MODEL] = answer
    if accepted:
        assert (await connection.upload_model(CONTENT, model_id="m")).model_id == theirs
    else:
        with pytest.raises(TransportError, match="another model id"):
            await connection.upload_model(CONTENT, model_id="m")


@pytest.mark.parametrize("timeout", ["1", float("nan"), [1]])
async def test_a_timeout_that_is_no_number_is_refused_before_anything_is_sent(
    connection, scripted, timeout
):
    for call in (
        connection.upload_model(CONTENT, timeout=timeout),
        connection.predict("m", np.zeros(1, np.float32), timeout=timeout),
        connection.delete_model("m", timeout=timeout),
    ):
        with pytest.raises(TypeError, match="number of seconds"):
            await call
    assert not scripted.calls_of(SEND_MODEL)
