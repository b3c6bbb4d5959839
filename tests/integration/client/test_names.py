"""Inputs and outputs by name, and refusals that callers can tell apart, over real gRPC and TLS."""

from __future__ import annotations

import numpy as np
import pytest

import blindai_async
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import (
    ModelNotFoundError,
    RequestRejectedError,
    TensorError,
    TensorMismatchError,
)

pytestmark = pytest.mark.filterwarnings("ignore::blindai_async.errors.SecurityWarning")

A = np.array([[5, 6, 7, 8]], np.float32)
B = np.array([[1, 1, 2, 2]], np.float32)


@pytest.fixture
async def conn(server):
    async with blindai_async.connect(
        "127.0.0.1",
        simulation=True,
        attested_port=server.attested_port,
        untrusted_port=server.untrusted_port,
        batching=blindai_async.Batching(),
    ) as connection:
        yield connection


class TestKnownNames:
    """The uploaded file tells them."""

    @pytest.fixture
    async def model_id(self, conn, onnx_models):
        response = await conn.upload_model(onnx_models.subtract_and_swap(), model_id="m")
        return response.model_id

    @pytest.mark.parametrize("batch", [True, False])
    @pytest.mark.parametrize("sign", [True, False])
    async def test_put_inputs_in_the_models_order(self, conn, model_id, batch, sign):
        result = await conn.predict(model_id, {"b": B, "a": A}, batch=batch, sign=sign)
        assert np.array_equal(np.asarray(result.outputs["difference"]), A - B)
        assert np.array_equal(np.asarray(result.outputs["second"]), B)
        assert list(result.outputs) == ["difference", "second"]

    async def test_take_dtypes_and_shapes_by_name_too(self, conn, model_id):
        result = await conn.predict(
            model_id,
            {"b": B.ravel().tolist(), "a": A},
            dtype={"b": "float32"},
            shape={"b": [1, 4]},
        )
        assert np.array_equal(result.outputs["difference"].as_numpy(), A - B)

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            ({"a": A, "c": B}, "no input 'c'; its inputs are 'a', 'b'"),
            ({"a": A}, "'b' is missing"),
            ({}, "empty"),
            ({0: A, "b": B}, "not a non-empty text"),
        ],
        ids=str,
    )
    async def test_refuse_others_before_anything_is_sent(self, conn, model_id, inputs, words):
        before = conn.stats.rpcs
        with pytest.raises(TensorError, match=words):
            await conn.predict(model_id, inputs)
        assert conn.stats.rpcs == before

    async def test_go_with_the_model(self, conn, model_id, onnx_models):
        await conn.delete_model(model_id)
        with pytest.raises(ModelNotFoundError):
            await conn.predict(model_id, {"a": A, "c": B})

    async def test_are_the_signed_proofs_names(self, conn, model_id, tmp_path):
        result = await conn.predict(model_id, {"b": B, "a": A}, sign=True)
        result.save_to_file(tmp_path / "p.proof")
        kept = blindai_async.PredictResponse.from_file(tmp_path / "p.proof")
        demands = {"allow_simulation_mode": True, "enclave_signing_key": conn.enclave_signing_key}
        kept.validate(model_id, {"a": A, "b": B}, **demands)
        kept.validate(model_id, [A, B], **demands)


class TestNamesThatOnlyTheServerKnows:
    """The model was there before the connection."""

    @pytest.fixture
    async def server(self, start_server, onnx_models, tmp_path):
        path = tmp_path / "m.onnx"
        path.write_bytes(onnx_models.subtract_and_swap())
        return await start_server(models={"m": path})

    @pytest.mark.parametrize("sign", [True, False])
    async def test_are_gone_by_on_the_server(self, conn, sign):
        result = await conn.predict("m", {"b": B, "a": A}, sign=sign)
        assert np.array_equal(result.outputs["difference"].as_numpy(), A - B)

    async def test_are_refused_by_the_server_where_one_is_wrong(self, conn):
        with pytest.raises(TensorMismatchError, match=r"takes a, b; typo came"):
            await conn.predict("m", {"typo": B, "a": A})


class TestOutputs:
    async def test_without_a_name_say_what_there_is(self, conn, onnx_models):
        await conn.upload_model(onnx_models.identity(), model_id="m")
        result = await conn.predict("m", A)
        assert result.outputs["y"] == result.output[0]
        assert len(result.outputs) == 1
        with pytest.raises(KeyError, match="no output is named 'z'; the names are 'y'"):
            result.outputs["z"]


class TestRefusals:
    async def test_of_an_unknown_model_have_their_class(self, conn):
        with pytest.raises(ModelNotFoundError, match=r"doesn't exist$") as caught:
            await conn.predict("nobody's", A)
        assert caught.value.code == "INVALID_ARGUMENT"

    @pytest.mark.parametrize(
        "array", [A.astype(np.float64), A.ravel(), A[:, :2]], ids=["dtype", "rank", "dimension"]
    )
    async def test_of_inputs_that_do_not_fit_have_theirs(self, conn, onnx_models, array):
        await conn.upload_model(onnx_models.identity(), model_id="m")
        with pytest.raises(TensorMismatchError, match=r"astype\(numpy.float32\)"):
            await conn.predict("m", array)

    async def test_of_a_float64_input_say_so(self, conn, onnx_models):
        await conn.upload_model(onnx_models.identity(), model_id="m")
        with pytest.raises(TensorMismatchError, match="input 0 is F64, the model takes F32"):
            await conn.predict("m", A.astype(np.float64))

    async def test_of_a_model_that_cannot_be_served_come_before_it_is_sent(
        self, conn, onnx_models, tmp_path
    ):
        path = tmp_path / "half.onnx"
        path.write_bytes(onnx_models.identity("float16"))
        for model in (path, path.read_bytes(), bytearray(path.read_bytes())):
            before = conn.stats.bytes_sent
            with pytest.raises(TensorError, match=r"input 'x' is tensor\(float16\)"):
                await conn.upload_model(model)
            assert conn.stats.bytes_sent == before

    async def test_of_a_file_that_is_no_model_are_the_servers(self, conn):
        with pytest.raises(RequestRejectedError):
            await conn.upload_model(b"not an ONNX file")


async def test_names_are_on_the_wire(server, conn, onnx_models, monkeypatch):
    """As `TensorInfo.index_name`, beside the index that 0.5 servers go by."""
    await conn.upload_model(onnx_models.subtract_and_swap(), model_id="m")
    seen = []

    from blindai_async.server.rpc.requests import PredictionRequest

    accept = PredictionRequest.accept

    def spy(self, message):
        seen.extend(pb.RunModelRequest.FromString(message).input_tensors)
        return accept(self, message)

    monkeypatch.setattr(PredictionRequest, "accept", spy)
    await conn.predict("m", {"b": B, "a": A}, batch=False)
    assert [(each.info.index, each.info.index_name) for each in seen] == [(0, "a"), (1, "b")]
