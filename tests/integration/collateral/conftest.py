"""A platform, a service of its collateral, and clients of that."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from machine import Machine
from stand_in_pccs import StandInPccs

from blindai_async.collateral import PcsClient
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from blindai_async import AsyncConnection


@pytest.fixture(scope="session")
def platform() -> EmulatedPlatform:
    """An emulated platform with nothing wrong, with TCB info of version 3."""
    return EmulatedPlatform(tcb_info_version=3)


@pytest.fixture(scope="session")
def quote(platform: EmulatedPlatform) -> bytes:
    """A quote of the platform, for no held data in particular."""
    return platform.evidence(b"held data").quote


@pytest.fixture
async def pccs(platform: EmulatedPlatform) -> AsyncIterator[StandInPccs]:
    """A service of the platform's collateral, over TLS."""
    async with StandInPccs(platform) as service:
        yield service


@pytest.fixture
def client_of() -> Callable[..., PcsClient]:
    """Makes a client of a service on loopback."""

    def make(service: StandInPccs, **options: Any) -> PcsClient:
        if service.ca_pem:
            options = {"tls_ca": service.ca_pem} | options
        return PcsClient(service.url, **options)

    return make


@pytest.fixture
def client(client_of: Callable[..., PcsClient], pccs: StandInPccs) -> PcsClient:
    """A client of `pccs`."""
    return client_of(pccs)


@pytest.fixture
async def start_machine(
    tmp_path: Path, platform: EmulatedPlatform, onnx_models: Any
) -> AsyncIterator[Callable[..., Awaitable[Machine]]]:
    """Starts machines in hardware mode that have the model "echo"."""
    model = tmp_path / "echo.onnx"
    model.write_bytes(onnx_models.identity("float32", ("batch", 8)))
    machines: list[Machine] = []

    async def start(hardware: EmulatedPlatform = platform, **options: Any) -> Machine:
        directory = tmp_path / f"machine-{len(machines)}"
        directory.mkdir()
        machines.append(Machine(directory, hardware, models={"echo": model}, **options))
        await machines[-1].start()
        return machines[-1]

    yield start
    for machine in machines:
        await machine.stop()


@pytest.fixture
async def machine(start_machine: Callable[..., Awaitable[Machine]]) -> Machine:
    """A machine of `platform`."""
    return await start_machine()


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[AsyncConnection], Awaitable[AsyncConnection]]]:
    """Opens connections, and closes them at the test's end."""
    async with AsyncExitStack() as stack:
        yield stack.enter_async_context
