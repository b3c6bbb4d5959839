"""The README, followed from top to bottom as its reader does: every block, one after the other.

Blocks run as they stand. Only two things differ from a reader's machine: what `pip` and `nox` would
install is here already, and the servers listen on free ports, which clients are told of.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from blindai_async import PredictResponse, TrustRoot
from blindai_async.errors import UntrustedRootWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL
)
INSTALLS = re.compile(r"(python -m )?pip install ")
SECONDS = 120


class Block(NamedTuple):
    """One block of the README.

    Attributes:
        line: where it stands.
        file: the file that it is the content of; "" where it is run.
        language: "console" or "python".
        code: as it stands.
    """

    line: int
    file: str
    language: str
    code: str


BLOCKS = [
    Block(README[: m.start()].count("\n") + 1, m["file"] or "", m["language"], m["code"])
    for m in BLOCK.finditer(README)
]


class Reader:
    """Somebody who follows the README in a folder of their own.

    Args:
        folder: where they work; the repository's `src` lies in it, as in a clone.
        ports: two free ones.
    """

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.folder = folder
        self._attested, self._untrusted = ports
        self._server: subprocess.Popen[str] | None = None
        self._serving = ""
        (folder / "src").symlink_to(ROOT / "src")
        command = folder / "bin" / "blindai-async"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m blindai_async.cli "$@"\n')
        command.chmod(0o755)
        self._env = os.environ | {
            "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
            "BLINDAI_ATTESTED_PORT": str(self._attested),
            "BLINDAI_UNTRUSTED_PORT": str(self._untrusted),
        }

    def follow(self, block: Block) -> str:
        """Do what a block says; returns what was printed."""
        if block.language == "python":
            path = self.folder / (block.file or f"block_{block.line}.py")
            path.write_text(self._with_ports(block.code))
            return "" if block.file else self.run(sys.executable, str(path))
        printed = ""
        lines = [line for line in block.code.splitlines() if not INSTALLS.match(line)]
        for number, line in enumerate(lines):
            if line.startswith("blindai-async serve"):
                assert number == len(lines) - 1, "nothing can follow a server in one shell"
                printed += self.run("bash", "-ec", "\n".join(lines[:number]))
                self._serving = line
                self.restart_server()
                return printed
        return self.run("bash", "-ec", "\n".join(lines))

    def run(self, *command: str) -> str:
        """Run a command to its end, which has to be a good one."""
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def _with_ports(self, code: str) -> str:
        ports = f"attested_port={self._attested}, untrusted_port={self._untrusted}"
        return code.replace('"localhost",', f'"localhost", {ports},')

    @property
    def server_pid(self) -> int:
        """The process of the server that the README has started last."""
        assert self._server is not None
        return self._server.pid

    def restart_server(self) -> None:
        """Run the README's last `blindai-async serve`, in the place of what runs."""
        self.stop()
        ports = f"--attested-port={self._attested} --untrusted-port={self._untrusted}"
        self._server = subprocess.Popen(
            ["bash", "-c", f"exec {self._serving} {ports}"],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline().startswith("ready on")

    def stop(self) -> None:
        """End the server."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGTERM)
        self._server.communicate(timeout=SECONDS)
        self._server = None


@pytest.fixture
def reader(tmp_path: Path, free_ports: tuple[int, int]) -> Iterator[Reader]:
    reader = Reader(tmp_path, free_ports)
    yield reader
    reader.stop()


@pytest.fixture
def free_ports(unused_tcp_port_factory: object) -> tuple[int, int]:
    assert callable(unused_tcp_port_factory)
    return unused_tcp_port_factory(), unused_tcp_port_factory()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README speaks to bash")
def test_every_block_runs_as_written_one_after_the_other(reader: Reader) -> None:
    for name in ("fastapi", "httpx"):
        pytest.importorskip(name)
    printed = {}
    for block in BLOCKS:
        printed[block.line] = reader.follow(block)
        if block.file == "app.py":
            check_the_application(reader)
    assert "passed" in "\n".join(printed.values())
    check_what_was_left(reader.folder)


ASK_THE_APPLICATION = """
import asyncio, os, signal, sys
import httpx
from app import app

async def main():
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        async def ask(model, pixels):
            asked = (client.post(f"/models/{model}", json=[0.0] * pixels) for _ in range(20))
            answers = await asyncio.gather(*asked)
            assert len({answer.text for answer in answers}) == 1
            print(answers[0].status_code, answers[0].json(), flush=True)

        await ask("digits", 64)
        await ask("nobodys", 64)
        await ask("digits", 2)
        os.kill(int(sys.argv[1]), signal.SIGKILL)
        await ask("digits", 64)

asyncio.run(main())
"""


def check_the_application(reader: Reader) -> None:
    """Ask the FastAPI application for what it can and what it cannot answer."""
    driver = reader.folder / "ask_app.py"
    driver.write_text(ASK_THE_APPLICATION)
    answers = reader.run(sys.executable, str(driver), str(reader.server_pid)).splitlines()
    assert [answer.split()[0] for answer in answers] == ["200", "404", "422", "503"]
    assert re.fullmatch(r"200 \{'digit': \d\}", answers[0])
    reader.restart_server()


def check_what_was_left(folder: Path) -> None:
    """The files that the README promises are there, and are what it says."""
    image = np.load(folder / "image.npy")
    kept = PredictResponse.from_file(folder / "digit.proof")
    assert not kept.is_simulation_mode()
    with pytest.warns(UntrustedRootWarning):
        root = TrustRoot.from_pem((folder / "emulated" / "root.pem").read_bytes())
    policy = folder / "emulated" / "policy.toml"
    kept.validate(kept.model_id, image, policy_file=policy, trust_root=root)


def test_every_block_is_one_that_the_reader_can_run() -> None:
    assert len(BLOCKS) == README.count("```") // 2
    for block in BLOCKS:
        assert block.language in {"console", "python"}, block.line
        if block.language == "python":
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(block.code, f"README.md:{block.line}", "exec", flags=flags)


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 130


def test_the_two_commands_are_sessions_of_nox() -> None:
    sessions = set(re.findall(r"pip install nox && nox -s (\w+)", README))
    assert sessions == {"demo", "tests"}
    noxfile = (ROOT / "noxfile.py").read_text()
    for session in sessions:
        assert f"def {session}(session: nox.Session)" in noxfile
