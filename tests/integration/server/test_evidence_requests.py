"""Requests for evidence: the client's nonce, either kind of hardware, and floods."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import grpc
import pytest
from dcap_qvl_judge import judge

from blindai_async._pb import untrusted_pb2
from blindai_async.server.tee.emulated import EmulatedPlatform, Evidence

NONCE = bytes(range(32))
METHOD = "GetSgxQuoteWithCollateral"
PLATFORMS = {
    "sgx-3": ({"tee": "sgx", "tcb_info_version": 3}, 48 + 320),
    "sgx-5": ({"tee": "sgx", "quote_version": 5}, 54 + 320),
    "tdx-4": ({"tee": "tdx"}, 48 + 520),
    "tdx-5": ({"tee": "tdx", "quote_version": 5}, 54 + 520),
}


def asking(nonce=b""):
    return untrusted_pb2.GetSgxQuoteWithCollateralRequest(nonce=nonce)


@pytest.fixture(params=PLATFORMS)
async def emulated(request, start_server, raw_client):
    """A server, a client of it, the platform, and where report data stands in its quotes."""
    arguments, offset = PLATFORMS[request.param]
    platform = EmulatedPlatform(**arguments)
    server = await start_server(hardware=platform)
    return server, await raw_client(server), platform, slice(offset, offset + 64)


async def test_a_nonce_is_in_the_quote(emulated):
    server, client, _, report_data = emulated
    quotes = [(await client.ask(METHOD, asking(nonce))).quote for nonce in (NONCE, b"n" * 32)]
    held = hashlib.sha256(server.enclave_certificate).digest()
    assert quotes[0][report_data] == held + hashlib.sha256(NONCE).digest()
    assert quotes[1][report_data] == held + hashlib.sha256(b"n" * 32).digest()


async def test_without_a_nonce_the_reply_is_what_it_was_before_there_were_any(emulated):
    server, client, platform, report_data = emulated
    reply = await client.ask(METHOD)
    held = hashlib.sha256(server.enclave_certificate).digest()
    assert reply.quote[report_data] == held + bytes(32)
    sent = {field.name: value for field, value in reply.collateral.ListFields()}
    assert sent == platform.collateral()
    fields = {field.name for field, _ in reply.ListFields()}
    assert fields == {"quote", "collateral", "enclave_held_data"}


@pytest.mark.parametrize("emulated", ["sgx-3", "tdx-4", "tdx-5"], indirect=True)
@pytest.mark.parametrize("nonce", [b"", NONCE])
async def test_what_is_served_convinces_an_independent_judge(emulated, nonce):
    _, client, platform, _ = emulated
    reply = await client.ask(METHOD, asking(nonce))
    collateral = {name: getattr(reply.collateral, name) for name in platform.collateral()}
    evidence = Evidence(reply.quote, collateral, reply.enclave_held_data)
    assert judge(evidence, platform.root_pem, platform.now).status == "UpToDate"


@pytest.mark.parametrize("size", [1, 31, 33, 64, 100_000])
async def test_a_nonce_of_another_size_is_refused_in_words(start_server, raw_client, refusal, size):
    client = await raw_client(await start_server(hardware=EmulatedPlatform()))
    code, details = await refusal(client.ask(METHOD, asking(bytes(size))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == f"The nonce must be 32 bytes, not {size}"


async def test_what_is_no_request_is_refused(start_server, raw_client, refusal):
    client = await raw_client(await start_server(hardware=EmulatedPlatform()))
    call = client.untrusted.unary_unary(f"/untrusted.Attestation/{METHOD}")
    code, _ = await refusal(call(b"\x0a\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_nonce_does_not_make_simulation_mode_more(client, refusal):
    code, _ = await refusal(client.ask(METHOD, asking(NONCE)))
    assert code is grpc.StatusCode.FAILED_PRECONDITION


class Bare:
    """Hardware that has quotes and no collateral."""

    tee = "tdx"

    def quote(self, report_data):
        return report_data

    def collateral(self):
        return None


async def test_a_quote_is_served_where_there_is_no_collateral(start_server, raw_client):
    server = await start_server(hardware=Bare())
    reply = await (await raw_client(server)).ask(METHOD, asking(NONCE))
    assert not reply.HasField("collateral")
    assert reply.quote[32:] == hashlib.sha256(NONCE).digest()
    assert reply.enclave_held_data == server.enclave_certificate


class Slow(Bare):
    """Hardware that makes no quote until it is let."""

    def __init__(self):
        self.quotes = 0
        self.may = threading.Event()

    def quote(self, report_data):
        self.quotes += 1
        assert self.may.wait(60)
        return report_data


async def test_requests_above_the_limit_are_refused_and_the_others_served(
    start_server, raw_client, refusal
):
    hardware = Slow()
    server = await start_server(hardware=hardware, max_pending_quotes=4)
    client = await raw_client(server)
    calls = [asyncio.ensure_future(client.ask(METHOD, asking(NONCE))) for _ in range(5)]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    code, details = await refusal(done.pop())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "try again" in details
    # All else goes on meanwhile.
    assert (await client.ask("GetCertificate")).enclave_tls_certificate
    hardware.may.set()
    assert len(await asyncio.gather(*waiting)) == 4
    assert (await client.ask(METHOD, asking(NONCE))).quote
