"""The server's life: start, serve on two ports, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc

from blindai_async.server.calls import CallGate, PendingBytes
from blindai_async.server.health import HealthService
from blindai_async.server.identity import (
    EnclaveIdentity,
    HostIdentity,
    make_enclave_identity,
    open_host_identity,
)
from blindai_async.server.sealed import SealedModels
from blindai_async.server.services import (
    ATTESTATION,
    EXCHANGE,
    AttestationService,
    ExchangeService,
)
from blindai_async.server.settings import ServerSettings
from blindai_async.server.store import ModelStore
from blindai_async.server.watchdog import Watchdog
from blindai_async.server.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from blindai_async.server.quoting import QuotingPlatform

__all__ = ["BlindAIServer"]

_logger = logging.getLogger("blindai_async.server")

_MIB = 2**20
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
    # Clients may look after their connection: a ping every five seconds is no offence.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class BlindAIServer:
    """A BlindAI 0.5 server that runs ONNX models with ONNX Runtime.

    For development, tests and demos: it runs in an ordinary process, whose memory its machine's
    owner can read. Use it as an async context manager, or call `start` and `stop`.

    Args:
        host: the address to listen on.
        attested_port: where models and predictions go; 0 picks a free port.
        untrusted_port: where evidence is asked for; 0 picks a free port.
        directory: keeps the host's certificate (`host_server.pem`), its key, the sealing key and
            saved models. None: a temporary one, removed at the end.
        models: ONNX files to load at start, by the id they shall have.
        hardware: makes the quotes. None is simulation mode: nothing proves what the server is.
        allow_uploads: whether clients may upload models.
        max_model_size: bytes an uploaded model may have.
        max_input_size: bytes the inputs of one prediction may have together.
        max_message_size: bytes a single gRPC message may have.
        max_pending_bytes: bytes that all unfinished requests may take together.
        inference_threads: how many predictions run at once, each on one thread. None: one a CPU.
        inference_timeout: seconds after which a prediction is given up, its wait included.
        stream_timeout: seconds without content after which an unfinished request is given up.
        grace: seconds that calls in flight get to finish when the server stops.
        version: what the server says it is.

    Attributes:
        host: as given.
        attested_port: the real port, once started.
        untrusted_port: the real port, once started.

    Raises:
        pydantic.ValidationError: a limit that is none (a `ValueError`).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        attested_port: int = 50051,
        untrusted_port: int = 50052,
        directory: str | os.PathLike[str] | None = None,
        models: Mapping[str, str | os.PathLike[str]] | None = None,
        hardware: QuotingPlatform | None = None,
        allow_uploads: bool = True,
        max_model_size: int = 900_000_000,
        max_input_size: int = 900_000_000,
        max_message_size: int = 128 * _MIB,
        max_pending_bytes: int = 2048 * _MIB,
        inference_threads: int | None = None,
        inference_timeout: float = 300.0,
        stream_timeout: float = 30.0,
        grace: float = 5.0,
        version: str = "0.5.2",
    ) -> None:
        self.host = host
        self.attested_port = attested_port
        self.untrusted_port = untrusted_port
        self._directory = None if directory is None else Path(directory)
        self._models = {model_id: Path(path) for model_id, path in (models or {}).items()}
        self._hardware = hardware
        self._settings = ServerSettings(
            version=version,
            allow_uploads=allow_uploads,
            max_model_size=max_model_size,
            max_input_size=max_input_size,
            max_message_size=max_message_size,
            max_pending_bytes=max_pending_bytes,
            inference_threads=(
                (os.cpu_count() or 1) if inference_threads is None else inference_threads
            ),
            inference_timeout=inference_timeout,
            stream_timeout=stream_timeout,
            grace=grace,
        )
        self._run: _Run | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._started = False
        self._closed = asyncio.Event()

    @property
    def simulation(self) -> bool:
        """Whether the server has no evidence to give."""
        return self._hardware is None

    @property
    def host_certificate_pem(self) -> bytes:
        """The untrusted port's certificate, PEM: what clients may be given as a file."""
        return self._running().host_identity.certificate_pem

    @property
    def enclave_certificate(self) -> bytes:
        """The attested port's certificate, DER: new at every start."""
        return self._running().enclave_identity.certificate

    @property
    def enclave_signing_key(self) -> bytes:
        """The Ed25519 public key that verifies this run's signed replies, 32 raw bytes."""
        return self._running().enclave_identity.public_signing_key

    async def start(self) -> None:
        """Make the identity, load the models, and serve.

        Raises:
            OSError: a port cannot be had, or a file cannot be read.
            ValueError: a model or a file in the directory is damaged.
            RuntimeError: the server was started before.
        """
        if self._started:
            raise RuntimeError("a BlindAIServer starts once; make another one")
        self._started = True
        run = _Run(self._settings)
        try:
            await run.prepare(self._directory, self._models)
            self.attested_port, self.untrusted_port = await run.listen(
                self.host, (self.attested_port, self.untrusted_port), self._hardware
            )
        except BaseException:
            await run.stop()
            self._closed.set()
            raise
        self._run = run
        self._announce()

    async def stop(self, grace: float | None = None) -> None:
        """Drain and stop: refuse new calls, let those in flight finish, close both ports.

        A second call while the first one waits shortens the wait to its own `grace`.

        Args:
            grace: seconds for the calls in flight; None takes the constructor's. Those that are
                not done then are cancelled.
        """
        if self._run is None:
            return
        self._run.give_up_after(self._settings.grace if grace is None else grace)
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._shut_down(self._run))
        # Whoever waits here may be cancelled; the ports are closed all the same.
        await asyncio.shield(self._stopping)

    async def wait_closed(self) -> None:
        """Wait until `stop` is done."""
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _shut_down(self, run: _Run) -> None:
        await run.drain()
        await run.stop()
        self._closed.set()

    def _running(self) -> _Run:
        if self._run is None:
            raise RuntimeError("the server is not running")
        return self._run

    def _announce(self) -> None:
        _logger.warning(
            "BlindAIServer is for development, tests and demos: it runs in an ordinary process, "
            "whose memory the owner of this machine can read"
        )
        if self.simulation:
            _logger.warning("simulation mode: clients cannot tell this server from any other")
        _logger.info(
            "serving on %s: attested port %d, untrusted port %d",
            self.host,
            self.attested_port,
            self.untrusted_port,
        )


