"""The calls of the untrusted port. Nothing that comes back is trusted until a quote proves it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from blindai_async._base_errors import (
    DeadlineExceededError,
    HardwareModeUnsupportedError,
    TransportError,
)
from blindai_async._pb import untrusted_pb2
from blindai_async._transport.methods import GET_CERTIFICATE, GET_EVIDENCE, GET_SERVER_INFO
from blindai_async._transport.open_calls import GRPC_FIRST
from blindai_async._transport.rpc_errors import MappedErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import Channel, UnaryUnaryMultiCallable

    from blindai_async._transport.deadline import Deadline

_Reply = TypeVar("_Reply", bound=Message)


class UntrustedPort:
    """Asks a server's host about the server.

    Args:
        channel: to the untrusted port.
        metadata: goes with every call.
        deadline: of all the calls together.
    """

    def __init__(
        self, channel: Channel, metadata: Sequence[tuple[str, str]], deadline: Deadline
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._deadline = deadline

    async def server_version(self) -> str:
        """Ask for the server's version.

        Raises:
            TransportError: no proper answer came.
        """
        return (await self._call(GET_SERVER_INFO, untrusted_pb2.GetServerInfoReply)).version

    async def certificate(self) -> bytes:
        """Ask for the enclave's certificate, DER, without any proof.

        Raises:
            TransportError: no proper answer came.
        """
        reply = await self._call(GET_CERTIFICATE, untrusted_pb2.GetCertificateReply)
        return reply.enclave_tls_certificate

    async def evidence(self, nonce: bytes) -> untrusted_pb2.GetSgxQuoteWithCollateralReply:
        """Ask for the enclave's evidence.

        Args:
            nonce: 32 random bytes for the quote to be made for; older servers do not look at them.

        Raises:
            HardwareModeUnsupportedError: the server is in simulation mode.
            TransportError: no proper answer came.
        """
        request = untrusted_pb2.GetSgxQuoteWithCollateralRequest(nonce=nonce)
        try:
            return await self._call(
                GET_EVIDENCE, untrusted_pb2.GetSgxQuoteWithCollateralReply, request
            )
        except TransportError as error:
            if error.code != "FAILED_PRECONDITION":
                raise
            raise HardwareModeUnsupportedError(
                "the server is in simulation mode and has no evidence to give; simulation=True "
                "connects to it without any protection of the data"
            ) from error

    async def _call(
        self, path: str, reply_type: type[_Reply], request: Message | None = None
    ) -> _Reply:
        name = path.rpartition("/")[2]
        call: UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
        left = self._deadline.remaining()
        try:
            with MappedErrors(f"connect: {name}", [value for _, value in self._metadata]):
                # gRPC's own deadline does not end what the transport does not take.
                async with asyncio.timeout(left + GRPC_FIRST):
                    reply = await call(
                        b"" if request is None else request.SerializeToString(),
                        timeout=left,
                        metadata=self._metadata,
                    )
        except TimeoutError as error:
            if isinstance(error, DeadlineExceededError):
                raise
            raise self._deadline.exceeded() from None
        try:
            return reply_type.FromString(reply)
        except DecodeError as error:
            raise TransportError(f"connect: {name}: the reply is malformed") from error
