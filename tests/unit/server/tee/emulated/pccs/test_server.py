"""Connections, faults, and what a hostile or clumsy peer gets."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from urllib.parse import unquote

import httpx
import pytest

from blindai_async.server.tee.emulated import EmulatedPlatform
from blindai_async.server.tee.emulated.pccs import EmulatedPccs, Fault

ROOT_CRL = "/sgx/certification/v4/rootcacrl"
PCK_CRL = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"
QE_IDENTITY = "/{tee}/certification/v4/qe/identity"


@pytest.fixture
def qe_identity(served):
    return QE_IDENTITY.format(tee=served.tee)


async def test_requests_are_kept_in_order(pccs, client, qe_identity):
    for target in (ROOT_CRL, PCK_CRL, qe_identity, "/nothing?x=1"):
        await client.get(target)
    assert pccs.requests == [ROOT_CRL, PCK_CRL, qe_identity, "/nothing?x=1"]


async def test_its_certificate_is_trusted_only_where_it_was_given(pccs):
    assert pccs.url.startswith("https://127.0.0.1:")
    async with httpx.AsyncClient(trust_env=False) as stranger:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.get(pccs.url + ROOT_CRL)
    assert pccs.requests == []


async def test_plain_http_is_served_where_it_was_asked_for(start, client_of, served):
    pccs = await start(served, tls=False)
    assert pccs.url.startswith("http://127.0.0.1:")
    assert pccs.ca_pem == b""
    assert (await (await client_of(pccs)).get(ROOT_CRL)).status_code == 200


async def test_a_service_that_was_not_started_has_no_url(served):
    with pytest.raises(RuntimeError, match="not started"):
        _ = EmulatedPccs(served).url


async def test_a_fault_hits_its_paths_and_no_others(pccs, client):
    pccs.fail("/pckcrl", Fault.not_found())
    assert (await client.get(PCK_CRL)).status_code == 404
    assert (await client.get(ROOT_CRL)).status_code == 200
    pccs.fail("/pckcrl", None)
    assert (await client.get(PCK_CRL)).status_code == 200


async def test_a_fault_may_pass(pccs, client):
    pccs.fail("", Fault.too_many("7"), times=2)
    replies = [await client.get(ROOT_CRL) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [429, 429, 200]
    assert replies[0].headers["Retry-After"] == "7"
    assert "Retry-After" not in replies[2].headers


async def test_faults_may_be_there_from_the_start(start, client_of, served):
    client = await client_of(await start(served, faults={"rootcacrl": Fault.gone()}))
    assert (await client.get(ROOT_CRL)).status_code == 410
    assert (await client.get(PCK_CRL)).status_code == 200


async def test_html_in_place_of_json(pccs, client, qe_identity):
    pccs.fail("qe/identity", Fault.html())
    reply = await client.get(qe_identity)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html")
    assert reply.text.startswith("<!doctype html>")


async def test_a_wrong_issuer_is_a_sound_chain_of_another(pccs, client, served, qe_identity):
    pccs.fail("", Fault.wrong_issuer())
    reply = await client.get(qe_identity)
    chain = unquote(reply.headers["SGX-Enclave-Identity-Issuer-Chain"])
    assert chain.count("BEGIN CERTIFICATE") == 2
    assert served.blueprint.pki.pem("root") not in chain
    assert reply.json()["enclaveIdentity"]
    chain = unquote((await client.get(PCK_CRL)).headers["SGX-PCK-CRL-Issuer-Chain"])
    assert chain.count("BEGIN CERTIFICATE") == 2


async def test_the_issuer_may_lack(pccs, client, qe_identity):
    pccs.fail("", Fault.no_issuer())
    reply = await client.get(qe_identity)
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.endswith("issuer-chain")]


async def test_expired_documents_are_sound_but_for_their_dates(pccs, client, served, qe_identity):
    pccs.fail("", Fault.expired())
    document = (await client.get(qe_identity)).json()["enclaveIdentity"]
    until = datetime.strptime(document["nextUpdate"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert until < served.now
    pccs.fail("", None)
    sound = (await client.get(qe_identity)).json()["enclaveIdentity"]
    assert document | {k: sound[k] for k in ("issueDate", "nextUpdate")} == sound


async def test_a_body_may_be_cut(pccs, client):
    pccs.fail("", Fault.truncated(after=10))
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        await client.get(ROOT_CRL)


async def test_a_connection_may_be_reset(pccs, client):
    pccs.fail("", Fault.broken())
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await client.get(ROOT_CRL)
    assert pccs.requests == [ROOT_CRL]


async def test_a_body_may_drip(pccs, client):
    pccs.fail("", Fault(body=b"12345", pause=0.001))
    assert (await client.get(ROOT_CRL)).content == b"12345"
    pccs.fail("", Fault.slow(pause=3600))
    async with client.stream("GET", ROOT_CRL) as reply:
        assert len(await anext(reply.aiter_raw())) == 1


async def test_an_answer_may_never_come(pccs, client):
    pccs.fail("", Fault.silent())
    waiting = asyncio.ensure_future(client.get(ROOT_CRL, timeout=None))
    while not pccs.requests:  # noqa: ASYNC110 - the service tells nobody when it is asked
        await asyncio.sleep(0.01)
    await pccs.stop()
    with pytest.raises(httpx.TransportError):
        await waiting


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_may_be_huge_and_costs_only_what_is_read(pccs, client, announced):
    size = 2**40
    pccs.fail("", Fault.huge(size, announced=announced))
    async with client.stream("GET", ROOT_CRL) as reply:
        length = reply.headers.get("Content-Length")
        assert (length is not None and int(length) > size) is announced
        read = 0
        async for piece in reply.aiter_raw():
            read += len(piece)
            if read > 2**20:
                break


async def test_a_stopped_service_refuses_connections_until_it_is_started(pccs, client):
    url = pccs.url
    await pccs.stop()
    with pytest.raises(httpx.ConnectError):
        await client.get(ROOT_CRL)
    await pccs.stop()
    await pccs.start()
    assert pccs.url == url
    assert (await client.get(ROOT_CRL)).status_code == 200


async def test_the_platform_may_be_replaced(pccs, client, served, qe_identity):
    newer = served.with_changes({"qe_identity.tcb_evaluation_data_number": 17})
    pccs.platform = newer
    reply = await client.get(qe_identity)
    assert reply.json()["enclaveIdentity"]["tcbEvaluationDataNumber"] == 17


async def test_one_connection_carries_many_requests(start):
    pccs = await start(EmulatedPlatform(), tls=False)
    host, port = pccs.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(3):
        writer.write(f"GET {ROOT_CRL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
        await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET / HTTP/2\r\nHost: x\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
        ("GET /" + "x" * 20_000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
async def test_what_is_no_request_ends_the_connection(start, request_text, status):
    pccs = await start(EmulatedPlatform(), tls=False)
    host, port = pccs.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request_text.encode())
    answer = await reader.read()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert pccs.requests == []
    writer.close()
    await writer.wait_closed()


async def test_a_peer_that_says_nothing_does_not_keep_it_from_stopping(start):
    pccs = await start(EmulatedPlatform())
    host, port = pccs.url.removeprefix("https://").split(":")
    trust = ssl.create_default_context(cadata=pccs.ca_pem.decode())
    idle = [await asyncio.open_connection(host, int(port), ssl=trust) for _ in range(3)]
    raw = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(20):
        await pccs.stop()
    for _, writer in (*idle, raw):
        writer.transport.abort()
