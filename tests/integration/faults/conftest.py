"""What the tests of faults share: machines that go wrong, networks in between, counts of what is
left over."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fault_proxy import FaultProxy
from machine import Machine

from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fault_proxy import TlsInterception

    from blindai_async import AsyncConnection

_DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture(scope="session")
def platform() -> EmulatedPlatform:
    """An emulated SGX platform with nothing wrong."""
    return EmulatedPlatform()


@pytest.fixture
async def start_machine(
    tmp_path: Path, platform: EmulatedPlatform
) -> AsyncIterator[Callable[..., Awaitable[Machine]]]:
    """Starts machines in hardware mode; takes `Machine`'s options. Stopped at the test's end."""
    machines: list[Machine] = []

    async def start(hardware: EmulatedPlatform = platform, **options: Any) -> Machine:
        directory = tmp_path / f"machine-{len(machines)}"
        directory.mkdir()
        machines.append(Machine(directory, hardware, **options))
        await machines[-1].start()
        return machines[-1]

    yield start
    for machine in machines:
        await machine.stop()


@pytest.fixture
def model_file(tmp_path: Path, onnx_models: Any) -> Path:
    """A model that gives back rows of eight float32, as many as it is given."""
    path = tmp_path / "echo.onnx"
    path.write_bytes(onnx_models.identity("float32", ("batch", 8)))
    return path


@pytest.fixture
async def machine(start_machine: Any, model_file: Path) -> Machine:
    """A machine in hardware mode whose enclave has the model "echo" from its start."""
    return await start_machine(models={"echo": model_file})


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[AsyncConnection], Awaitable[AsyncConnection]]]:
    """Opens connections, and closes them at the test's end."""
    async with AsyncExitStack() as stack:
        yield stack.enter_async_context


@pytest.fixture
async def proxied() -> AsyncIterator[Callable[..., Awaitable[FaultProxy]]]:
    """Puts a `FaultProxy` before a port; takes its arguments."""
    async with AsyncExitStack() as stack:

        async def start(
            port: int, tls: TlsInterception | None = None, **options: Any
        ) -> FaultProxy:
            return await stack.enter_async_context(FaultProxy(port, tls=tls, **options))

        yield start


class Leftovers:
    """Tasks and sockets that are there now and were not at the beginning."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._sockets = _sockets()

    async def none(self, *, within: float = 30.0) -> None:
        """Assert that there are none, or none soon: gRPC closes sockets in threads of its own."""
        deadline = asyncio.get_running_loop().time() + within
        while True:
            gc.collect()
            tasks = [task for task in asyncio.all_tasks() - self._tasks if _is_ours(task)]
            sockets = _sockets() - self._sockets
            if not tasks and not sockets:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"left over: {tasks}, {sockets}")
            await asyncio.sleep(0.05)


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Not done, and not a gRPC server's, which waits for calls in tasks that change."""
    return not task.done() and not getattr(task.get_coro(), "__qualname__", "").startswith(
        "AioServ"
    )


def _sockets() -> set[str]:
    found = set()
    for entry in _DESCRIPTORS.iterdir() if _DESCRIPTORS.is_dir() else ():
        with suppress(OSError):  # the descriptor of this very listing is gone by now
            found.add(str(entry.readlink()))
    return {target for target in found if target.startswith("socket:")}


@pytest.fixture
async def leftovers() -> Leftovers:
    """Counts what a test leaves behind, from here on: ask for it after what is to stay."""
    return Leftovers()


@pytest.fixture
def leftovers_from_now() -> Callable[[], Leftovers]:
    """Counts what a test leaves behind from the moment of the call."""
    return Leftovers
