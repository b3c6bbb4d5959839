"""One enclave behind one pinned channel: requests in, verified responses out."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._transport.threads import Purpose, run_in_thread
from blindai_async._wire.protobuf import varint
from blindai_async._wire.tensor_data import request_frames, request_message
from blindai_async.errors import DeadlineExceededError, ProofFormatError, TransportError
from blindai_async.proofs.responses import DeleteModelResponse, PredictResponse, UploadModelResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from typing import NoReturn

    from grpc import ChannelConnectivity

    from blindai_async._client.handshake import Enclave
    from blindai_async._client.model_source import ModelSource
    from blindai_async._telemetry.recorder import Recorder
    from blindai_async._transport.attested_port import AttestedPort
    from blindai_async._wire.tensor_data import OutgoingTensor
    from blindai_async.specs import ClientInfo, ModelSpec, TensorSpec

# Verifying a signature hashes all that is signed; from here on it is done off the event loop.
_LARGE_REPLY = 1 << 20

# A message holds the loop in proportion to its size: see benchmarks/README.md. Where a few carry
# the whole request, larger ones are faster, and nobody waits for long.
_CHUNK = 256 << 10
_SHORT_CHUNK = 1 << 20
_SHORT = 4 << 20


class EnclaveSession:
    """Speaks to one enclave until its channel is closed.

    Args:
        enclave: who it is.
        port: the channel pinned to it.
        client_info: goes with every request.
        chunk_size: bytes of model or tensor a message; None chooses by the request's size.
        recorder: counts requests and bytes.
    """

    def __init__(
        self,
        enclave: Enclave,
        port: AttestedPort,
        client_info: ClientInfo,
        chunk_size: int | None,
        recorder: Recorder,
    ) -> None:
        self.enclave = enclave
        self._port = port
        self._client_info = pb.ClientInfo(**client_info.model_dump())
        # As a field of every request to run a model: protobuf's messages can be strung together.
        self._client_facts = pb.RunModelRequest(client_info=self._client_info).SerializeToString()
        self._loop = asyncio.get_running_loop()
        self._chunk_size = chunk_size or _CHUNK
        self._short_chunk_size = chunk_size or _SHORT_CHUNK
        self._recorder = recorder

    async def predict(
        self, model_id: str, tensors: Sequence[OutgoingTensor], *, sign: bool, timeout: float
    ) -> PredictResponse:
        """Run a model on tensors; nothing unchecked is returned.

        Raises:
            TransportError: no proper answer came.
            SignatureError: `sign`, and the answer is not this enclave's to this question.
        """
        trailer = _run_model_facts(model_id, sign) + self._client_facts
        nbytes = sum([tensor.nbytes for tensor in tensors])
        digest = hashlib.sha256() if sign else None
        self._recorder.rpcs += 1
        self._recorder.bytes_sent += nbytes
        ends = self._loop.time() + timeout
        if nbytes <= self._short_chunk_size:
            message = request_message(tensors, trailer, digest)
            reply = await self._port.run_model(message, timeout)
        else:
            chunk_size = self._short_chunk_size if nbytes <= _SHORT else self._chunk_size
            frames = request_frames(tensors, trailer, chunk_size, digest)
            reply = await self._port.run_model_in_frames(frames, timeout)
        self._recorder.bytes_received += len(reply)
        read = partial(
            PredictResponse.from_reply,
            reply,
            model_id=model_id,
            attestation=self.enclave.evidence,
            enclave_signing_key=self.enclave.signing_key,
            input_hash=None if digest is None else digest.digest(),
        )
        try:
            if sign and len(reply) > _LARGE_REPLY:
                return await _in_thread(read, ends)
            return read()
        except ProofFormatError as error:
            _refuse("predict", error)

    async def upload_model(
        self,
        source: ModelSource,
        spec: ModelSpec,
        *,
        model_id: str | None,
        sign: bool,
        save_model: bool,
        on_progress: Callable[[int, int], object] | None,
        timeout: float,
    ) -> UploadModelResponse:
        """Send a model; nothing unchecked is returned.

        Raises:
            TransportError: no proper answer came.
            SignatureError: `sign`, and the answer is not this enclave's about this model.
        """
        request = pb.SendModelRequest(
            length=source.size,
            sign=sign,
            client_info=self._client_info,
            model_name=source.name,
            save_model=save_model,
            model_id=model_id or "",
        )
        frames = self._model_frames(source, spec, request, on_progress)
        reply = await self._port.send_model(frames, timeout)
        try:
            response = UploadModelResponse.from_reply(
                reply,
                attestation=self.enclave.evidence,
                enclave_signing_key=self.enclave.signing_key,
                model_hash=source.sha256() if sign else None,
            )
        except ProofFormatError as error:
            _refuse("upload_model", error)
        # A named user's models are called `username/model` (wire: Limits and authorization).
        if model_id and not f"/{response.model_id}".endswith(f"/{model_id}"):
            _refuse("upload_model", ProofFormatError("it is about another model id"))
        return response

    async def _model_frames(
        self,
        source: ModelSource,
        spec: ModelSpec,
        request: pb.SendModelRequest,
        on_progress: Callable[[int, int], object] | None,
    ) -> AsyncGenerator[bytes, None]:
        """Serialized `SendModelRequest` messages: the facts in each, the tensors' in the first."""
        repeated = request.SerializeToString()
        facts = pb.SendModelRequest(
            tensor_inputs=_tensor_infos(spec.inputs), tensor_outputs=_tensor_infos(spec.outputs)
        ).SerializeToString()
        sent = 0
        async with aclosing(source.blocks()) as blocks:
            async for block in blocks:
                for start in range(0, block.nbytes, self._chunk_size):
                    chunk = block[start : start + self._chunk_size]
                    yield b"".join((b"\x0a", varint(chunk.nbytes), chunk, facts, repeated))
                    facts = b""
                    sent += chunk.nbytes
                    if on_progress is not None:
                        on_progress(sent, source.size)

    async def delete_model(self, model_id: str, *, timeout: float) -> DeleteModelResponse:
        """Delete a model.

        Raises:
            TransportError: no proper answer came.
        """
        request = pb.DeleteModelRequest(model_id=model_id)
        await self._port.delete_model(request.SerializeToString(), timeout)
        return DeleteModelResponse()

    def is_connected(self) -> bool:
        """Tell whether the channel stands at this moment."""
        return self._port.is_connected()

    def connect(self) -> ChannelConnectivity:
        """Let the channel connect anew where it is not connected; returns how it stands."""
        return self._port.connect()

    async def ping(self, timeout: float) -> None:
        """Ask the enclave for a sign of life.

        Raises:
            TransportError: none came.
        """
        await self._port.ping(timeout)

    async def retire(self, grace: float) -> None:
        """Close the channel once the calls under way are done, or `grace` seconds have passed."""
        try:
            await self._port.wait_idle(grace)
        finally:
            await self._port.close()

    async def close(self) -> None:
        """Close the channel at once; calls under way are cancelled."""
        await self._port.close()


@lru_cache(maxsize=256)  # the same models are asked again and again
def _run_model_facts(model_id: str, sign: bool) -> bytes:
    return pb.RunModelRequest(model_id=model_id, sign=sign).SerializeToString()


async def _in_thread(read: Callable[[], PredictResponse], ends: float) -> PredictResponse:
    """Read a reply off the loop, until `ends` by its clock."""
    try:
        async with asyncio.timeout_at(ends):
            return await run_in_thread(Purpose.CONVERT, read)
    except TimeoutError:
        raise DeadlineExceededError(
            "predict: the answer came, but there was no time left to verify it",
            code="DEADLINE_EXCEEDED",
        ) from None


def _tensor_infos(specs: Sequence[TensorSpec]) -> list[pb.TensorInfo]:
    return [
        pb.TensorInfo(dims=spec.dims, datum_type=int(spec.dtype), index=index, index_name=spec.name)  # type: ignore[arg-type]  # the stub wants its own enum; any int is one on the wire
        for index, spec in enumerate(specs)
    ]


def _refuse(call: str, error: ProofFormatError) -> NoReturn:
    raise TransportError(f"{call}: the server's reply was refused: {error}") from error
