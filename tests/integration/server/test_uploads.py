"""SendModel and DeleteModel: what is kept, what is said about it, and what is refused."""

from __future__ import annotations

import hashlib
import uuid

import grpc
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindai_async._pb import securedexchange_pb2 as pb

FACTS = {
    "tensor_inputs": [pb.TensorInfo(dims=[1, 4], datum_type=pb.F32, index_name="x")],
    "tensor_outputs": [pb.TensorInfo(datum_type=pb.I64, index=1)],
}


def payload_of(reply):
    return pb.Payload.FromString(reply.payload).send_model_payload


async def test_a_model_without_an_id_gets_a_random_uuid(client, onnx_models):
    ids = {await client.upload_id(onnx_models.identity()) for _ in range(3)}
    assert len(ids) == 3
    assert {uuid.UUID(each).version for each in ids} == {4}


async def test_a_signed_reply_has_hash_facts_and_signature(server, client, onnx_models):
    model = onnx_models.linear(64, 8)
    reply = await client.upload(model, chunk=100, model_id="m", sign=True, **FACTS)
    key = Ed25519PublicKey.from_public_bytes(server.enclave_signing_key)
    key.verify(reply.signature, reply.payload)
    payload = payload_of(reply)
    assert payload.model_id == "m"
    assert payload.model_hash == hashlib.sha256(model).digest()
    assert list(payload.tensor_inputs) == FACTS["tensor_inputs"]
    assert list(payload.tensor_outputs) == FACTS["tensor_outputs"]
    assert pb.Payload.FromString(reply.payload).header.issued_at.seconds > 1_600_000_000


async def test_an_unsigned_reply_has_the_id_only(client, onnx_models):
    reply = await client.upload(onnx_models.identity(), model_id="m", **FACTS)
    assert reply.signature == b""
    assert payload_of(reply) == pb.SendModelPayload(model_id="m")


async def test_metadata_counts_as_the_first_message_states_it(client, onnx_models):
    model = onnx_models.identity()
    messages = [
        pb.SendModelRequest(data=model[:50], model_id="first", sign=True),
        pb.SendModelRequest(data=model[50:], model_id="second", sign=False, length=2**60),
    ]
    reply = await client.call("SendModel", iter(messages))
    assert payload_of(reply).model_id == "first"
    assert reply.signature


async def test_metadata_may_come_before_any_data(client, onnx_models):
    messages = [
        pb.SendModelRequest(model_id="first"),
        pb.SendModelRequest(data=onnx_models.identity(), model_id="second"),
    ]
    assert payload_of(await client.call("SendModel", iter(messages))).model_id == "first"


async def test_an_upload_shorter_than_announced_is_refused(client, onnx_models, refusal):
    model = onnx_models.identity()
    message = pb.SendModelRequest(data=model, length=len(model) + 1)
    assert await refusal(client.call("SendModel", iter([message]))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Model is incomplete",
    )


@pytest.mark.parametrize("length", [0, 50])
async def test_a_length_that_is_none_or_a_chunks_is_ignored(client, onnx_models, length):
    model = onnx_models.identity("int8", (1,))
    pieces = [model[at : at + 50] for at in range(0, len(model), 50)]
    messages = [pb.SendModelRequest(data=each, length=length, model_id="m") for each in pieces]
    await client.call("SendModel", iter(messages))
    (got,) = await client.predict("m", np.array([7], "int8"))
    assert got.tolist() == [7]


async def test_an_upload_replaces_the_model_of_its_id(client, onnx_models):
    await client.upload(onnx_models.linear(2, 3), model_id="m")
    await client.upload(onnx_models.identity("int8", (1,)), model_id="m")
    (got,) = await client.predict("m", np.array([7], "int8"))
    assert got.tolist() == [7]


async def test_a_refused_upload_leaves_the_earlier_model(client, onnx_models, refusal):
    await client.upload(onnx_models.identity("int8", (1,)), model_id="m")
    await refusal(client.upload(b"no model", model_id="m"))
    (got,) = await client.predict("m", np.array([7], "int8"))
    assert got.tolist() == [7]


