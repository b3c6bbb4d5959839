"""A machine with an emulated enclave: started, restarted, robbed, connected to."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import blindai_async
from blindai_async.attestation import Policy, TrustRoot
from blindai_async.errors import SecurityWarning
from blindai_async.server import BlindAIServer
from blindai_async.server.tee.emulated import EmulatedPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blindai_async import AsyncConnection

__all__ = ["SECRET_INPUT", "SECRET_MODEL", "Machine", "connection_to", "trusting"]

# Bytes that are found again wherever they go: as one row of eight float32, and in a model.
SECRET_INPUT = np.frombuffer(b"input that must never leave here", np.float32).reshape(1, 8)
SECRET_MODEL = b"model that must never leave here"


class Quoting:
    """The platform as the server sees it; counts the quotes that were asked for.

    Attributes:
        platform: put another one here for other evidence.
        quotes: how many were asked for.
        with_collateral: False for a server that has none to give.
    """

    def __init__(self, platform: EmulatedPlatform) -> None:
        self.platform = platform
        self.quotes = 0
        self.with_collateral = True

    @property
    def tee(self) -> Literal["sgx", "tdx"]:
        return self.platform.tee

    def quote(self, report_data: bytes) -> bytes:
        self.quotes += 1
        return self.platform.quote(report_data)

    def collateral(self) -> Mapping[str, str | int] | None:
        return self.platform.collateral() if self.with_collateral else None


class Machine:
    """A server in hardware mode whose enclave can be restarted on the same ports.

    Args:
        directory: for its files.
        platform: the emulated hardware; a new one where None.
        options: of `BlindAIServer`.

    Attributes:
        quoting: the hardware; put another platform into it for other evidence.
        server: the one that runs now.
    """

    server: BlindAIServer

    def __init__(
        self, directory: Path, platform: EmulatedPlatform | None = None, **options: Any
    ) -> None:
        self.directory = directory
        self.quoting = Quoting(platform or EmulatedPlatform())
        self.attested_port = self.untrusted_port = 0
        self._options = {"grace": 0.0, "inference_threads": 1} | options
        self._running = False

    async def start(self) -> None:
        """Start the enclave: its certificate and its signing key are new each time."""
        self.server = BlindAIServer(
            attested_port=self.attested_port,
            untrusted_port=self.untrusted_port,
            directory=self.directory / "state",
            hardware=self.quoting,
            **self._options,
        )
        await self.server.start()
        self._running = True
        self.attested_port = self.server.attested_port
        self.untrusted_port = self.server.untrusted_port
        self.host_certificate.write_bytes(self.server.host_certificate_pem)

    async def stop(self) -> None:
        """Stop it, if it runs; calls under way are ended."""
        if self._running:
            self._running = False
            await self.server.stop(0)

    async def restart(self) -> None:
        """Stop and start it: the enclave that comes back has another identity."""
        await self.stop()
        await self.start()

    @property
    def host_certificate(self) -> Path:
        """What clients are given as `certificate`."""
        return self.directory / "host_server.pem"

    def connection(self, **options: Any) -> AsyncConnection:
        """A connection to it, not opened; `options` go before what suits the machine."""
        return connection_to(
            self,
            **(
                {
                    "policy": Policy.from_str(self.quoting.platform.policy_toml),
                    "trust_root": trusting(self.quoting.platform),
                    "certificate": self.host_certificate,
                }
                | options
            ),
        )

    def steal(self, which: str = "enclave") -> tuple[bytes, bytes]:
        """The "enclave"'s or the "host"'s private key and certificate, PEM: an attacker's prize."""
        assert self.server._run is not None
        if which == "host":
            host = self.server._run.host_identity
            return host.tls_key_pem, host.certificate_pem
        enclave = self.server._run.enclave_identity
        return enclave.tls_key_pem, ssl.DER_cert_to_PEM_cert(enclave.certificate).encode()


def trusting(platform: EmulatedPlatform) -> TrustRoot:
    """The platform's root, the warning being expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return TrustRoot.from_pem(platform.root_pem)


def connection_to(server: Any, **options: Any) -> AsyncConnection:
    """A connection to a server's two ports, not opened; the warnings are expected."""
    ports = {"attested_port": server.attested_port, "untrusted_port": server.untrusted_port}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return blindai_async.connect(**({"addr": "127.0.0.1"} | ports | options))
