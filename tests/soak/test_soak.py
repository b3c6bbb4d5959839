"""Everything at once, for long: calls, cancellations, faults and restarts, each answer looked at.

`nox -s soak` runs it for ten minutes, `nox -s soak -- 60` and every change's `.ci/run` for one,
the everyday run for a few seconds. In rounds: after each, nothing is under way, and memory, tasks
and descriptors are counted.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from enclave_process import EnclaveProcess
from fault_proxy import TO_CLIENT, TO_SERVER, FaultProxy
from machine import connection_to, trusting

from blindai_async import AttestationCache, Batching, Policy, Timeouts
from blindai_async.errors import AttestationError, BlindAIError, SignatureError, TransportError
from blindai_async.server.tee.emulated import EmulatedPlatform

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("BLINDAI_ASYNC_SOAK_SECONDS", "4"))
ROUND = min(20.0, SECONDS / 3)
WORKERS = 24
# Of resident memory, from the second round on. A bare grpc.aio channel, without this package, grows
# by 1 to 2 KiB with each call that is cancelled in flight (github.com/grpc/grpc/issues/43360).
MOST_GROWTH = 24 << 20
GROWTH_PER_CANCELLATION = 3 << 10


class Mix:
    """What workers do at random, and what came of it."""

    def __init__(self, connections, weights, model):
        self._connections = connections
        self._weights = weights
        self._model = model
        self.outcomes = Counter()

    async def work(self, chance, until):
        actions = [self.predict] * 12 + [self.cancel] * 4
        actions += [self.predict_many, self.upload, self.attest]
        while time.monotonic() < until:
            action = chance.choice(actions)
            try:
                await action(chance, chance.choice(self._connections))
            except BlindAIError as error:
                # No answer was forged here, and no other enclave was ever put in the place.
                if isinstance(error, SignatureError | AttestationError):
                    raise
                self.outcomes[type(error).__name__] += 1
            else:
                self.outcomes[action.__name__] += 1

    async def predict(self, chance, connection, timeout=8.0):
        rows = chance.choice([1, 1, 1, 3, 2000])
        x = np.random.default_rng(chance.getrandbits(32)).standard_normal((rows, 8), np.float32)
        reply = await asyncio.wait_for(
            connection.predict("model", x, sign=chance.random() < 0.2, timeout=timeout), 30
        )
        self._check(x, reply)

    async def recovers(self, chance, connection):
        """Whatever happened: it goes on, soon, though its retries may be spent."""
        async with asyncio.timeout(20):
            while True:
                with suppress(TransportError):
                    return await self.predict(chance, connection)

    async def predict_many(self, chance, connection):
        rows = np.random.default_rng(chance.getrandbits(32)).standard_normal((50, 8), np.float32)
        inputs = [rows[n : n + 1] for n in range(len(rows))]
        number = 0
        async for reply in connection.predict_many("model", inputs, timeout=8):
            self._check(inputs[number], reply)
            number += 1
            if chance.random() < 0.01:
                break

    async def cancel(self, chance, connection):
        task = asyncio.ensure_future(self.predict(chance, connection))
        await asyncio.sleep(chance.expovariate(200))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def upload(self, chance, connection):
        model_id = f"soak-{chance.getrandbits(64)}"
        await connection.upload_model(
            self._model, model_id=model_id, sign=True, save_model=False, timeout=8
        )
        await connection.delete_model(model_id, timeout=8)

    async def attest(self, chance, connection):
        await connection.attest()

    def _check(self, x, reply):
        np.testing.assert_allclose(reply.output[0].as_numpy(), x @ self._weights, atol=1e-4)


async def make_trouble(chance, until, enclave, networks):
    """One fault after the other, each of them over before the next one comes."""
    while time.monotonic() < until - 1:
        await asyncio.sleep(chance.uniform(0.05, 0.4))
        network = chance.choice(networks)
        faults = network.faults
        match chance.randrange(8):
            case 0 | 1:
                await network.cut_all(reset=chance.random() < 0.5)
            case 2:
                faults.delay = 0.02
            case 3:
                faults.bytes_per_second = 1e6
            case 4:
                faults.blackhole = True
            case 5:
                faults.corrupt_at[chance.choice([TO_SERVER, TO_CLIENT])] = chance.randrange(9999)
            case 6:
                faults.refuse = True
                await network.cut_all()
            case 7:
                enclave.kill()
                await enclave.start()
                enclave.prepare()
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        faults.delay, faults.bytes_per_second = 0.0, None
        faults.blackhole = faults.refuse = False
        faults.corrupt_at.clear()


def count():
    """Resident bytes, tasks and descriptors, now."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc to count")
    resident = int(statm.read_text().split()[1]) * resource.getpagesize()
    return resident, len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def enclave(tmp_path, onnx_models):
    process = EnclaveProcess(tmp_path, EmulatedPlatform(), onnx_models.linear(8, 8))
    try:
        await process.start()
        process.prepare()
        yield process
    finally:
        process.close()


async def test_weeks_in_minutes(enclave, tmp_path, onnx_models):
    platform = EmulatedPlatform.load(tmp_path / "platform")
    options = {
        "policy": Policy.from_str(platform.policy_toml),
        "trust_root": trusting(platform),
        "certificate": enclave.host_certificate,
        "timeouts": Timeouts(connect=5, call=8, upload=8),
        # Full after the first round: what a growing cache holds would look like a leak.
        "attestation_cache": AttestationCache(max_verdicts=4, max_collaterals=2),
    }
    outcomes, counts = Counter(), []
    async with AsyncExitStack() as stack:
        attested, untrusted = [
            await stack.enter_async_context(FaultProxy(port, record=False))
            for port in (enclave.attested_port, enclave.untrusted_port)
        ]
        ports = {"attested_port": attested.port, "untrusted_port": untrusted.port}
        end = time.monotonic() + SECONDS
        chance = random.Random(0)
        while time.monotonic() < end:
            mix = await one_round(
                chance, enclave, [attested, untrusted], options | ports, onnx_models
            )
            outcomes += mix.outcomes
            counts.append(count())
            resident, tasks, descriptors = counts[-1]
            print(  # noqa: T201 - what an hour of it would be watched by
                f"{resident >> 20} MiB, {tasks} tasks, {descriptors} descriptors, {dict(outcomes)}"
            )
    assert outcomes["predict"] > SECONDS
    first, last = counts[min(1, len(counts) - 1)], counts[-1]
    assert last[0] - first[0] < MOST_GROWTH + GROWTH_PER_CANCELLATION * outcomes["cancel"]
    assert last[1] <= first[1]
    assert last[2] <= first[2] + 2  # a socket that gRPC is about to close


async def one_round(chance, enclave, networks, options, onnx_models):
    """A while of everything, on connections of its own; returns what came of it."""
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(connection_to(enclave, **options, batching=batching))
            for batching in (None, Batching(), Batching(max_delay=0.002))
        ]
        mix = Mix(connections, onnx_models.linear_weights(8, 8), onnx_models.identity())
        until = time.monotonic() + ROUND
        async with asyncio.TaskGroup() as group:
            group.create_task(make_trouble(chance, until, enclave, networks))
            for _ in range(WORKERS):
                group.create_task(mix.work(random.Random(chance.getrandbits(64)), until))
        for connection in connections:
            await mix.recovers(chance, connection)
    for network in networks:
        await network.cut_all()
    await asyncio.sleep(1)
    return mix
