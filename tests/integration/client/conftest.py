"""A server whose every answer a test can choose, over real TLS and gRPC, and clients of it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import blindai_async
from blindai_async._pb import licensing_pb2, untrusted_pb2
from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async.errors import SecurityWarning

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import numpy as np

    from blindai_async import AsyncConnection

SEND_MODEL = "/securedexchange.Exchange/SendModel"
RUN_MODEL = "/securedexchange.Exchange/RunModel"
DELETE_MODEL = "/securedexchange.Exchange/DeleteModel"
GET_SERVER_INFO = "/untrusted.Attestation/GetServerInfo"
GET_CERTIFICATE = "/untrusted.Attestation/GetCertificate"
GET_EVIDENCE = "/untrusted.Attestation/GetSgxQuoteWithCollateral"
GET_ENCLAVE = "/LicensingService/GetEnclave"

SIGNING_KEY_OID = "1.3.6.1.3.2"


class Identity:
    """A key and a self-signed certificate for ``blindai-srv``, as an enclave makes them."""

    def __init__(self, *, signing_key: bytes | None, name: str = "blindai-srv") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, "rcgen self signed cert")]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(1975, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(4096, 1, 1, tzinfo=UTC))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        if signing_key is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(SIGNING_KEY_OID), signing_key),
                critical=False,
            )
        certificate = builder.sign(key, hashes.SHA256())
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def server_credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key_pem, self.pem)])


@dataclass
class Call:
    """What a client sent in one call, as far as it was read.

    Attributes:
        path: which call.
        metadata: what came with it.
        messages: the serialized messages.
        incoming: those still to be read.
        context: gRPC's.
    """

    path: str
    metadata: dict[str, Any]
    incoming: Any
    context: Any
    messages: list[bytes] = field(default_factory=list)

    async def read_all(self) -> list[bytes]:
        async for message in self.incoming:
            self.messages.append(message)
        return self.messages

    async def read(self, count: int) -> list[bytes]:
        while len(self.messages) < count:
            self.messages.append(await anext(self.incoming))
        return self.messages

    async def run_model_request(self) -> tuple[list[pb.RunModelRequest], list[pb.TensorData]]:
        """All the messages, and the inputs put together again as the wire says."""
        requests = [pb.RunModelRequest.FromString(message) for message in await self.read_all()]
        infos: dict[int, pb.TensorInfo] = {}
        pieces: dict[int, list[bytes]] = {}
        for piece in (piece for request in requests for piece in request.input_tensors):
            infos.setdefault(piece.info.index, piece.info)
            pieces.setdefault(piece.info.index, []).append(piece.bytes_data)
        return requests, [
            pb.TensorData(info=info, bytes_data=b"".join(pieces[index]))
            for index, info in infos.items()
        ]


Answer = bytes | tuple[grpc.StatusCode, str] | Callable[[Call], Awaitable[bytes]]


class ScriptedServer:
    """Both ports of a server, and the cloud's, with an honest answer for every call but those that
    a test replaces: ``server.answers[RUN_MODEL] = b"…"``, a status with its details, or a function.

    The honest one echoes the inputs of a prediction as its outputs.
    """

    def __init__(self) -> None:
        self.signer = Ed25519PrivateKey.generate()
        public = self.signer.public_key().public_bytes_raw()
        self.enclave = Identity(signing_key=public)
        self.host_identity = Identity(signing_key=None)
        self.version = "0.5.1"
        self.certificate: bytes = self.enclave.der
        self.jwt = "the-jwt-of-this-key"
        self.enclave_url = ""
        self.answers: dict[str, Answer] = {}
        self.calls: list[Call] = []
        self.attested_port = self.untrusted_port = self.cloud_port = 0
        self._servers: list[grpc.aio.Server] = []

    async def start(self) -> None:
        self.attested_port = await self._listen(self.enclave)
        self.untrusted_port = await self._listen(self.host_identity)
        self.cloud_port = await self._listen(None)
        self.enclave_url = f"127.0.0.1:{self.attested_port}/{self.untrusted_port}"

    async def _listen(self, identity: Identity | None) -> int:
        server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        )
        server.add_generic_rpc_handlers([_AnyPath(self._answer)])
        if identity is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", identity.server_credentials)
        await server.start()
        self._servers.append(server)
        return port

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(None)

    async def _answer(self, path: str, messages: Any, context: Any) -> bytes:
        metadata = {item[0]: item[1] for item in context.invocation_metadata()}
        call = Call(path, metadata, messages, context)
        self.calls.append(call)
        answer = self.answers.get(path, self._honest)
        if callable(answer):
            return await answer(call)
        await call.read_all()
        if isinstance(answer, bytes):
            return answer
        await context.abort(*answer)
        raise AssertionError

    async def _honest(self, call: Call) -> bytes:
        match call.path:
            case "/securedexchange.Exchange/RunModel":
                return await self.echo(call)
            case "/securedexchange.Exchange/SendModel":
                return await self.accept_model(call)
        await call.read_all()
        match call.path:
            case "/untrusted.Attestation/GetServerInfo":
                return untrusted_pb2.GetServerInfoReply(version=self.version).SerializeToString()
            case "/untrusted.Attestation/GetCertificate":
                reply = untrusted_pb2.GetCertificateReply(enclave_tls_certificate=self.certificate)
                return reply.SerializeToString()
            case "/untrusted.Attestation/GetSgxQuoteWithCollateral":
                await call.context.abort(grpc.StatusCode.FAILED_PRECONDITION, "simulation mode")
            case "/LicensingService/GetEnclave":
                return licensing_pb2.GetEnclaveReply(
                    jwt=self.jwt, enclave_url=self.enclave_url
                ).SerializeToString()
        return b""

    async def echo(self, call: Call, **forged: Any) -> bytes:
        """An honest reply to a prediction, but for what is `forged`: see `run_model_reply`."""
        requests, inputs = await call.run_model_request()
        facts: dict[str, Any] = {"outputs": inputs, "sign": requests[-1].sign}
        if requests[-1].sign:
            digest = sha256(b"".join(tensor.bytes_data for tensor in inputs)).digest()
            facts |= {"model_id": requests[-1].model_id, "input_hash": digest}
        return self.run_model_reply(**(facts | forged))

    def run_model_reply(
        self,
        outputs: Sequence[pb.TensorData] = (),
        model_id: str = "",
        input_hash: bytes = b"",
        *,
        sign: bool = True,
        signer: Ed25519PrivateKey | None = None,
    ) -> bytes:
        payload = pb.Payload(
            run_model_payload=pb.RunModelPayload(
                output_tensors=outputs, model_id=model_id, input_hash=input_hash, inference_time=3
            )
        ).SerializeToString()
        return self.reply(payload, sign=sign, signer=signer)

    async def accept_model(self, call: Call, **forged: Any) -> bytes:
        """An honest reply to an upload, but for what is `forged`."""
        requests = [pb.SendModelRequest.FromString(message) for message in await call.read_all()]
        facts: dict[str, Any] = {"model_id": requests[0].model_id or "a-random-id"}
        if requests[0].sign:
            facts["model_hash"] = sha256(b"".join(request.data for request in requests)).digest()
        payload = pb.Payload(send_model_payload=pb.SendModelPayload(**(facts | forged)))
        return self.reply(payload.SerializeToString(), sign=requests[0].sign)

    def reply(
        self, payload: bytes, *, sign: bool = True, signer: Ed25519PrivateKey | None = None
    ) -> bytes:
        """A serialized reply around `payload`; RunModelReply and SendModelReply are the same."""
        signature = (signer or self.signer).sign(payload) if sign else b""
        return pb.RunModelReply(payload=payload, signature=signature).SerializeToString()

    def calls_of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]


class _AnyPath(grpc.GenericRpcHandler):
    def __init__(self, answer: Callable[[str, Any, Any], Awaitable[bytes]]) -> None:
        self._answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = details.method

        async def handle(messages: Any, context: Any) -> bytes:
            return await self._answer(path, messages, context)

        return grpc.stream_unary_rpc_method_handler(handle)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    """A running `ScriptedServer`."""
    server = ScriptedServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def make_connection() -> Callable[..., AsyncConnection]:
    """Makes a connection in simulation mode, unopened, to a server; the warning is expected."""

    def make(server: Any, **options: Any) -> AsyncConnection:
        ports = {"attested_port": server.attested_port, "untrusted_port": server.untrusted_port}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return blindai_async.connect(
                **({"addr": "127.0.0.1", "simulation": True} | ports | options)
            )

    return make


@pytest.fixture
async def connect(
    make_connection: Callable[..., AsyncConnection],
) -> AsyncIterator[Callable[..., Awaitable[AsyncConnection]]]:
    """Opens connections in simulation mode to a server, and closes them at the test's end."""
    async with AsyncExitStack() as opened:

        async def open_connection(server: Any, **options: Any) -> AsyncConnection:
            return await opened.enter_async_context(make_connection(server, **options))

        yield open_connection


@pytest.fixture
def tensor_data() -> Callable[..., pb.TensorData]:
    """Makes a `TensorData` that says of itself what the test says."""

    def make(data: bytes | np.ndarray, dims: Sequence[int], datum_type: int = pb.F32) -> Any:
        content = data if isinstance(data, bytes) else data.tobytes()
        return pb.TensorData(
            info=pb.TensorInfo(dims=dims, datum_type=datum_type), bytes_data=content
        )

    return make


@pytest.fixture
def open_files() -> Callable[[], Awaitable[set[str]]]:
    """Names the sockets that are open in this process now, once things have calmed down."""

    descriptors = Path("/proc/self/fd")

    def sockets() -> set[str]:
        found = set()
        for entry in descriptors.iterdir():
            with suppress(OSError):  # the descriptor of this very listing is gone by now
                found.add(str(entry.readlink()))
        return {target for target in found if target.startswith("socket:")}

    async def settle() -> set[str]:
        if not descriptors.is_dir():  # noqa: ASYNC240 - no disk is behind it
            pytest.skip("needs /proc to count open sockets")
        gc.collect()
        before, now = None, sockets()
        while before != now:
            await asyncio.sleep(0.05)
            before, now = now, sockets()
        return now

    return settle
