"""Runs the command line as its user does, while servers of the test go on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from blindai_async.server import BlindAIServer

COMMAND = (sys.executable, "-m", "blindai_async.cli")


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Awaitable[Ran]]


@pytest.fixture
def start_cli() -> Callable[..., Awaitable[asyncio.subprocess.Process]]:
    """Starts a command with pipes on its ends."""

    async def start(*arguments: object, **env: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | env,
        )

    return start


@pytest.fixture
def cli(start_cli: Callable[..., Awaitable[asyncio.subprocess.Process]]) -> Run:
    """Runs a command to its end: `await cli("delete", "m", stdin=b"", BLINDAI_API_KEY="k")`."""

    async def run(*arguments: object, stdin: bytes = b"", **env: str) -> Ran:
        process = await start_cli(*arguments, **env)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    return run


@pytest.fixture
async def server(
    start_server: Callable[..., Awaitable[BlindAIServer]], digits: Path
) -> BlindAIServer:
    """A server in simulation mode that has the demo's model from its start, as "digits"."""
    return await start_server(models={"digits": digits})


@pytest.fixture
def at_server(cli: Run, server: BlindAIServer) -> Run:
    """Runs a command against the server of the test, in simulation mode."""
    where = (
        "--host=127.0.0.1",
        f"--attested-port={server.attested_port}",
        f"--untrusted-port={server.untrusted_port}",
        "--simulation",
    )

    async def run(*arguments: object, stdin: bytes = b"", **env: str) -> Ran:
        return await cli(*arguments, *where, stdin=stdin, **env)

    return run


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """The demo's model, as a file of the test's own."""
    path = tmp_path / "digits.onnx"
    source = resources.files("blindai_async.cli") / "digits" / "digits.onnx"
    path.write_bytes(source.read_bytes())
    return path


@pytest.fixture
def image() -> np.ndarray[Any, Any]:
    """One held-back image, float32 [1, 64]; its label is in `label`."""
    return held_back("images")[:1].astype(np.float32)


@pytest.fixture
def label() -> int:
    """The digit that `image` shows."""
    return int(held_back("labels")[0])


def held_back(name: str) -> np.ndarray[Any, Any]:
    source = resources.files("blindai_async.cli") / "digits" / "held_back.npz"
    with source.open("rb") as file, np.load(file) as content:
        return np.asarray(content[name])
