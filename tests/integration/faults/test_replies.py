"""Replies that are somebody else's: an attacker holds the TLS key, but not the signing key."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np
import pytest
from machine import SECRET_INPUT
from relay import Relay

from blindai_async import Batching
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import BlindAIError, SignatureError, TransportError

RUN_MODEL = "/securedexchange.Exchange/RunModel"
SEND_MODEL = "/securedexchange.Exchange/SendModel"


def rows(count, first=0.0):
    return np.arange(count * 8, dtype=np.float32).reshape(count, 8) + np.float32(first)


@pytest.fixture
async def relay(machine):
    """Holds the enclave's TLS key; passes everything on until a test says otherwise."""
    async with Relay(machine.attested_port, machine.steal()[1], machine.steal()) as relay:
        yield relay


@pytest.fixture
async def connection(machine, relay, opened):
    return await opened(machine.connection(attested_port=relay.port))


class Pairs:
    """Holds replies to predictions back until there are two, and swaps them; not for long."""

    def __init__(self):
        self._first = None

    async def __call__(self, path, _request, reply):
        if path != RUN_MODEL:
            return reply
        if self._first is None:
            self._first = (reply, asyncio.get_running_loop().create_future())
            with suppress(TimeoutError):
                return await asyncio.wait_for(self._first[1], 0.5)
            self._first = None
            return reply
        other, waiting = self._first
        self._first = None
        waiting.set_result(reply)
        return other


async def test_the_relay_by_itself_changes_nothing(connection):
    reply = await connection.predict("echo", SECRET_INPUT, sign=True)
    assert reply.output[0].bytes_data == SECRET_INPUT.tobytes()


async def test_signed_replies_swapped_between_callers_are_refused(relay, connection):
    relay.tamper = Pairs()
    calls = [connection.predict("echo", rows(1, n), sign=True) for n in range(2)]
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, SignatureError)
        assert "other inputs" in str(outcome)


async def test_a_signed_reply_replayed_from_another_call_is_refused(relay, connection):
    recorded = []
    relay.tamper = lambda path, _request, reply: recorded.append(reply) or reply
    await connection.predict("echo", rows(1), sign=True)
    relay.tamper = lambda path, _request, reply: recorded[0]
    with pytest.raises(SignatureError, match="other inputs"):
        await connection.predict("echo", rows(1, 1), sign=True)
    # There is no nonce: an answer to the very same question may be a recording (SECURITY.md).
    await connection.predict("echo", rows(1), sign=True)


async def test_a_signed_reply_of_another_model_is_refused(relay, connection, onnx_models, tmp_path):
    await connection.upload_model(onnx_models.identity("float32", ("batch", 8)), model_id="twin")
    recorded = []
    relay.tamper = lambda path, _request, reply: recorded.append(reply) or reply
    await connection.predict("twin", rows(1), sign=True)
    relay.tamper = lambda path, _request, reply: recorded[0]
    with pytest.raises(SignatureError, match="for the model 'twin'"):
        await connection.predict("echo", rows(1), sign=True)


async def test_a_reply_signed_by_another_enclave_is_refused(
    relay, connection, start_machine, model_file
):
    other = await start_machine(models={"echo": model_file})
    async with other.connection() as elsewhere:
        foreign = await elsewhere.predict("echo", rows(1), sign=True)
    forged = pb.RunModelReply(payload=foreign.payload, signature=foreign.signature)
    relay.tamper = lambda path, _request, reply: forged.SerializeToString()
    with pytest.raises(SignatureError, match="not signed by this enclave"):
        await connection.predict("echo", rows(1), sign=True)


async def test_a_signature_taken_away_is_noticed(relay, connection):
    def strip(path, _request, reply):
        message = pb.RunModelReply.FromString(reply)
        return pb.RunModelReply(payload=message.payload).SerializeToString()

    relay.tamper = strip
    with pytest.raises(SignatureError, match="not signed"):
        await connection.predict("echo", rows(1), sign=True)


@pytest.mark.parametrize("sign", [True, False])
async def test_a_truncated_reply_is_refused_at_every_length(relay, connection, sign):
    whole = await true_reply(relay, connection, sign)
    for length in [*range(0, len(whole), 3), len(whole) - 1]:
        relay.tamper = lambda path, _request, _reply, cut=whole[:length]: cut
        with pytest.raises(BlindAIError):
            await connection.predict("echo", rows(1), sign=sign)


async def true_reply(relay, connection, sign):
    seen = []
    relay.tamper = lambda path, _request, reply: seen.append(reply) or reply
    await connection.predict("echo", rows(1), sign=sign)
    return seen[0]


@pytest.mark.parametrize("sign", [True, False])
async def test_no_flipped_byte_of_a_reply_goes_unnoticed_when_signed(relay, connection, sign):
    """Unsigned, the shape is what is checked: a flipped number is the attacker's to flip."""
    reply = await true_reply(relay, connection, sign)
    expected = rows(1).tobytes()
    for at in range(len(reply)):
        flipped = reply[:at] + bytes([reply[at] ^ 0x10]) + reply[at + 1 :]
        relay.tamper = lambda path, _request, _reply, flipped=flipped: flipped
        try:
            answer = await connection.predict("echo", rows(1), sign=sign)
        except BlindAIError:
            continue
        assert sum(tensor.as_numpy().nbytes for tensor in answer.output) in (0, len(expected))
        if sign:
            assert answer.output[0].bytes_data == expected


async def test_batched_replies_swapped_between_batches_keep_their_shapes(machine, relay, opened):
    """Unsigned answers of another shape are refused; of the same shape nothing tells them apart."""
    connection = await opened(
        machine.connection(attested_port=relay.port, batching=Batching(max_delay=0.02))
    )
    await connection.predict("echo", rows(1))
    relay.tamper = Pairs()
    first = [connection.predict("echo", rows(1, n)) for n in range(3)]
    second = connection.predict("echo", rows(5), batch=False)
    for outcome in await asyncio.gather(*first, second, return_exceptions=True):
        if not isinstance(outcome, BlindAIError):
            assert outcome.output[0].shape[1:] == (8,)


async def test_the_answer_to_an_upload_must_be_about_this_model(relay, connection, onnx_models):
    one, two = (onnx_models.linear(8, 2, seed=seed) for seed in (1, 2))
    recorded = []
    relay.tamper = lambda path, _request, reply: recorded.append(reply) or reply
    await connection.upload_model(one, model_id="m", sign=True)
    relay.tamper = lambda path, _request, reply: recorded[0]
    with pytest.raises(SignatureError, match="another model"):
        await connection.upload_model(two, model_id="m", sign=True)


async def test_an_upload_s_answer_in_a_prediction_s_place_is_refused(relay, connection):
    payload = pb.Payload(send_model_payload=pb.SendModelPayload(model_id="echo"))
    forged = pb.RunModelReply(payload=payload.SerializeToString()).SerializeToString()
    relay.tamper = lambda path, _request, reply: forged
    with pytest.raises(TransportError, match="speaks of an upload"):
        await connection.predict("echo", rows(1))
