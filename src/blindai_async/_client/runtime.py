"""What a connection is made of: counters, names, the session's manager, callers, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async._client.closing import Closing
from blindai_async._client.model_names import ModelNames
from blindai_async._client.predictions import Predictions
from blindai_async._client.retrying import RetryingCaller
from blindai_async._client.session import EnclaveSession
from blindai_async._client.session_manager import SessionManager
from blindai_async._client.uploads import Uploads
from blindai_async._telemetry.recorder import Recorder

if TYPE_CHECKING:
    from blindai_async._client.config import ConnectionConfig
    from blindai_async._client.handshake import Enclave
    from blindai_async._transport.attested_port import AttestedPort
    from blindai_async._transport.deadline import Deadline
    from blindai_async.options import Batching
    from blindai_async.proofs.responses import DeleteModelResponse
    from blindai_async.specs import ClientInfo


class ConnectionRuntime:
    """The parts of one connection, put together.

    Args:
        config: what the caller asked for.
        client_info: goes with every request.
        chunk_size: see `EnclaveSession`.
        batching: joins calls, where it is given.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        client_info: ClientInfo,
        chunk_size: int | None,
        batching: Batching | None,
    ) -> None:
        self.recorder = Recorder()
        self.names = ModelNames()
        self.manager = SessionManager(config, self._begin_session)
        self.caller = RetryingCaller(self.manager, self.manager.streams, config.retry)
        self.predictions = Predictions(
            self.manager, self.caller, self.names, self.recorder, config.patience
        )
        self.uploads = Uploads(self.caller, self.names, self.predictions)
        self.closing = Closing(self._drain, self._end)
        self._client_info = client_info
        self._chunk_size = chunk_size
        self._batching = batching

    def _begin_session(self, enclave: Enclave, port: AttestedPort) -> EnclaveSession:
        return EnclaveSession(enclave, port, self._client_info, self._chunk_size, self.recorder)

    async def open(self) -> None:
        """Shake hands, unless that is done already; see `SessionManager.open`."""
        await self.manager.open()
        if self._batching is not None:
            self.predictions.join_calls(self._batching)

    async def _drain(self) -> None:
        if self.predictions.batcher is not None:
            await self.predictions.batcher.drain()
        await self.caller.calls.wait_idle()

    async def _end(self) -> None:
        try:
            if self.predictions.batcher is not None:
                await self.predictions.batcher.close()
            self.caller.calls.end_all()
        finally:
            await self.manager.close()

    async def delete_model(
        self, model_id: str, deadline: Deadline, patience: float
    ) -> DeleteModelResponse:
        """See `InferenceClient.delete_model`."""
        response = await self.caller.run(
            lambda session, left: session.delete_model(model_id, timeout=left), deadline, patience
        )
        self.names.forget(model_id)
        return response

    async def wait_ready(self, deadline: Deadline) -> None:
        """See `AsyncConnection.wait_ready`."""
        with self.caller.calls.scope():
            await self.manager.session(deadline, float("inf"))

    async def ping(self, deadline: Deadline) -> None:
        """See `AsyncConnection.ping`."""
        with self.caller.calls.scope():
            session = await self.manager.session(deadline, 0.0)
            await session.ping(deadline.remaining())
