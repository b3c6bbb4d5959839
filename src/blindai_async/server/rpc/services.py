"""The two services of a 0.5 server (docs/explanation/wire_protocol.md, "Refusals").

Handlers get and give serialized messages: a tensor then goes from gRPC's buffer to ONNX Runtime
and back with one copy each way.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from typing import TYPE_CHECKING

import grpc

from blindai_async._pb import securedexchange_pb2 as exchange_pb
from blindai_async._pb import untrusted_pb2 as untrusted_pb
from blindai_async.server.inference.onnx_runtime import Inference
from blindai_async.server.rpc.admission import receive
from blindai_async.server.rpc.replies import prediction_reply, upload_reply
from blindai_async.server.rpc.requests import ModelUpload, PredictionRequest, parse
from blindai_async.server.status_errors import RefusalError, invalid_argument

if TYPE_CHECKING:
    from blindai_async.server.identity import EnclaveIdentity
    from blindai_async.server.inference.tensor_assembly import ArrivingTensor
    from blindai_async.server.inference.worker_pool import WorkerPool
    from blindai_async.server.rpc.admission import CallAdmission, Context, PendingBytes
    from blindai_async.server.rpc.call_deadlines import CallDeadlines
    from blindai_async.server.rpc.evidence import EvidenceSource
    from blindai_async.server.settings import ServerSettings
    from blindai_async.server.storage.model_store import ModelStore

__all__ = ["ATTESTATION", "EXCHANGE", "AttestationService", "ExchangeService"]

ATTESTATION = "untrusted.Attestation"
EXCHANGE = "securedexchange.Exchange"


class AttestationService:
    """The untrusted port: who the enclave is, and the evidence for it.

    Args:
        identity: the enclave's.
        evidence: answers requests for evidence.
        version: what `GetServerInfo` tells.
    """

    def __init__(self, identity: EnclaveIdentity, evidence: EvidenceSource, version: str) -> None:
        self._identity = identity
        self._evidence = evidence
        self._version = version

    def handler(self, admission: CallAdmission) -> grpc.GenericRpcHandler:
        """What to register with the untrusted port's server."""
        methods = {
            "GetCertificate": self._get_certificate,
            "GetToken": self._get_token,
            "GetSgxQuoteWithCollateral": self._get_evidence,
            "GetServerInfo": self._get_server_info,
        }
        return grpc.method_handlers_generic_handler(
            ATTESTATION,
            {
                name: grpc.unary_unary_rpc_method_handler(admission.admitted(method))
                for name, method in methods.items()
            },
        )

    async def _get_server_info(self, _request: bytes, _context: Context) -> bytes:
        return untrusted_pb.GetServerInfoReply(version=self._version).SerializeToString()

    async def _get_certificate(self, _request: bytes, _context: Context) -> bytes:
        return untrusted_pb.GetCertificateReply(
            enclave_tls_certificate=self._identity.certificate
        ).SerializeToString()

    async def _get_token(self, _request: bytes, _context: Context) -> bytes:
        # Tokens are accepted and ignored here, so there is none to give.
        return untrusted_pb.GetTokenReply().SerializeToString()

    async def _get_evidence(self, request: bytes, _context: Context) -> bytes:
        return await self._evidence.reply(request)


class ExchangeService:
    """The attested port: models come in, predictions go out.

    Args:
        settings: the limits.
        store: the models.
        identity: signs what is to be signed.
        pending: the account for unfinished requests.
        deadlines: end calls that take too long.
        store_thread: the thread that changes the store.
        runners: the threads that run models.
    """

    def __init__(
        self,
        settings: ServerSettings,
        store: ModelStore,
        identity: EnclaveIdentity,
        pending: PendingBytes,
        deadlines: CallDeadlines,
        store_thread: WorkerPool,
        runners: WorkerPool,
    ) -> None:
        self._settings = settings
        self._store = store
        self._signing_key = identity.signing_key
        self._pending = pending
        self._deadlines = deadlines
        self._store_thread = store_thread
        self._runners = runners

    def handler(self, admission: CallAdmission) -> grpc.GenericRpcHandler:
        """What to register with the attested port's server."""
        return grpc.method_handlers_generic_handler(
            EXCHANGE,
            {
                "SendModel": grpc.stream_unary_rpc_method_handler(
                    admission.admitted(self._send_model)
                ),
                "RunModel": grpc.stream_unary_rpc_method_handler(
                    admission.admitted(self._run_model)
                ),
                "DeleteModel": grpc.unary_unary_rpc_method_handler(
                    admission.admitted(self._delete_model)
                ),
            },
        )

    async def _send_model(self, _stream: object, context: Context) -> bytes:
        if not self._settings.allow_uploads:
            raise RefusalError(grpc.StatusCode.PERMISSION_DENIED, "Uploading models is disabled")
        with self._pending.account() as hold, self._deadlines.bounded() as deadline:
            upload = ModelUpload(self._settings.max_model_size, hold)
            await receive(context, upload.accept, deadline, timeout=self._settings.stream_timeout)
            deadline.allow(self._settings.inference_timeout, "Loading the model took too long")
            return await self._store_thread.run(lambda: self._add_model(upload))

    def _add_model(self, upload: ModelUpload) -> bytes:
        """Load the model and build the reply. Runs in the thread that changes the store."""
        onnx_file = upload.finish()
        request = upload.request
        model_id = request.model_id or str(uuid.uuid4())
        self._store.add(model_id, onnx_file, save=request.save_model)
        if not request.sign:
            return upload_reply(exchange_pb.SendModelPayload(model_id=model_id), None)
        payload = exchange_pb.SendModelPayload(
            model_hash=hashlib.sha256(onnx_file).digest(),
            tensor_inputs=request.tensor_inputs,
            tensor_outputs=request.tensor_outputs,
            model_id=model_id,
        )
        return upload_reply(payload, self._signing_key)

    async def _run_model(self, _stream: object, context: Context) -> bytes:
        with self._pending.account() as hold, self._deadlines.bounded() as deadline:
            request = PredictionRequest(self._settings.max_input_size, hold)
            await receive(context, request.accept, deadline, timeout=self._settings.stream_timeout)
            tensors = request.finish()
            inference = Inference(self._store.get(request.model_id), tensors)
            deadline.allow(self._settings.inference_timeout, "The inference took too long")
            try:
                return await self._runners.run(lambda: self._predict(inference, tensors, request))
            except asyncio.CancelledError:
                inference.stop()  # nobody waits for it any more
                raise

    def _predict(
        self, inference: Inference, tensors: list[ArrivingTensor], request: PredictionRequest
    ) -> bytes:
        """Run a model and build the reply. Runs in a runner's thread."""
        started = time.perf_counter()
        outputs = inference.run()
        seconds = time.perf_counter() - started
        if not request.sign:
            return prediction_reply(outputs, seconds)
        input_hash = hashlib.sha256()
        for tensor in tensors:
            input_hash.update(tensor.data)
        return prediction_reply(
            outputs,
            seconds,
            input_hash=input_hash.digest(),
            model_id=request.model_id,
            signing_key=self._signing_key,
        )

    async def _delete_model(self, request: bytes, _context: Context) -> bytes:
        model_id = parse(exchange_pb.DeleteModelRequest, request).model_id
        if not model_id:
            raise invalid_argument("Model id is empty")
        await self._store_thread.run(lambda: self._store.delete(model_id))
        return exchange_pb.DeleteModelReply().SerializeToString()
