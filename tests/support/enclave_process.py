"""An enclave in a process of its own, that can be killed and comes back with new keys.

Run as a program it is that process: it gets ready, waits for a line with two ports (0 for any), and
serves on them until it is killed. The next life is made ready while the present one serves, so that
a restart takes no longer than a machine's would take to be noticed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated import EmulatedPlatform

__all__ = ["EnclaveProcess"]


class EnclaveProcess:
    """The enclave, seen from outside.

    Args:
        directory: keeps the platform and the model over restarts.
        platform: the emulated hardware.
        model: an ONNX file, served as "model".

    Attributes:
        attested_port: the same in every life.
        untrusted_port: likewise.
        host_certificate: the host's, PEM file.
        weights: a place for what the test's model computes with.
    """

    def __init__(self, directory: Path, platform: EmulatedPlatform, model: bytes) -> None:
        self.attested_port = self.untrusted_port = 0
        self.weights: Any = None
        self._directory = directory
        platform.save(directory / "platform")
        (directory / "model.onnx").write_bytes(model)
        self.host_certificate = directory / "state" / "host_server.pem"
        self._process: subprocess.Popen[str] | None = None
        self._next: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        """Serve, from now on, with a new identity."""
        process = self._process = self._next or self._spawn()
        self._next = None
        assert process.stdin is not None
        process.stdin.write(f"{self.attested_port} {self.untrusted_port}\n")
        process.stdin.flush()
        ports = await asyncio.to_thread(self._read_ports, process)
        self.attested_port, self.untrusted_port = ports

    def prepare(self) -> None:
        """Make the next life ready."""
        self._next = self._spawn()

    def kill(self) -> None:
        """End this life with SIGKILL."""
        assert self._process is not None
        self._end(self._process)

    def close(self) -> None:
        """End every process that there is."""
        for process in (self._process, self._next):
            if process is not None:
                self._end(process)

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__, str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    @staticmethod
    def _read_ports(process: subprocess.Popen[str]) -> tuple[int, int]:
        assert process.stdout is not None
        attested, untrusted = process.stdout.readline().split()
        return int(attested), int(untrusted)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


async def _serve(directory: Path) -> None:
    from blindai_async.server import BlindAIServer
    from blindai_async.server.tee.emulated import EmulatedPlatform

    platform = EmulatedPlatform.load(directory / "platform")
    attested, untrusted = map(int, (await asyncio.to_thread(sys.stdin.readline)).split())
    async with BlindAIServer(
        attested_port=attested,
        untrusted_port=untrusted,
        directory=directory / "state",
        models={"model": directory / "model.onnx"},
        hardware=platform,
        inference_threads=1,
    ) as server:
        print(server.attested_port, server.untrusted_port, flush=True)  # noqa: T201 - to the parent
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
