"""Evidence for clients: a quote for each that asks, made in one thread, so many at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc

from blindai_async._pb import untrusted_pb2 as pb
from blindai_async.server.rpc.requests import parse
from blindai_async.server.status_errors import RefusalError, invalid_argument
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.platform import NONCE_SIZE, report_data_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindai_async.server.inference.worker_pool import WorkerPool
    from blindai_async.server.tee.platform import QuotingPlatform

__all__ = ["EvidenceSource"]

_logger = logging.getLogger("blindai_async.server")


class EvidenceSource:
    """Answers requests for evidence.

    Args:
        hardware: makes the quotes; None in simulation mode.
        held_data: the enclave's TLS certificate in DER, which every quote commits to.
        quoter: the thread that asks the hardware.
        limit: how many requests may wait at once. A nonce makes every quote a new one, so a peer
            can ask for any number; those above the limit are refused, and take no memory.
    """

    def __init__(
        self,
        hardware: QuotingPlatform | None,
        held_data: bytes,
        quoter: WorkerPool,
        limit: int,
    ) -> None:
        self._hardware = hardware
        self._held_data = held_data
        self._quoter = quoter
        self._limit = limit
        self._waiting = 0

    async def reply(self, request: bytes) -> bytes:
        """Answer one `GetSgxQuoteWithCollateralRequest`.

        Raises:
            RefusalError: there is no hardware to ask (FAILED_PRECONDITION), the nonce is none
                (INVALID_ARGUMENT), or too many wait already, or the hardware gives no quote now
                (UNAVAILABLE: clients try again).
        """
        hardware = self._hardware
        if hardware is None:
            raise RefusalError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The server runs in simulation mode: it has no quote to give",
            )
        nonce = parse(pb.GetSgxQuoteWithCollateralRequest, request).nonce
        if nonce and len(nonce) != NONCE_SIZE:
            raise invalid_argument(f"The nonce must be {NONCE_SIZE} bytes, not {len(nonce)}")
        if self._waiting >= self._limit:
            raise RefusalError(
                grpc.StatusCode.UNAVAILABLE,
                "Too many requests for evidence wait; try again later",
            )
        self._waiting += 1
        try:
            # A caller that gives up while it waits gets no quote made: the pool sees to that.
            return await self._quoter.run(lambda: self._make(hardware, nonce))
        finally:
            self._waiting -= 1

    def _make(self, hardware: QuotingPlatform, nonce: bytes) -> bytes:
        """Ask the hardware. Runs in the quoter's thread."""
        collateral = hardware.collateral()
        try:
            quote = hardware.quote(report_data_for(self._held_data, nonce))
        except TeeError as error:
            # What is wrong with this machine is for its owner.
            _logger.error("no quote: %s", error)  # noqa: TRY400 - the message says it all
            raise RefusalError(
                grpc.StatusCode.UNAVAILABLE, "The hardware gives no quote at present"
            ) from error
        return pb.GetSgxQuoteWithCollateralReply(
            quote=quote,
            collateral=None if collateral is None else _message(collateral),
            enclave_held_data=self._held_data,
        ).SerializeToString()


def _message(values: Mapping[str, str | int]) -> pb.SgxCollateral:
    message = pb.SgxCollateral()
    for name, value in values.items():
        setattr(message, name, value)
    return message
