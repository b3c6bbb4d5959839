"""Mithril Security Cloud: asks where the enclave for an API key is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from pydantic import SecretStr

from blindai_async._pb import licensing_pb2
from blindai_async._transport.paths import GET_ENCLAVE
from blindai_async._transport.rpc_errors import from_rpc_error, printable
from blindai_async.errors import CloudLookupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import Channel, ClientInterceptor, UnaryUnaryMultiCallable

    from blindai_async._transport.deadline import Deadline

__all__ = ["CloudEnclave", "lookup_enclave"]

_DEFAULT_URL = "api.cloud.mithrilsecurity.io"
_MAX_REPLY = 1 << 16


class CloudEnclave(NamedTuple):
    """Where the cloud says an enclave is. Nothing is trusted for that: its evidence has to hold.

    Attributes:
        host: its host.
        attested_port: its attested port.
        untrusted_port: its untrusted port.
        jwt: the token to show with every call, or None.
    """

    host: str
    attested_port: int
    untrusted_port: int
    jwt: SecretStr | None


async def lookup_enclave(
    api_key: SecretStr | None,
    deadline: Deadline,
    interceptors: Sequence[ClientInterceptor] = (),
) -> CloudEnclave:
    """Ask the service at ``MITHRIL_SERVICES_URL`` for the enclave that serves `api_key`.

    TLS under the system's roots, unless ``MITHRIL_SERVICES_INSECURE`` is ``true``.

    Raises:
        CloudLookupError: it does not answer, refuses the key, or answers with no address.
    """
    url = os.environ.get("MITHRIL_SERVICES_URL", _DEFAULT_URL)
    key = "" if api_key is None else api_key.get_secret_value()
    request = licensing_pb2.GetEnclaveRequest(api_key=key).SerializeToString()
    async with _channel(url, interceptors) as channel:
        call: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET_ENCLAVE)
        try:
            reply = await call(request, timeout=deadline.remaining())
        except grpc.aio.AioRpcError as error:
            mapped = from_rpc_error(error, f"cloud lookup at {url}")
            raise CloudLookupError(str(mapped), code=mapped.code, details=mapped.details) from error
    try:
        message = licensing_pb2.GetEnclaveReply.FromString(reply)
    except DecodeError as error:
        raise CloudLookupError(f"cloud lookup at {url}: the reply is not one") from error
    return _read(message, url)


def _channel(url: str, interceptors: Sequence[ClientInterceptor]) -> Channel:
    options = [("grpc.max_receive_message_length", _MAX_REPLY)]
    if os.environ.get("MITHRIL_SERVICES_INSECURE", "").lower() == "true":
        return grpc.aio.insecure_channel(url, options, interceptors=list(interceptors) or None)
    return grpc.aio.secure_channel(
        url, grpc.ssl_channel_credentials(), options, interceptors=list(interceptors) or None
    )


def _read(message: licensing_pb2.GetEnclaveReply, url: str) -> CloudEnclave:
    """Split ``host:attested_port/untrusted_port``."""
    where, _, untrusted = message.enclave_url.partition("/")
    host, _, attested = where.rpartition(":")
    try:
        ports = int(attested), int(untrusted)
    except ValueError:
        raise CloudLookupError(
            f"cloud lookup at {url}: the enclave's address is {printable(message.enclave_url)!r}, "
            "not host:attested_port/untrusted_port"
        ) from None
    return CloudEnclave(host, *ports, jwt=SecretStr(message.jwt) if message.jwt else None)
