"""Enclaves that restart, move, expire or are swapped: attested anew, or not spoken to."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest
from machine import SECRET_INPUT, connection_to
from waiting import until

from blindai_async import AttestationCache, Batching, RetryPolicy
from blindai_async.errors import (
    AttestationError,
    DeadlineExceededError,
    NotAnEnclaveError,
    QuoteValidationError,
    RequestRejectedError,
    SimulationModeWarning,
    TransportError,
)
from blindai_async.server.tee.emulated import EmulatedPlatform, Lifetimes

PATIENT = RetryPolicy(attempts=30, base_delay=0.05, max_delay=0.2)
CALLERS = 40


async def answers(connection, **options):
    reply = await connection.predict("echo", SECRET_INPUT, **options)
    return reply.output[0].bytes_data == SECRET_INPUT.tobytes()


async def outcomes(connection, **options):
    calls = [answers(connection, timeout=15, **options) for _ in range(CALLERS)]
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_many_callers_ask_for_new_evidence_once(machine, opened, batching):
    connection = await opened(machine.connection(retry=PATIENT, batching=batching))
    assert await answers(connection)
    before = connection.claims
    await machine.restart()
    machine.quoting.quotes = 0
    assert all(await outcomes(connection))
    assert machine.quoting.quotes == 1
    assert connection.claims.enclave_held_data == machine.server.enclave_certificate
    assert connection.claims.enclave_held_data != before.enclave_held_data
    assert await answers(connection, sign=True)  # by the new enclave's key


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_callers_in_flight_all_learn_that_new_evidence_does_not_pass(
    machine, start_machine, model_file, proxied, opened, batching
):
    network = await proxied(machine.attested_port)
    connection = await opened(
        machine.connection(attested_port=network.port, retry=PATIENT, batching=batching)
    )
    assert await answers(connection)
    network.faults.blackhole = True
    calls = asyncio.ensure_future(outcomes(connection))
    await asyncio.sleep(0.2)
    machine.quoting.platform = EmulatedPlatform()  # another root
    network.faults.blackhole = False
    network.faults.refuse = True
    await network.cut_all()
    sent = len(network.seen["to server"])
    errors = await calls
    assert {type(error) for error in errors} == {NotAnEnclaveError}
    assert len({id(error) for error in errors}) == CALLERS
    assert len(network.seen["to server"]) == sent
    with pytest.raises(NotAnEnclaveError):  # and no call goes out after that
        await answers(connection)
    assert network.open_connections == 0


async def test_a_call_that_waits_for_its_answer_is_ended_when_the_enclave_is_refused(
    machine, proxied, opened
):
    """attest() finds out; the call that is in flight to the old enclave must not return."""
    network = await proxied(machine.attested_port)
    connection = await opened(machine.connection(attested_port=network.port))
    assert await answers(connection)
    network.faults.delay = 2
    call = asyncio.ensure_future(answers(connection))
    await asyncio.sleep(0.1)
    machine.quoting.platform = EmulatedPlatform()
    with pytest.raises(NotAnEnclaveError):
        await connection.attest()
    with pytest.raises(NotAnEnclaveError):
        await asyncio.wait_for(call, 1)


async def test_a_refused_enclave_is_asked_again_and_may_come_to_its_senses(machine, opened):
    connection = await opened(machine.connection(retry=PATIENT))
    sound, machine.quoting.platform = machine.quoting.platform, EmulatedPlatform()
    with pytest.raises(NotAnEnclaveError):
        await connection.attest()
    asked = machine.quoting.quotes
    for _ in range(20):
        with pytest.raises(NotAnEnclaveError):
            await answers(connection)
    assert machine.quoting.quotes == asked  # not twenty times within a moment
    machine.quoting.platform = sound
    await asyncio.sleep(0.6)
    assert await answers(connection)


async def test_new_evidence_is_asked_for_at_a_bounded_rate(machine, proxied, opened):
    network = await proxied(machine.attested_port)
    connection = await opened(
        machine.connection(attested_port=network.port, retry=RetryPolicy(attempts=1))
    )
    network.faults.refuse = True
    await network.cut_all()
    machine.quoting.quotes = 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    while loop.time() - started < 1.2:
        with pytest.raises(TransportError):
            await connection.predict("echo", SECRET_INPUT, timeout=1)
    assert 1 <= machine.quoting.quotes <= 3


async def test_never_means_never(machine, opened):
    connection = await opened(machine.connection(reattest="never", retry=PATIENT))
    assert await answers(connection)
    await machine.restart()
    machine.quoting.quotes = 0
    with pytest.raises(TransportError, match="certificate changed"):
        await connection.predict("echo", SECRET_INPUT, timeout=2)
    assert machine.quoting.quotes == 0
    await connection.attest()  # the caller's own decision
    assert await answers(connection)


async def test_the_callback_hears_of_every_change_and_of_nothing_else(machine, opened, caplog):
    changes = []
    connection = await opened(
        machine.connection(
            retry=PATIENT, on_identity_change=lambda old, new: changes.append((old, new))
        )
    )
    await connection.attest()
    assert changes == []
    held = [connection.claims.enclave_held_data]
    for _ in range(2):
        await machine.restart()
        with caplog.at_level(logging.WARNING, "blindai_async"):
            assert await answers(connection, timeout=10)
        held.append(connection.claims.enclave_held_data)
        await asyncio.sleep(0.5)
    assert [(old.enclave_held_data, new.enclave_held_data) for old, new in changes] == [
        (held[0], held[1]),
        (held[1], held[2]),
    ]
    assert sum("new identity" in record.message for record in caplog.records) == 2


async def test_what_the_callback_raises_reaches_the_callers(machine, opened):
    class NotMineError(Exception):
        pass

    def refuse(_old, _new):
        raise NotMineError

    connection = await opened(machine.connection(retry=PATIENT, on_identity_change=refuse))
    await machine.restart()
    with pytest.raises(NotMineError):
        await answers(connection, timeout=10)


async def test_models_that_the_enclave_forgot_are_reported(machine, opened, onnx_models):
    connection = await opened(machine.connection(retry=PATIENT))
    model = onnx_models.identity("float32", ("batch", 8))
    kept = await connection.upload_model(model, save_model=True)
    lost = await connection.upload_model(model, save_model=False)
    await machine.restart()
    assert await connection.predict(kept.model_id, SECRET_INPUT, timeout=10)
    with pytest.raises(RequestRejectedError, match=r"restarted since.*not saved are gone"):
        await connection.predict(lost.model_id, SECRET_INPUT)
    with pytest.raises(RequestRejectedError, match=r"doesn't exist$"):
        async with machine.connection() as another:
            await another.predict(lost.model_id, SECRET_INPUT)


async def test_in_simulation_mode_another_certificate_is_taken_with_a_warning(machine, opened):
    connection = await opened(connection_to(machine, simulation=True, retry=PATIENT))
    assert await answers(connection)
    for _ in range(2):
        await machine.restart()
        with pytest.warns(SimulationModeWarning, match="another certificate") as warned:
            assert await answers(connection, timeout=10)
        assert len(warned) == 1
        assert await answers(connection)  # without a warning


async def test_in_simulation_mode_too_never_means_never(machine, opened):
    connection = await opened(connection_to(machine, simulation=True, reattest="never"))
    await machine.restart()
    with pytest.raises(DeadlineExceededError, match="certificate changed"):
        await answers(connection, timeout=1)


@pytest.mark.slow
async def test_an_expired_attestation_is_renewed_before_the_next_call(
    start_machine, model_file, opened
):
    short = EmulatedPlatform(lifetimes=Lifetimes(collateral=timedelta(seconds=3)))
    machine = await start_machine(short, models={"echo": model_file})
    connection = await opened(machine.connection(attestation_cache=AttestationCache()))
    assert await answers(connection)
    first = connection.claims.valid_until
    machine.quoting.platform = EmulatedPlatform(identity=short.identity)
    machine.quoting.quotes = 0
    await asyncio.sleep(3.1)
    assert await outcomes(connection) == [True] * CALLERS
    assert machine.quoting.quotes == 1
    assert connection.claims.valid_until > first


@pytest.mark.slow
async def test_evidence_that_stays_expired_stops_the_calls(start_machine, model_file, opened):
    short = EmulatedPlatform(lifetimes=Lifetimes(collateral=timedelta(seconds=3)))
    machine = await start_machine(short, models={"echo": model_file})
    auto = await opened(machine.connection())
    never = await opened(machine.connection(reattest="never"))
    await asyncio.sleep(3.1)
    for error in await outcomes(auto):
        assert isinstance(error, QuoteValidationError)
        assert "expired" in str(error)
    with pytest.raises(AttestationError, match="has expired; attest"):
        await answers(never)


async def test_evidence_is_renewed_when_it_has_reached_its_age(machine, opened):
    connection = await opened(machine.connection(max_attestation_age=timedelta(seconds=0.5)))
    machine.quoting.quotes = 0
    for _ in range(5):
        assert await answers(connection)
    assert machine.quoting.quotes == 0
    await asyncio.sleep(0.6)
    assert all(await outcomes(connection))
    assert machine.quoting.quotes == 1


async def test_the_caller_that_asks_may_be_cancelled_without_harm_to_the_others(
    machine, proxied, opened
):
    untrusted = await proxied(machine.untrusted_port)
    connection = await opened(machine.connection(untrusted_port=untrusted.port, retry=PATIENT))
    await machine.restart()
    machine.quoting.quotes = 0
    untrusted.faults.delay = 0.1
    first = asyncio.ensure_future(answers(connection, timeout=10))
    await until(lambda: untrusted.open_connections)
    others = [asyncio.ensure_future(answers(connection, timeout=10)) for _ in range(5)]
    await asyncio.sleep(0.05)
    first.cancel()
    assert await asyncio.gather(*others) == [True] * 5
    assert machine.quoting.quotes == 1


async def test_no_new_evidence_leaves_the_session_as_it_was(machine, proxied, opened):
    untrusted = await proxied(machine.untrusted_port)
    connection = await opened(machine.connection(untrusted_port=untrusted.port))
    claims = connection.claims
    untrusted.faults.refuse = True
    with pytest.raises(TransportError):
        await connection.attest()
    assert await answers(connection)
    assert connection.claims == claims


@pytest.mark.slow
async def test_a_channel_that_was_replaced_connects_no_more_though_its_errors_are_kept(
    machine, proxied, opened
):
    """An error keeps frames, frames a call, a call its channel: which gRPC keeps connecting."""
    network = await proxied(machine.attested_port)
    connection = await opened(
        machine.connection(attested_port=network.port, retry=RetryPolicy(attempts=1))
    )
    network.faults.blackhole = True
    calls = [asyncio.ensure_future(answers(connection, timeout=20)) for _ in range(10)]
    await asyncio.sleep(0.1)
    await machine.restart()
    await network.cut_all()
    network.faults.blackhole = False
    kept = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, TransportError) for error in kept)
    await until(lambda: connection.claims.enclave_held_data == machine.server.enclave_certificate)
    assert await answers(connection)
    accepted = network.accepted
    await asyncio.sleep(2.5)  # twice gRPC's pause between two attempts
    assert network.accepted == accepted
    assert network.open_connections == 1
