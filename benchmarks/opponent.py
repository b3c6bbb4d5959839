"""The honest opponent: grpc.aio's own stub over the same TLS, with messages built beforehand."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from blindai_async._pb import securedexchange_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import numpy as np

    from benchmarks.serving import Served

_RUN_MODEL = "/securedexchange.Exchange/RunModel"


@asynccontextmanager
async def raw_stub(
    served: Served, *, decode: bool = True
) -> AsyncIterator[grpc.aio.StreamUnaryMultiCallable]:
    """The generated stub's RunModel: `SerializeToString` out, `FromString` in, no checks.

    Without `decode` the reply's bytes are given as they came.
    """
    async with _channel(served) as channel:
        yield channel.stream_unary(_RUN_MODEL, **_codecs(decode=decode))


@asynccontextmanager
async def unary_stub(served: Served) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable]:
    """The same call as gRPC's asyncio layer makes it at the least cost: one message, unary.

    On the wire the two are the same. The generated stub has no such method; whoever writes the
    fastest client by hand uses it.
    """
    async with _channel(served) as channel:
        yield channel.unary_unary(_RUN_MODEL, **_codecs(decode=True))


def _channel(served: Served) -> grpc.aio.Channel:
    pem = ssl.get_server_certificate(("127.0.0.1", served.attested_port))
    return grpc.aio.secure_channel(
        f"127.0.0.1:{served.attested_port}",
        grpc.ssl_channel_credentials(pem.encode()),
        [
            ("grpc.ssl_target_name_override", "blindai-srv"),
            ("grpc.max_receive_message_length", -1),
        ],
    )


def _codecs(*, decode: bool) -> dict[str, Any]:
    return {
        "request_serializer": pb.RunModelRequest.SerializeToString,
        "response_deserializer": pb.RunModelReply.FromString if decode else None,
    }


def messages(model_id: str, array: np.ndarray, chunk_size: int) -> Sequence[pb.RunModelRequest]:
    """The request of one prediction, built beforehand, in chunks of `chunk_size` bytes."""
    data = array.tobytes()
    info = pb.TensorInfo(dims=array.shape, datum_type=pb.F32)
    return [
        pb.RunModelRequest(
            input_tensors=[pb.TensorData(info=info, bytes_data=data[i : i + chunk_size])],
            model_id=model_id,
        )
        for i in range(0, len(data), chunk_size)
    ]
