"""The nonce that goes with every request for evidence, and whose word it is."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest

from blindai_async import AttestationCache
from blindai_async._pb import untrusted_pb2
from blindai_async._transport.methods import GET_EVIDENCE
from blindai_async.errors import QuoteValidationError


class Interceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Sees the evidence requests, and may change the replies as a host on the way could."""

    def __init__(self, change=None):
        self.nonces = []
        self._change = change

    async def intercept_unary_unary(self, continuation, details, request) -> Any:
        if details.method not in (GET_EVIDENCE, GET_EVIDENCE.encode()):
            return await continuation(details, request)
        message = untrusted_pb2.GetSgxQuoteWithCollateralRequest.FromString(request)
        self.nonces.append(message.nonce)
        reply = await (await continuation(details, request))
        return reply if self._change is None else self._change(reply)


def options(interceptor, **more):
    return {"interceptors": [interceptor], "attestation_cache": AttestationCache()} | more


async def test_every_request_for_evidence_has_a_nonce_of_its_own(machine, opened):
    seen = Interceptor()
    connection = await opened(machine.connection(**options(seen)))
    await connection.attest()
    await opened(machine.connection(**options(seen)))
    assert [len(nonce) for nonce in seen.nonces] == [32, 32, 32]
    assert len(set(seen.nonces)) == 3
    assert connection.attestation.nonce == seen.nonces[1]


async def test_a_lying_servers_nonce_is_not_kept(machine, opened):
    """A host that replays an old quote would say which nonce that was made for."""

    def lie(reply):
        message = untrusted_pb2.GetSgxQuoteWithCollateralReply.FromString(reply)
        message.nonce = b"the server's own word, 32 bytes."
        return message.SerializeToString()

    host = Interceptor(lie)
    connection = await opened(machine.connection(**options(host)))
    assert connection.attestation.nonce == host.nonces[0]


async def test_a_replayed_quote_is_not_fresh(machine, opened):
    """An old reply, whole, with the nonce it was made for beside it."""
    kept = []

    def replay(reply):
        kept.append(reply)
        return kept[0]

    host = Interceptor(replay)
    first = await opened(machine.connection(**options(host)))
    assert first.claims.verified
    with pytest.raises(QuoteValidationError, match="not made for this handshake's nonce"):
        await opened(machine.connection(**options(host, require_fresh=True)))


async def test_a_server_without_a_nonce_is_refused_where_freshness_is_demanded(
    machine, platform, opened
):
    class Old(type(machine.quoting)):
        """Hardware that quotes for the held data alone, whatever the client has sent."""

        def quote(self, asked):
            return super().quote(asked[:32] + bytes(32) if len(asked) == 64 else asked)

    machine.quoting = Old(platform)
    await machine.restart()
    connection = await opened(machine.connection(**options(Interceptor())))
    assert connection.claims.verified
    with pytest.raises(QuoteValidationError, match="require_fresh") as caught:
        await opened(machine.connection(**options(Interceptor(), require_fresh=True)))
    assert caught.value.claims is not None


def test_freshness_cannot_be_demanded_of_a_simulation():
    import blindai_async

    with pytest.raises(ValueError, match="require_fresh"):
        blindai_async.connect("127.0.0.1", simulation=True, require_fresh=True)
