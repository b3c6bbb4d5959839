"""Every Python block of the site runs against a real server, or is type-checked."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from documents import Block, blocks, pages

from blindai_async import Policy, PredictResponse, TrustRoot
from blindai_async.errors import SecurityWarning
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from blindai_async.server import BlindAIServer

DIGITS = resources.files("blindai_async.cli") / "digits"
BLOCKS = [block for page in pages() for block in blocks(page, "python")]
RUN = {
    page: [block for block in blocks(page, "python") if block.test.startswith("run")]
    for page in pages()
}
TYPED = [block for block in BLOCKS if block.test == "types"]

# What a block that is type-checked may take as given.
GIVEN = """
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from blindai_async import AsyncConnection


async def block(
    conn: AsyncConnection, image: NDArray[np.float32], rows: Iterable[NDArray[np.float32]]
) -> None:
"""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_says_how_it_is_tested(block: Block) -> None:
    assert block.test in {"run", "run simulation", "types"}


def write_client_files(folder: Path, platform: EmulatedPlatform, server: BlindAIServer) -> None:
    """Write what `blindai-async serve --emulate-sgx` writes for its clients."""
    folder.mkdir()
    (folder / "policy.toml").write_text(platform.policy_toml)
    (folder / "root.pem").write_bytes(platform.root_pem)
    (folder / "host_server.pem").write_bytes(server.host_certificate_pem)


@pytest.fixture
async def server_for(
    start_server: Callable[..., Awaitable[BlindAIServer]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Awaitable[BlindAIServer]]:
    """Starts what a block talks to, in a folder that holds what the pages' readers have."""
    monkeypatch.chdir(tmp_path)
    with resources.as_file(DIGITS / "digits.onnx") as model:
        shutil.copy(model, tmp_path)
    started: dict[str, BlindAIServer] = {}

    async def start(kind: str) -> BlindAIServer:
        if kind not in started:
            platform = EmulatedPlatform() if kind == "run" else None
            started[kind] = await start_server(
                hardware=platform, models={"digits": tmp_path / "digits.onnx"}
            )
            if platform is not None:
                write_client_files(tmp_path / "emulated", platform, started[kind])
        return started[kind]

    return start


async def run_block(block: Block, server: BlindAIServer, names: dict[str, Any]) -> None:
    """Run a block as its reader would; the names of earlier blocks of its page are there."""
    ports = f"attested_port={server.attested_port}, untrusted_port={server.untrusted_port}"
    source = block.text.replace('"localhost",', f'"127.0.0.1", {ports},')
    code = compile(source, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)
        else:
            # It may run a loop of its own, while the server goes on in this one.
            await asyncio.to_thread(exec, code, names)


@pytest.mark.parametrize(
    "page", [page for page in pages() if RUN[page]], ids=lambda page: page.stem
)
async def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, server_for: Callable[[str], Awaitable[BlindAIServer]]
) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in RUN[page]:
        await run_block(block, await server_for(block.test), names)


@pytest.mark.filterwarnings("ignore::blindai_async.errors.UntrustedRootWarning")
async def test_a_kept_proof_of_the_first_page_holds(
    server_for: Callable[[str], Awaitable[BlindAIServer]], tmp_path: Path
) -> None:
    (page,) = (page for page in pages() if page.stem == "first_proof")
    for block in RUN[page]:
        await run_block(block, await server_for("run"), {"__name__": "__main__"})
    proof = PredictResponse.from_file(tmp_path / "digit.proof")
    proof.validate(
        "digits",
        np.load(tmp_path / "image.npy"),
        policy=Policy.from_file(tmp_path / "emulated" / "policy.toml"),
        trust_root=TrustRoot.from_pem((tmp_path / "emulated" / "root.pem").read_bytes()),
    )


@pytest.fixture(scope="module")
def type_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says about each typed block, by the block's name."""
    folder = tmp_path_factory.mktemp("blocks")
    names = {}
    for number, block in enumerate(TYPED):
        path = folder / f"block_{number}.py"
        path.write_text(GIVEN + textwrap.indent(block.text, "    "))
        names[path.name] = block.name
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file", ""]
    ran = subprocess.run(
        [*command, "--disable-error-code=unused-ignore", *sorted(map(str, folder.glob("*.py")))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode in {0, 1}, ran.stdout + ran.stderr
    errors: dict[str, list[str]] = {name: [] for name in names.values()}
    for line in ran.stdout.splitlines():
        found = re.match(r"(?:.*/)?(block_\d+\.py):(\d+): error: (.*)", line)
        if found:
            errors[names[found[1]]].append(found[3])
        else:
            assert ": error:" not in line, line
    return errors


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.name)
def test_what_a_typed_block_imports_of_the_package_is_there(block: Block) -> None:
    """A module that has a `__getattr__` has every name, for a type checker."""
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("blindai_async")
        for alias in node.names
        if not hasattr(import_module(node.module or ""), alias.name)
    ]
    assert missing == []


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.name)
def test_a_typed_block_is_what_the_package_takes(
    block: Block, type_errors: dict[str, list[str]]
) -> None:
    assert type_errors[block.name] == []
