"""The keepalive at its real length, for `nox -s soak`; the everyday tests use a twentieth of it."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from fault_proxy import FaultProxy
from machine import SECRET_INPUT, Machine
from relay import Relay

from blindai_async import RetryPolicy
from blindai_async.errors import TransportError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        float(os.environ.get("BLINDAI_ASYNC_SOAK_SECONDS", "0")) < 300, reason="takes 100 s"
    ),
]


async def test_silence_is_borne_and_death_is_not(tmp_path, onnx_models):
    """Both in front of a gRPC server with default settings, which counts pings."""
    model = tmp_path / "echo.onnx"
    model.write_bytes(onnx_models.identity("float32", ("batch", 8)))
    machine = Machine(tmp_path, models={"echo": model})
    await machine.start()
    once = RetryPolicy(attempts=1)

    async def silence(path, _request, reply):
        if path.endswith("RunModel"):
            await asyncio.sleep(95)
        return reply

    async with (
        Relay(machine.attested_port, machine.steal()[1], machine.steal(), silence) as relay,
        FaultProxy(relay.port) as network,
        FaultProxy(machine.untrusted_port) as untrusted,
        machine.connection(attested_port=relay.port, retry=once) as patient,
        machine.connection(
            attested_port=network.port, untrusted_port=untrusted.port, retry=once
        ) as bereaved,
    ):
        borne = asyncio.ensure_future(patient.predict("echo", SECRET_INPUT, timeout=200))
        killed = asyncio.ensure_future(bereaved.predict("echo", SECRET_INPUT, timeout=200))
        await asyncio.sleep(47)
        network.faults.blackhole = untrusted.faults.blackhole = True
        died = time.monotonic()
        with pytest.raises(TransportError):
            await killed
        noticed = time.monotonic() - died
        print(f"noticed after {noticed:.1f} s")  # noqa: T201 - the figure is worth knowing
        assert noticed < 30
        reply = await borne
        assert reply.output[0].bytes_data == SECRET_INPUT.tobytes()
    await machine.stop()
