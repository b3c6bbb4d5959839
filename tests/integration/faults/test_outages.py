"""Servers that go and come back: calls wait for them or fail at once, and are told why."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import numpy as np
import pytest
from enclave_process import EnclaveProcess
from machine import SECRET_INPUT, connection_to, trusting
from waiting import until

from blindai_async import Batching, Policy, RetryPolicy, SessionState, Timeouts
from blindai_async.errors import (
    BlindAIError,
    ConnectionClosedError,
    DeadlineExceededError,
    NotAnEnclaveError,
    TransportError,
)
from blindai_async.server.tee.emulated import EmulatedPlatform

CALLERS = 64


async def answers(connection, **options):
    reply = await connection.predict("echo", SECRET_INPUT, **options)
    return reply.output[0].bytes_data == SECRET_INPUT.tobytes()


@pytest.fixture
async def down(machine, opened):
    """A connection whose server has gone."""
    connection = await opened(machine.connection())
    await machine.stop()
    await until(lambda: connection.state is SessionState.DOWN)
    return connection


class TestManyCallers:
    """64 callers with 15 seconds each, and a server in a process of its own that is killed."""

    pytestmark = pytest.mark.slow

    @pytest.fixture
    async def enclave(self, tmp_path, onnx_models):
        process = EnclaveProcess(tmp_path, EmulatedPlatform(), onnx_models.linear(8, 8))
        process.weights = onnx_models.linear_weights(8, 8)
        try:
            await process.start()
            yield process
        finally:
            process.close()

    @pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
    @pytest.mark.parametrize(
        ("outage", "restarts"), [(3.0, 1), (0.2, 6)], ids=["one of 3 s", "six in a row"]
    )
    async def test_none_of_them_fails(self, enclave, tmp_path, batching, outage, restarts):
        platform = EmulatedPlatform.load(tmp_path / "platform")
        outcomes = Counter()
        stop = asyncio.Event()

        async def call_again_and_again(connection, number):
            generator = np.random.default_rng(number)
            while not stop.is_set():
                x = generator.standard_normal((1, 8), dtype=np.float32)
                try:
                    reply = await connection.predict("model", x, timeout=15)
                except BlindAIError as error:
                    outcomes[type(error)] += 1
                    continue
                np.testing.assert_allclose(
                    reply.output[0].as_numpy(), x @ enclave.weights, atol=1e-5
                )
                outcomes["answers"] += 1

        async with connection_to(
            enclave,
            policy=Policy.from_str(platform.policy_toml),
            trust_root=trusting(platform),
            certificate=enclave.host_certificate,
            batching=batching,
        ) as connection:
            enclave.prepare()
            callers = [
                asyncio.create_task(call_again_and_again(connection, number))
                for number in range(CALLERS)
            ]
            for _ in range(restarts):
                await until(lambda before=outcomes["answers"]: outcomes["answers"] > before)
                enclave.kill()
                await asyncio.sleep(outage)
                await enclave.start()
                enclave.prepare()
                before = outcomes["answers"]
                await until(lambda before=before: outcomes["answers"] > before + CALLERS)
            stop.set()
            await asyncio.wait_for(asyncio.gather(*callers), 30)
        assert outcomes.keys() == {"answers"}


async def test_waiting_costs_neither_attempts_nor_budget(machine, opened):
    once = RetryPolicy(attempts=1, budget=1)
    connection = await opened(machine.connection(retry=once))
    await machine.stop()
    await until(lambda: connection.state is SessionState.DOWN)
    calls = [asyncio.ensure_future(answers(connection, timeout=20)) for _ in range(40)]
    upload = asyncio.ensure_future(connection.upload_model(machine._options["models"]["echo"]))
    await asyncio.sleep(0.5)
    await machine.start()
    assert await asyncio.gather(*calls) == [True] * 40
    assert (await upload).model_id


async def test_calls_wait_in_turn_and_go_on_in_slices(machine, opened):
    connection = await opened(machine.connection())
    await machine.stop()
    await until(lambda: connection.state is SessionState.DOWN)
    done = []

    async def call(number):
        await answers(connection, timeout=20)
        done.append(number)

    calls = [asyncio.ensure_future(call(number)) for number in range(200)]
    await asyncio.sleep(0)
    await machine.start()
    most = 0
    while not all(call.done() for call in calls):
        if connection.state is SessionState.UP and not done:
            most = max(most, connection._manager.streams.active)
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert 0 < most <= 16  # until the first answer has come
    assert set(done[:16]) <= set(range(40))


class TestWhenDown:
    async def test_fail_fails_at_once(self, down):
        for call in (
            lambda: down.predict("echo", SECRET_INPUT, when_down="fail"),
            lambda: down.upload_model(b"model", when_down="fail"),
            lambda: down.delete_model("echo", when_down="fail"),
            lambda: anext(aiter(down.predict_many("echo", [SECRET_INPUT], when_down="fail"))),
        ):
            with pytest.raises(TransportError, match="unreachable for") as caught:
                await call()
            assert caught.value.code == "UNAVAILABLE"
            assert not isinstance(caught.value, DeadlineExceededError)
        seconds = []
        for _ in range(50):
            started = time.perf_counter()
            with pytest.raises(TransportError):
                await down.predict("echo", SECRET_INPUT, when_down="fail")
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.001

    @pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
    async def test_it_may_be_the_connections(self, machine, opened, batching):
        connection = await opened(machine.connection(when_down="fail", batching=batching))
        await machine.stop()
        await until(lambda: connection.state is SessionState.DOWN)
        with pytest.raises(TransportError, match="unreachable for"):
            await asyncio.wait_for(answers(connection, timeout=60), 5)
        waiting = asyncio.ensure_future(answers(connection, when_down="wait", timeout=20))
        await asyncio.sleep(0.1)
        await machine.start()
        assert await waiting

    async def test_seconds_are_waited_and_no_more(self, down):
        started = time.monotonic()
        with pytest.raises(TransportError, match="unreachable for") as caught:
            await answers(down, when_down=0.3, timeout=30)
        assert not isinstance(caught.value, DeadlineExceededError)
        assert 0.29 < time.monotonic() - started < 5

    @pytest.mark.parametrize("invalid", ["never", -1, float("nan")])
    async def test_anything_else_is_a_value_error(self, machine, down, invalid):
        with pytest.raises(ValueError, match="when_down is"):
            machine.connection(when_down=invalid)
        with pytest.raises(ValueError, match="when_down is"):
            await answers(down, when_down=invalid)


class TestTheReason:
    async def test_nothing_listens(self, down):
        with pytest.raises(DeadlineExceededError, match="nothing listens") as caught:
            await answers(down, timeout=0.5)
        for port in ("untrusted port", "attested port", "unreachable for"):
            assert port in str(caught.value)

    async def test_the_certificate_changed(self, machine, opened):
        connection = await opened(machine.connection(reattest="never"))
        await machine.restart()
        with pytest.raises(DeadlineExceededError, match=r"attested port.*: certificate changed"):
            await answers(connection, timeout=1.5)

    async def test_the_hosts_certificate_changed(self, machine, opened, tmp_path):
        (tmp_path / "kept.pem").write_bytes(machine.server.host_certificate_pem)
        connection = await opened(machine.connection(certificate=tmp_path / "kept.pem"))
        await machine.stop()
        machine.directory = tmp_path / "elsewhere"  # with another host's key
        machine.directory.mkdir()
        await machine.start()
        with pytest.raises(DeadlineExceededError, match=r"untrusted port.*host certificate ch"):
            await answers(connection, timeout=1.5)
        (tmp_path / "kept.pem").write_bytes(machine.host_certificate.read_bytes())
        assert await answers(connection, timeout=10)  # the file is read anew

    async def test_refused_evidence_is_told_to_all(self, machine, opened):
        connection = await opened(machine.connection())
        await machine.stop()
        await until(lambda: connection.state is SessionState.DOWN)
        calls = [asyncio.ensure_future(answers(connection, timeout=20)) for _ in range(5)]
        machine.quoting.platform = EmulatedPlatform()
        await machine.start()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {NotAnEnclaveError}
        assert len({id(error) for error in errors}) == 5
        assert connection.state is SessionState.REFUSED


class TestTheState:
    async def test_every_change_is_told(self, machine):
        changes = []
        connection = machine.connection(on_state_change=lambda *states: changes.append(states))
        assert connection.state is SessionState.UNOPENED
        await connection
        assert connection.state == "up"
        assert connection.outage is None
        await machine.stop()
        await until(lambda: connection.state is SessionState.DOWN)
        outage = connection.outage
        assert outage.seconds >= 0
        assert outage.reason
        await machine.start()
        await connection.wait_ready(10)
        await connection.close()
        assert changes == [
            ("unopened", "up"),
            ("up", "down"),
            ("down", "up"),
            ("up", "closed"),
        ]

    async def test_what_the_hook_raises_harms_nothing(self, machine, opened):
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        def hook(old, new):
            raise KeyError(new)

        connection = await opened(machine.connection(on_state_change=hook))
        assert await answers(connection)
        assert [type(context["exception"]) for context in told] == [KeyError]

    async def test_ready_is_waited_for_until_a_deadline(self, machine, down):
        with pytest.raises(DeadlineExceededError, match="nothing listens"):
            await down.wait_ready(0.3)
        waiting = asyncio.ensure_future(down.wait_ready(20))
        await asyncio.sleep(0.1)
        await machine.start()
        await waiting
        assert down.state is SessionState.UP

    async def test_a_ping_counts_in_no_statistic(self, machine, opened):
        connection = await opened(machine.connection())
        assert await connection.ping() > 0
        assert connection.stats.calls == connection.stats.rpcs == 0
        await machine.stop()
        with pytest.raises(TransportError):
            await connection.ping(timeout=5)

    async def test_closing_ends_those_who_wait(self, machine):
        connection = await machine.connection()
        await machine.stop()
        await until(lambda: connection.state is SessionState.DOWN)
        calls = [
            asyncio.ensure_future(call)
            for call in (answers(connection, timeout=60), connection.wait_ready(60))
        ]
        await asyncio.sleep(0.05)
        await asyncio.wait_for(connection.close(), 5)
        errors = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert {type(error) for error in errors} == {ConnectionClosedError}


class TestOpening:
    async def test_it_is_tried_again_while_the_server_is_awaited(self, machine, opened):
        await machine.stop()
        opening = asyncio.ensure_future(opened(machine.connection(wait=20)))
        await asyncio.sleep(0.3)
        assert not opening.done()
        await machine.start()
        assert await answers(await opening)

    async def test_and_no_longer_than_that(self, machine):
        connection = machine.connection(wait=0.5, timeouts=Timeouts(connect=30))
        await machine.stop()
        with pytest.raises(DeadlineExceededError, match=r"within 0\.5 s.*nothing listens"):
            await connection
        assert connection.state is SessionState.CLOSED

    async def test_the_first_openers_cancellation_leaves_it_to_the_second(self, machine, proxied):
        untrusted = await proxied(machine.untrusted_port)
        untrusted.faults.delay = 0.05
        connection = machine.connection(untrusted_port=untrusted.port)
        first, second = (asyncio.ensure_future(connection._open()) for _ in range(2))
        await until(lambda: untrusted.open_connections)
        first.cancel()
        assert await second is connection
        assert await answers(connection)
        await connection.close()


async def test_a_certificate_may_be_given_as_bytes(machine, opened):
    pem = machine.host_certificate.read_bytes()
    connection = await opened(machine.connection(certificate=pem))
    assert await answers(connection)