class _Run:
    """What exists between start and stop: identities, threads, models, the two gRPC servers."""

    enclave_identity: EnclaveIdentity
    host_identity: HostIdentity
    _store: ModelStore

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._gate = CallGate()
        self._watchdog = Watchdog(min(settings.stream_timeout, settings.inference_timeout))
        self._keeper = WorkerPool(1, "blindai-keeper")
        # Of its own: a handshake must not wait until the keeper has loaded somebody's model.
        self._quoter = WorkerPool(1, "blindai-quoter")
        self._runners = WorkerPool(settings.inference_threads, "blindai-inference")
        self._health = (HealthService(EXCHANGE), HealthService(ATTESTATION))
        self._servers: list[grpc.aio.Server] = []
        self._temporary: Path | None = None
        self._timers: list[asyncio.TimerHandle] = []

    async def prepare(self, directory: Path | None, models: Mapping[str, Path]) -> None:
        """Open the directory, make the identity and load the models, off the loop."""
        await self._keeper.run(lambda: self._prepare(directory, models))

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
            self._watchdog,
            self._keeper,
            self._runners,
        )
        attestation = AttestationService(
            self.enclave_identity, hardware, self._settings.version, self._quoter
        )
        enclave, machine = self.enclave_identity, self.host_identity
        attested = await self._serve(
            (exchange.handler(self._gate), self._health[0].handler()),
            (host, ports[0]),
            (enclave.tls_key_pem, enclave.certificate_pem),
        )
        untrusted = await self._serve(
            (attestation.handler(self._gate), self._health[1].handler()),
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
        self._servers.append(server)
        return bound

    def give_up_after(self, grace: float) -> None:
        """Let `drain` wait no longer than `grace` seconds from now."""
        self._timers.append(asyncio.get_running_loop().call_later(grace, self._gate.give_up))

    async def drain(self) -> None:
        """Refuse new calls and wait for those in flight.

        The ports stay open meanwhile, so that new calls and health checks get an answer instead of
        a refused connection.
        """
        for health in self._health:
            health.stop_serving()
        self._gate.close()
        await self._gate.wait_idle()

    async def stop(self) -> None:
        """Close everything, from whatever state `start` may have left."""
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*(server.stop(None) for server in self._servers))
        if self._temporary is not None:
            temporary = self._temporary
            await self._keeper.run(lambda: shutil.rmtree(temporary, ignore_errors=True))
        self._watchdog.close()
        for pool in (self._keeper, self._quoter, self._runners):
            pool.close()
