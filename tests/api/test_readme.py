"""The README's examples do what they say, against a real server."""

from __future__ import annotations

import ast
import asyncio
import re
import runpy
import shutil
import warnings
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from blindai_async import PredictResponse
from blindai_async.errors import SecurityWarning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from blindai_async.server import BlindAIServer

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"<!-- test: (.+?) -->\n```python\n(.*?)```", re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall((ROOT / "README.md").read_text()))
DIGITS = resources.files("blindai_async.cli") / "digits"


def write_example(name: str, server: BlindAIServer, folder: Path) -> Path:
    """An example as a file, that talks to this server instead of the default ports."""
    ports = f"attested_port={server.attested_port}, untrusted_port={server.untrusted_port}"
    source, replaced = re.subn(r'"localhost",', f'"127.0.0.1", {ports},', EXAMPLES[name])
    assert replaced == 1
    path = folder / "example.py"
    path.write_text(source)
    return path


async def run_example(path: Path) -> None:
    """Run a script as its reader would, while the server goes on."""

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            runpy.run_path(str(path), run_name="__main__")

    await asyncio.to_thread(run)


def test_every_python_example_is_tried() -> None:
    blocks = (ROOT / "README.md").read_text().count("```python")
    assert blocks == len(EXAMPLES)
    for source in EXAMPLES.values():
        compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_the_quick_start_leaves_a_proof(
    server: BlindAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with resources.as_file(DIGITS / "digits.onnx") as model:
        shutil.copy(model, tmp_path)
    await run_example(write_example("quick start", server, tmp_path))
    assert capsys.readouterr().out.startswith("[[")
    kept = PredictResponse.from_file(tmp_path / "digit.proof")
    kept.validate(
        kept.model_id,
        np.zeros((1, 64), np.float32),
        allow_simulation_mode=True,
        enclave_signing_key=server.enclave_signing_key,
    )


async def test_the_emulated_platform_is_attested(
    start_server: Callable[..., Awaitable[BlindAIServer]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from blindai_async.cli.local_server import kept_platform, write_client_files

    files = tmp_path / "emulated"
    platform = kept_platform(files, "sgx")
    server = await start_server(hardware=platform)
    write_client_files(files, platform, server)
    monkeypatch.chdir(tmp_path)
    await run_example(write_example("emulated", server, tmp_path))
    assert capsys.readouterr().out.split() == [platform.mr_enclave.hex(), "UpToDate"]


@pytest.mark.filterwarnings("ignore::blindai_async.errors.SecurityWarning")
async def test_the_fastapi_application_answers(
    start_server: Callable[..., Awaitable[BlindAIServer]], tmp_path: Path
) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    with resources.as_file(DIGITS / "digits.onnx") as model:
        server = await start_server(models={"digits": model})
    with resources.as_file(DIGITS / "held_back.npz") as file, np.load(file) as held_back:
        image, label = held_back["images"][0], held_back["labels"][0]

    app = runpy.run_path(str(write_example("fastapi", server, tmp_path)))["app"]
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        right = await client.post("/digit", json=image.tolist())
        wrong = await client.post("/digit", json=[1.0, 2.0])
    assert (right.status_code, right.json()) == (200, {"digit": int(label)})
    assert wrong.status_code == 422
