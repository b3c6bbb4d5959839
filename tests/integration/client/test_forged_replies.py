"""Replies that are not the enclave's to the question that was asked: none becomes a result."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import SignatureError, TransportError

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ANOTHER = Ed25519PrivateKey.generate()


@pytest.fixture
async def connection(connect, scripted):
    return await connect(scripted)


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"sign": False}, "not signed"),
        ({"signer": ANOTHER}, "not signed by this enclave's key"),
        ({"model_id": "another"}, "for the model 'another'"),
        ({"model_id": ""}, "for the model ''"),
        ({"input_hash": sha256(b"other").digest()}, "other inputs"),
        ({"input_hash": b""}, "other inputs"),
    ],
)
async def test_a_signed_prediction_that_does_not_hold_is_refused(
    connection, scripted, forged, said
):
    async def forge(call):
        return await scripted.echo(call, **forged)

    scripted.answers[RUN_MODEL] = forge
    with pytest.raises(SignatureError, match=said):
        await connection.predict("m", X, sign=True)


async def test_a_recorded_answer_to_another_question_is_refused(connection, scripted):
    recorded = []

    async def record(call):
        recorded.append(await scripted.echo(call))
        return recorded[0]

    scripted.answers[RUN_MODEL] = record
    await connection.predict("m", X, sign=True)
    with pytest.raises(SignatureError, match="other inputs"):
        await connection.predict("m", X + 1, sign=True)
    with pytest.raises(SignatureError, match="for the model"):
        await connection.predict("another", X, sign=True)


async def test_an_altered_output_is_refused(connection, scripted):
    async def alter(call):
        reply = pb.RunModelReply.FromString(await scripted.echo(call))
        at = reply.payload.rindex(X.tobytes())
        reply.payload = reply.payload[:at] + b"\x01" + reply.payload[at + 1 :]
        return reply.SerializeToString()

    scripted.answers[RUN_MODEL] = alter
    with pytest.raises(SignatureError, match="not signed by this enclave's key"):
        await connection.predict("m", X, sign=True)
    assert (await connection.predict("m", X)).output[0].as_numpy()[0, 0] != 0


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize(
    ("dims", "data", "datum_type"),
    [
        ([3], bytes(8), pb.F32),
        ([3], bytes(16), pb.F32),
        ([], b"", pb.F32),
        ([-1], bytes(4), pb.F32),
        ([2**31 - 1, 2**31 - 1, 4], b"", pb.U8),
        ([2**31 - 1], bytes(4), pb.F64),
        ([1], bytes(4), pb.UNKNOWN),
    ],
    ids=["short", "long", "no scalar", "negative", "huge", "2^31-1", "unknown"],
)
async def test_an_output_that_does_not_fit_its_facts_is_refused(
    connection, scripted, tensor_data, dims, data, datum_type, sign
):
    async def forge(call):
        return await scripted.echo(call, outputs=[tensor_data(data, dims, datum_type)])

    scripted.answers[RUN_MODEL] = forge
    with pytest.raises(TransportError, match=r"predict: the server's reply was refused"):
        await connection.predict("m", X, sign=sign)


async def test_an_output_of_2_to_the_31_is_refused(connection, scripted):
    info = b"\x0a\x05\x80\x80\x80\x80\x08"  # dims [2^31], which no int32 is
    data = b"\x0a" + bytes((len(info),)) + info
    run = b"\x1a" + bytes((len(data),)) + data
    scripted.answers[RUN_MODEL] = scripted.reply(b"\x1a" + bytes((len(run),)) + run, sign=False)
    with pytest.raises(TransportError, match="refused"):
        await connection.predict("m", X)


@pytest.mark.parametrize("sign", [False, True])
async def test_a_reply_of_another_kind_is_refused(connection, scripted, sign):
    upload = pb.Payload(
        send_model_payload=pb.SendModelPayload(
            model_id="m", model_hash=sha256(X.tobytes()).digest()
        )
    ).SerializeToString()
    run = pb.Payload(
        run_model_payload=pb.RunModelPayload(model_id="m", input_hash=sha256(X.tobytes()).digest())
    ).SerializeToString()
    for payload in (upload, upload + run, run + upload):
        scripted.answers[RUN_MODEL] = scripted.reply(payload)
        with pytest.raises(TransportError, match="refused"):
            await connection.predict("m", X, sign=sign)
    scripted.answers[SEND_MODEL] = scripted.reply(run)
    with pytest.raises(TransportError, match="upload_model: the server's reply was refused"):
        await connection.upload_model(X.tobytes(), sign=sign)


async def test_an_unsigned_reply_for_another_model_is_refused(connection, scripted):
    async def forge(call):
        return await scripted.echo(call, model_id="another")

    scripted.answers[RUN_MODEL] = forge
    with pytest.raises(TransportError, match="another model"):
        await connection.predict("m", X)


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ({"model_hash": sha256(b"another").digest()}, "hash differs"),
        ({"model_hash": b""}, "hash differs"),
    ],
)
async def test_a_signed_upload_of_another_model_is_refused(connection, scripted, forged, said):
    async def forge(call):
        return await scripted.accept_model(call, **forged)

    scripted.answers[SEND_MODEL] = forge
    with pytest.raises(SignatureError, match=said):
        await connection.upload_model(b"onnx", sign=True)


@pytest.mark.parametrize("how", [{"sign": False}, {"signer": ANOTHER}])
async def test_an_upload_that_this_enclave_did_not_sign_is_refused(connection, scripted, how):
    payload = pb.SendModelPayload(model_id="m", model_hash=sha256(b"onnx").digest())
    scripted.answers[SEND_MODEL] = scripted.reply(
        pb.Payload(send_model_payload=payload).SerializeToString(), **how
    )
    with pytest.raises(SignatureError):
        await connection.upload_model(b"onnx", sign=True)


async def test_truncated_replies_are_refused(connection, scripted):
    whole = scripted.run_model_reply(
        [pb.TensorData(info=pb.TensorInfo(dims=X.shape), bytes_data=X.tobytes())], "m"
    )
    payload = pb.RunModelReply.FromString(whole).payload
    for length in range(0, len(payload), 5):
        scripted.answers[RUN_MODEL] = pb.RunModelReply(payload=payload[:length]).SerializeToString()
        with pytest.raises(TransportError, match="refused"):
            await connection.predict("m", X)