@pytest.mark.parametrize("messages", [[], [pb.SendModelRequest(model_id="m")]])
async def test_an_upload_without_data_is_refused(client, refusal, messages):
    assert await refusal(client.call("SendModel", iter(messages))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Received no data",
    )


@pytest.mark.parametrize(
    "content", [b"\x00", b"not an ONNX file" * 99, b"ORTM" * 20, b"\x08\x08"], ids=repr
)
async def test_what_does_not_load_is_refused(client, refusal, content):
    code, details = await refusal(client.upload(content))
    assert code is grpc.StatusCode.UNKNOWN
    assert details.startswith("The model")
    assert "/" not in details


async def test_a_model_of_types_that_the_wire_lacks_is_refused(client, onnx_models, refusal):
    code, details = await refusal(client.upload(onnx_models.identity("float16")))
    assert code is grpc.StatusCode.UNKNOWN
    assert "tensor(float16)" in details


@pytest.mark.parametrize("zipmap", [True, False], ids=["maps", "strings"])
async def test_what_scikit_learn_gives_is_refused_with_its_way_out(client, refusal, zipmap):
    """A classifier as skl2onnx converts it: string labels, and a sequence of maps."""
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    scores = helper.make_tensor_value_info("x", proto.FLOAT, [None, 2])
    if zipmap:
        node = helper.make_node(
            "ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
        )
        value = helper.make_tensor_type_proto(proto.FLOAT, [])
        maps = helper.make_map_type_proto(proto.INT64, value)
        output = helper.make_value_info("probabilities", helper.make_sequence_type_proto(maps))
    else:
        node = helper.make_node("Cast", ["x"], ["label"], to=proto.STRING)
        output = helper.make_tensor_value_info("label", proto.STRING, [None, 2])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(
        helper.make_graph([node], "g", [scores], [output]), opset_imports=opsets, ir_version=8
    )
    code, details = await refusal(client.upload(model.SerializeToString()))
    assert code is grpc.StatusCode.UNKNOWN
    assert ("zipmap=False" if zipmap else "cut the model") in details
    assert repr(output.name) in details


async def test_a_model_as_large_as_allowed_passes(start_server, raw_client, onnx_models):
    model = onnx_models.linear(64, 64)
    client = await raw_client(await start_server(max_model_size=len(model)))
    await client.upload(model, chunk=1000)


@pytest.mark.parametrize("announce", [True, False])
async def test_a_model_that_is_too_big_is_refused_while_it_streams(
    start_server, raw_client, refusal, announce
):
    client = await raw_client(await start_server(max_model_size=1_000_000))
    sent = 0

    async def messages():
        nonlocal sent
        while True:  # only the server can end this
            sent += 1
            yield pb.SendModelRequest(data=bytes(10_000), length=2**40 if announce else 0)

    assert await refusal(client.call("SendModel", messages())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Model is too big",
    )
    assert sent < 2_000


async def test_uploads_can_be_disabled(start_server, raw_client, onnx_models, tmp_path, refusal):
    (tmp_path / "m.onnx").write_bytes(onnx_models.identity("int8", (1,)))
    server = await start_server(allow_uploads=False, models={"kept": tmp_path / "m.onnx"})
    client = await raw_client(server)
    code, _ = await refusal(client.upload(onnx_models.identity()))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    (got,) = await client.predict("kept", np.array([7], "int8"))
    assert got.tolist() == [7]


async def test_a_deleted_model_is_gone(client, onnx_models, refusal):
    await client.upload(onnx_models.identity("float32", (1,)), model_id="m")
    await client.delete("m")
    _, details = await refusal(client.run("m", np.ones(1, "float32")))
    assert details == "Model doesn't exist"


async def test_deleting_an_unknown_model_succeeds(client):
    assert await client.delete("nobody's") == b""


async def test_deleting_without_an_id_is_refused(client, refusal):
    code, _ = await refusal(client.delete(""))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_token_is_accepted_and_ignored(client):
    call = client.attested.unary_unary("/securedexchange.Exchange/DeleteModel")
    request = pb.DeleteModelRequest(model_id="m").SerializeToString()
    assert await call(request, metadata=(("accesstoken", "any.thing.atall"),)) == b""
