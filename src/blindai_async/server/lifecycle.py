"""One run of the server: what exists between start and stop.

Identities, models, threads and the two gRPC servers belong to a run and end with it.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from blindai_async.server.identity import (
    EnclaveIdentity,
    HostIdentity,
    make_enclave_identity,
    open_host_identity,
)
from blindai_async.server.inference.worker_pool import WorkerPool
from blindai_async.server.rpc.admission import CallAdmission, PendingBytes
from blindai_async.server.rpc.call_deadlines import CallDeadlines
from blindai_async.server.rpc.evidence import EvidenceSource
from blindai_async.server.rpc.health import HealthService
from blindai_async.server.rpc.services import (
    ATTESTATION,
    EXCHANGE,
    AttestationService,
    ExchangeService,
)
from blindai_async.server.storage.model_store import ModelStore
from blindai_async.server.storage.sealed_models import SealedModels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindai_async.server.settings import ServerSettings
    from blindai_async.server.tee.platform import QuotingPlatform

__all__ = ["ServerRun"]

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
    # Without this a compressed message may be a thousand times as large in memory as it was when
    # it was counted. A 0.5 server takes none either.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # A peer that connects and says nothing is let go soon, not after two minutes.
    ("grpc.server_handshake_timeout_ms", 15_000),
    ("grpc.max_concurrent_streams", 1024),
    # As a 0.5 server takes them; gRPC's own 16 KiB cost a tenth more for large tensors.
    ("grpc.http2.max_frame_size", 65_536),
    # Clients may look after their connection: a ping every five seconds is no offence.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class ServerRun:
    """What exists between start and stop: identities, threads, models, the two gRPC servers."""

    enclave_identity: EnclaveIdentity
    host_identity: HostIdentity
    _store: ModelStore

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._admission = CallAdmission()
        self._deadlines = CallDeadlines(min(settings.stream_timeout, settings.inference_timeout))
        self._store_thread = WorkerPool(1, "blindai-store")
        # Of its own: a handshake must not wait until somebody's model is loaded.
        self._quoter = WorkerPool(1, "blindai-quoter")
        self._runners = WorkerPool(settings.inference_threads, "blindai-inference")
        self._health = (HealthService(EXCHANGE), HealthService(ATTESTATION))
        self._servers: list[grpc.aio.Server] = []
        self._temporary: Path | None = None
        self._drain_until = float("inf")
        self._draining: asyncio.Timeout | None = None

    async def prepare(self, directory: Path | None, models: Mapping[str, Path]) -> None:
        """Open the directory, make the identity and load the models, off the loop."""
        await self._store_thread.run(lambda: self._prepare(directory, models))

    def _prepare(self, directory: Path | None, models: Mapping[str, Path]) -> None:
        if directory is None:
            directory = self._temporary = Path(tempfile.mkdtemp(prefix="blindai-async-"))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.host_identity = open_host_identity(directory)
        self.enclave_identity = make_enclave_identity()
        self._store = ModelStore(SealedModels(directory))
        self._store.load_saved()
        self._store.load_files(models)

    async def listen(
        self, host: str, ports: tuple[int, int], hardware: QuotingPlatform | None
    ) -> tuple[int, int]:
        """Start both servers; returns the ports that they got."""
        exchange = ExchangeService(
            self._settings,
            self._store,
            self.enclave_identity,
            PendingBytes(self._settings.max_pending_bytes),
            self._deadlines,
            self._store_thread,
            self._runners,
        )
        evidence = EvidenceSource(
            hardware,
            self.enclave_identity.certificate,
            self._quoter,
            self._settings.max_pending_quotes,
        )
        attestation = AttestationService(self.enclave_identity, evidence, self._settings.version)
        enclave, machine = self.enclave_identity, self.host_identity
        attested = await self._serve(
            (exchange.handler(self._admission), self._health[0].handler()),
            (host, ports[0]),
            (enclave.tls_key_pem, enclave.certificate_pem),
        )
        untrusted = await self._serve(
            (attestation.handler(self._admission), self._health[1].handler()),
            (host, ports[1]),
            (machine.tls_key_pem, machine.certificate_pem),
        )
        return attested, untrusted

    async def _serve(
        self,
        handlers: tuple[grpc.GenericRpcHandler, ...],
        address: tuple[str, int],
        key_and_certificate: tuple[bytes, bytes],
    ) -> int:
        limit = ("grpc.max_receive_message_length", self._settings.max_message_size)
        server = grpc.aio.server(options=[*_CHANNEL_OPTIONS, limit])
        self._servers.append(server)  # to be stopped, wherever starting ends
        server.add_generic_rpc_handlers(handlers)
        host, port = address
        literal = f"[{host}]" if ":" in host else host
        try:
            bound = server.add_secure_port(
                f"{literal}:{port}", grpc.ssl_server_credentials([key_and_certificate])
            )
        except RuntimeError as error:
            raise OSError(f"cannot listen on {literal}:{port}; is the port taken?") from error
        # Each is started as soon as it is bound: gRPC gives a port back only where it was served.
        await server.start()
        return bound

    def give_up_after(self, grace: float) -> None:
        """Let `drain` wait no longer than `grace` seconds from now."""
        until = asyncio.get_running_loop().time() + grace
        self._drain_until = min(self._drain_until, until)
        if self._draining is not None and not self._draining.expired():
            self._draining.reschedule(self._drain_until)

    async def drain(self) -> None:
        """Refuse new calls and wait for those under way.

        The ports stay open meanwhile, so that new calls and health checks get an answer instead of
        a refused connection.
        """
        for health in self._health:
            health.stop_serving()
        self._admission.close()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._drain_until) as self._draining:
                await self._admission.wait_idle()
        self._draining = None

    async def stop(self) -> None:
        """Close everything, from whatever state `start` may have left."""
        await asyncio.gather(*(server.stop(None) for server in self._servers))
        if self._temporary is not None:
            temporary = self._temporary
            await self._store_thread.run(lambda: shutil.rmtree(temporary, ignore_errors=True))
        self._deadlines.close()
        for pool in (self._store_thread, self._quoter, self._runners):
            pool.close()
