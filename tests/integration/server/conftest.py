"""Raw calls to a server: real channels, calls by path, the wire's own messages, no SDK."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from blindai_async._pb import securedexchange_pb2 as pb
from blindai_async._pb import untrusted_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from blindai_async.server import BlindAIServer

_OPTIONS = (
    ("grpc.ssl_target_name_override", "blindai-srv"),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
_DTYPES = {
    "float32": pb.F32,
    "float64": pb.F64,
    "int32": pb.I32,
    "int64": pb.I64,
    "uint32": pb.U32,
    "uint64": pb.U64,
    "uint8": pb.U8,
    "uint16": pb.U16,
    "int8": pb.I8,
    "int16": pb.I16,
    "bool": pb.Bool,
}


class RawClient:
    """Two channels to a server and its calls, as a client of 0.5 makes them."""

    def __init__(self, attested: grpc.aio.Channel, untrusted: grpc.aio.Channel) -> None:
        self.attested = attested
        self.untrusted = untrusted

    async def ask(self, method: str, request: Any = None) -> Any:
        """A call of the untrusted port."""
        reply = getattr(untrusted_pb2, f"{method}Reply")
        request = request or getattr(untrusted_pb2, f"{method}Request")()
        call = self.untrusted.unary_unary(f"/untrusted.Attestation/{method}")
        return reply.FromString(await call(request.SerializeToString()))

    def call(self, method: str, messages: Iterable[Any] | AsyncIterator[Any]) -> Any:
        """A streamed call of the attested port; await it for the reply."""
        call = self.attested.stream_unary(
            f"/securedexchange.Exchange/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, f"{method}Reply").FromString,
        )
        return call(messages)

    async def upload(self, onnx_file: bytes, *, chunk: int = 256 * 1024, **first: Any) -> Any:
        """SendModel; returns the reply."""
        chunks = [onnx_file[at : at + chunk] for at in range(0, len(onnx_file), chunk)]
        messages = [
            pb.SendModelRequest(data=data, length=len(onnx_file), **(first if not at else {}))
            for at, data in enumerate(chunks)
        ]
        return await self.call("SendModel", iter(messages))

    async def upload_id(self, onnx_file: bytes, **first: Any) -> str:
        """SendModel; returns the model's id."""
        reply = await self.upload(onnx_file, **first)
        return pb.Payload.FromString(reply.payload).send_model_payload.model_id

    async def run(
        self, model_id: str, *arrays: np.ndarray, sign: bool = False, chunk: int = 256 * 1024
    ) -> Any:
        """RunModel; returns the reply."""
        messages = [
            pb.RunModelRequest(input_tensors=[piece], model_id=model_id, sign=sign)
            for index, array in enumerate(arrays)
            for piece in self.pieces(array, index, chunk)
        ]
        return await self.call("RunModel", iter(messages))

    async def predict(self, model_id: str, *arrays: np.ndarray, **options: Any) -> list[np.ndarray]:
        """RunModel; returns the outputs."""
        reply = await self.run(model_id, *arrays, **options)
        payload = pb.Payload.FromString(reply.payload).run_model_payload
        return [self.array(tensor) for tensor in payload.output_tensors]

    async def delete(self, model_id: str) -> Any:
        """DeleteModel."""
        call = self.attested.unary_unary("/securedexchange.Exchange/DeleteModel")
        return await call(pb.DeleteModelRequest(model_id=model_id).SerializeToString())

    @staticmethod
    def info(array: np.ndarray, index: int = 0) -> pb.TensorInfo:
        """The facts of an array."""
        datum_type = _DTYPES[array.dtype.name]
        return pb.TensorInfo(dims=array.shape, datum_type=datum_type, index=index)

    @classmethod
    def pieces(cls, array: np.ndarray, index: int, chunk: int) -> Iterable[pb.TensorData]:
        """The chunks of an array."""
        content = array.tobytes()
        for at in range(0, max(len(content), 1), chunk):
            yield pb.TensorData(info=cls.info(array, index), bytes_data=content[at : at + chunk])

    @staticmethod
    def array(tensor: pb.TensorData) -> np.ndarray:
        """An output as an array."""
        names = {number: name for name, number in _DTYPES.items()}
        flat = np.frombuffer(tensor.bytes_data, names[tensor.info.datum_type])
        return flat.reshape(tuple(tensor.info.dims))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status of a call that fails."""
    told: list[tuple[grpc.StatusCode, str]] = []
    streamed = isinstance(call, grpc.aio.Call)
    if streamed:
        call.add_done_callback(lambda done: told.append((_now(done.code()), _now(done.details()))))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told.append((caught.value.code(), caught.value.details()))
    if streamed:
        told.append((await call.code(), await call.details()))
    # Where a server ends a call while its client writes, gRPC's client puts an INTERNAL of its own
    # over the status that came, or in its place until it comes.
    return next((one for one in told if one[0] is not grpc.StatusCode.INTERNAL), told[0])


def _now(answer: Any) -> Any:
    """What a coroutine that does not have to wait returns: the status of a call that is done."""
    try:
        answer.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the call was not done")


@pytest.fixture(name="refusal")
def refusal_fixture() -> Callable[[Any], Awaitable[tuple[grpc.StatusCode, str]]]:
    """Awaits a call that must fail; returns its status and details."""
    return refusal


@pytest.fixture
async def raw_client() -> AsyncIterator[Callable[[BlindAIServer], Awaitable[RawClient]]]:
    """Opens raw clients of servers, and closes them at the test's end."""
    async with AsyncExitStack() as opened:

        async def open_client(
            server: BlindAIServer, *options: tuple[str, Any], certificate: bytes | None = None
        ) -> RawClient:
            untrusted = await opened.enter_async_context(
                grpc.aio.secure_channel(
                    f"{server.host}:{server.untrusted_port}",
                    grpc.ssl_channel_credentials(certificate or server.host_certificate_pem),
                    (*_OPTIONS, *options),
                )
            )
            client = RawClient(untrusted, untrusted)
            der = (await client.ask("GetCertificate")).enclave_tls_certificate
            client.attested = await opened.enter_async_context(
                grpc.aio.secure_channel(
                    f"{server.host}:{server.attested_port}",
                    grpc.ssl_channel_credentials(_pem(der)),
                    (*_OPTIONS, *options),
                )
            )
            return client

        yield open_client


@pytest.fixture
async def client(server: BlindAIServer, raw_client: Any) -> RawClient:
    """A raw client of `server`."""
    return await raw_client(server)


def _pem(der: bytes) -> bytes:
    from ssl import DER_cert_to_PEM_cert

    return DER_cert_to_PEM_cert(der).encode()
