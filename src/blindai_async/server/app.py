"""The server: start, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from blindai_async.server.lifecycle import ServerRun
from blindai_async.server.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from blindai_async.server.tee.platform import QuotingPlatform

__all__ = ["BlindAIServer"]

_logger = logging.getLogger("blindai_async.server")

_MIB = 2**20


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
        max_pending_quotes: how many requests for evidence may wait for the hardware at once.
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
        max_pending_quotes: int = 256,
        inference_threads: int | None = None,
        inference_timeout: float = 300.0,
        stream_timeout: float = 30.0,
        grace: float = 5.0,
        version: str = "0.5.2",
    ) -> None:
        self.host = host
        self.attested_port: int = attested_port
        self.untrusted_port: int = untrusted_port
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
            max_pending_quotes=max_pending_quotes,
            inference_threads=(
                (os.cpu_count() or 1) if inference_threads is None else inference_threads
            ),
            inference_timeout=inference_timeout,
            stream_timeout=stream_timeout,
            grace=grace,
        )
        self._run: ServerRun | None = None
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
        run = ServerRun(self._settings)
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

    async def _shut_down(self, run: ServerRun) -> None:
        await run.drain()
        await run.stop()
        self._closed.set()

    def _running(self) -> ServerRun:
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
