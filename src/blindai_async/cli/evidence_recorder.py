"""Keeps the evidence that a connection is shown, also where the connection then refuses it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from blindai_async._pb import untrusted_pb2
from blindai_async._transport.methods import GET_EVIDENCE
from blindai_async._wire.evidence import evidence_from_message
from blindai_async.cli.run_command import OperationError

__all__ = ["EvidenceRecorder"]


class EvidenceRecorder(grpc.aio.UnaryUnaryClientInterceptor):
    """An interceptor for `connect`; it changes nothing.

    Attributes:
        reply: the last evidence reply as it came, serialized; None before it has come.
        nonce: what it was asked for with.
    """

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.nonce: bytes = b""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[Any, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Pass the call on, and keep the reply where it is evidence."""
        call = await continuation(client_call_details, request)
        if client_call_details.method in (GET_EVIDENCE, GET_EVIDENCE.encode()):
            self.reply = await call
            asked = untrusted_pb2.GetSgxQuoteWithCollateralRequest.FromString(request)
            self.nonce = asked.nonce
        return call

    def save(self, path: Path) -> None:
        """Write the evidence as JSON: quote, held data and nonce in base64, collateral as text.

        Raises:
            OperationError: none has come.
            OSError: the file cannot be written.
        """
        if self.reply is None:
            raise OperationError("the server gave no evidence that could be saved")
        message = untrusted_pb2.GetSgxQuoteWithCollateralReply.FromString(self.reply)
        # Ours, and not what the server may have put there.
        evidence = evidence_from_message(message).model_copy(update={"nonce": self.nonce})
        path.write_text(evidence.model_dump_json(indent=2) + "\n")
