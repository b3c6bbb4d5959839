"""Mithril Security Cloud: asks where the enclave for an API key is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from pydantic import SecretStr

from blindai_async._base_errors import CloudLookupError, TransportError
from blindai_async._pb import licensing_pb2
from blindai_async._printable import printable
from blindai_async._transport.address import ServerAddress
from blindai_async._transport.methods import GET_ENCLAVE
from blindai_async._transport.rpc_errors import MappedErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import Channel, ClientInterceptor, UnaryUnaryMultiCallable

    from blindai_async._transport.deadline import Deadline

_DEFAULT_URL = "api.cloud.mithrilsecurity.io"
_MAX_REPLY = 1 << 16


class CloudEnclave(NamedTuple):
    """Where the cloud says an enclave is. Nothing is trusted for that: its evidence has to hold.

    Attributes:
        address: its host and ports.
        jwt: the token to show with every call, or None.
    """

    address: ServerAddress
    jwt: SecretStr | None


async def lookup_enclave(
    api_key: SecretStr | None,
    server_name: str,
    deadline: Deadline,
    interceptors: Sequence[ClientInterceptor] = (),
) -> CloudEnclave:
    """Ask the service at ``MITHRIL_SERVICES_URL`` for the enclave that serves `api_key`.

    TLS under the system's roots, unless ``MITHRIL_SERVICES_INSECURE`` is ``true``.

    Args:
        api_key: may be None, for what is public.
        server_name: the name that the enclave's certificates carry.
        deadline: of the lookup.
        interceptors: the caller's.

    Raises:
        CloudLookupError: it does not answer, refuses the key, or answers with no address.
    """
    url = os.environ.get("MITHRIL_SERVICES_URL", _DEFAULT_URL)
    async with _channel(url, interceptors) as channel:
        found = await _ask(channel, url, api_key, server_name, deadline.remaining())
    if isinstance(found, CloudLookupError):
        raise found
    return found


async def _ask(
    channel: Channel, url: str, api_key: SecretStr | None, server_name: str, timeout: float
) -> CloudEnclave | CloudLookupError:
    """Make the call. What goes wrong is returned, not raised.

    A traceback that shows the variables of each frame would show those of this one: the key and the
    token are among them.
    """
    key = "" if api_key is None else api_key.get_secret_value()
    request = licensing_pb2.GetEnclaveRequest(api_key=key).SerializeToString()
    call: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET_ENCLAVE)
    try:
        with MappedErrors(f"cloud lookup at {url}", [key] if key else []):
            reply = await call(request, timeout=timeout)
        message = licensing_pb2.GetEnclaveReply.FromString(reply)
        address = _address(message.enclave_url, server_name, url)
        token = _token(message.jwt, url)
    except CloudLookupError as error:
        return error.with_traceback(None)
    except TransportError as error:
        failure = CloudLookupError(str(error), code=error.code, details=error.details)
        failure.__cause__ = error.__cause__
        return failure
    except DecodeError:
        return CloudLookupError(f"cloud lookup at {url}: the reply is malformed")
    return CloudEnclave(address, token)


def _channel(url: str, interceptors: Sequence[ClientInterceptor]) -> Channel:
    options = [
        ("grpc.max_receive_message_length", _MAX_REPLY),
        ("grpc.compression_enabled_algorithms_bitset", 1),  # see `open_channel`
    ]
    if os.environ.get("MITHRIL_SERVICES_INSECURE", "").lower() == "true":
        return grpc.aio.insecure_channel(url, options, interceptors=list(interceptors) or None)
    return grpc.aio.secure_channel(
        url, grpc.ssl_channel_credentials(), options, interceptors=list(interceptors) or None
    )


def _address(enclave_url: str, server_name: str, url: str) -> ServerAddress:
    """Read ``host:attested_port/untrusted_port``."""
    where, _, untrusted = enclave_url.partition("/")
    host, _, attested = where.rpartition(":")
    try:
        return ServerAddress.parse(
            host,
            attested_port=int(attested),
            untrusted_port=int(untrusted),
            server_name=server_name,
        )
    except ValueError:
        raise CloudLookupError(
            f"cloud lookup at {url}: the enclave's address is {printable(enclave_url)!r}, "
            "not host:attested_port/untrusted_port"
        ) from None


def _token(jwt: str, url: str) -> SecretStr | None:
    """Check that the token can be sent; gRPC would fail in its own way, and log the value."""
    if not (jwt.isascii() and jwt.isprintable()):
        raise CloudLookupError(f"cloud lookup at {url}: the token cannot be sent as metadata")
    return SecretStr(jwt) if jwt else None
