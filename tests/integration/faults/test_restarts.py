"""The server's process is killed under 64 concurrent callers and comes back as another enclave.

Each call returned its own right answer, or raised from the package's tree. `nox -s soak` does it
twenty times; the everyday run, and whoever sets BLINDAI_ASYNC_RESTARTS, another number.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import numpy as np
import pytest
from enclave_process import EnclaveProcess
from machine import connection_to, trusting
from waiting import until

from blindai_async import Batching, Policy
from blindai_async.errors import AttestationError, BlindAIError, SignatureError
from blindai_async.server.tee.emulated import EmulatedPlatform

pytestmark = pytest.mark.slow

RESTARTS = int(os.environ.get("BLINDAI_ASYNC_RESTARTS", "2"))
CALLERS = 64


@pytest.fixture
async def enclave(tmp_path, onnx_models):
    """y = x @ weights, in a process of its own; beside it the weights and the platform."""
    process = EnclaveProcess(tmp_path, EmulatedPlatform(), onnx_models.linear(8, 8))
    process.weights = onnx_models.linear_weights(8, 8)
    try:
        await process.start()
        yield process
    finally:
        process.close()


class Caller:
    """Asks, again and again, what only it asks, and looks at what it is told."""

    def __init__(self, number, connection, weights):
        self._connection = connection
        self._weights = weights
        self._generator = np.random.default_rng(number)
        self.outcomes = Counter()

    async def run(self, stop):
        while not stop.is_set():
            await self.ask()

    async def ask(self):
        x = self._generator.standard_normal((1, 8), dtype=np.float32)
        sign = random.random() < 0.2
        try:
            reply = await asyncio.wait_for(
                self._connection.predict("model", x, sign=sign, timeout=10), 30
            )
        except BlindAIError as error:
            self.outcomes[type(error)] += 1
            return
        # A neighbour's answer would be as far from this one as any random one.
        np.testing.assert_allclose(reply.output[0].as_numpy(), x @ self._weights, atol=1e-5)
        self.outcomes["answers"] += 1


def answered(callers):
    return np.array([caller.outcomes["answers"] for caller in callers])


@pytest.mark.parametrize("batching", [None, Batching()], ids=["single", "batched"])
async def test_no_caller_gets_a_wrong_answer_and_none_hangs(enclave, batching, tmp_path):
    changes = []
    platform = EmulatedPlatform.load(tmp_path / "platform")
    async with connection_to(
        enclave,
        policy=Policy.from_str(platform.policy_toml),
        trust_root=trusting(platform),
        certificate=enclave.host_certificate,
        batching=batching,
        on_identity_change=lambda old, new: changes.append(new.enclave_held_data),
    ) as connection:
        callers = [Caller(number, connection, enclave.weights) for number in range(CALLERS)]
        stop = asyncio.Event()
        enclave.prepare()
        tasks = [asyncio.create_task(caller.run(stop)) for caller in callers]
        for life in range(RESTARTS):
            await asyncio.sleep(0.5)
            enclave.kill()
            await asyncio.sleep(0.05)
            before = answered(callers)
            await enclave.start()
            enclave.prepare()
            await until(lambda life=life: len(changes) > life, 30)
            await until(lambda before=before: all(answered(callers) > before), 30)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert len(changes) == len(set(changes)) == RESTARTS
    total = sum((caller.outcomes for caller in callers), Counter())
    assert total["answers"] > RESTARTS * CALLERS
    assert not {SignatureError, AttestationError} & total.keys()
