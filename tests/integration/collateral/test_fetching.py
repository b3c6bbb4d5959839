"""PcsClient over real HTTP and TLS: what it asks, what it makes of the answers, and of others."""

from __future__ import annotations

import asyncio
import pickle
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from stand_in_pccs import StandInPccs
from waiting import until

from blindai_async.attestation import SgxCollateral, verify_dcap_attestation
from blindai_async.collateral import PcsClient
from blindai_async.errors import CollateralError, DeadlineExceededError, QuoteValidationError
from blindai_async.server.tee.emulated import EmulatedPlatform, PckCa, PlatformIdentity

PARTS = {
    "/sgx/certification/v4/tcb": "the TCB info",
    "/sgx/certification/v4/qe/identity": "the QE identity",
    "/sgx/certification/v4/pckcrl": "the PCK revocation list",
    "/sgx/certification/v4/rootcacrl": "the root's revocation list",
}


def trusted(platform):
    from machine import trusting

    return trusting(platform)


def verify(platform, quote, collateral):
    return verify_dcap_attestation(
        quote, collateral, b"held data", trust_root=trusted(platform), at=datetime.now(UTC)
    )


async def refused(client, quote, kind=CollateralError):
    with pytest.raises(kind) as caught:
        await client.fetch(quote)
    return caught.value


async def test_what_is_fetched_passes_every_step(client, pccs, platform, quote):
    collateral = await client.fetch(quote)
    assert isinstance(collateral, SgxCollateral)
    assert verify(platform, quote, collateral).verified
    fmspc = platform.blueprint.pki.pck.sgx_extension.fmspc.hex().upper()
    assert sorted(pccs.requests) == sorted(
        [
            f"/sgx/certification/v4/tcb?fmspc={fmspc}",
            "/sgx/certification/v4/qe/identity",
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
            "/sgx/certification/v4/rootcacrl",
        ]
    )


async def test_the_processor_ca_is_asked_for_by_its_name(client_of):
    platform = EmulatedPlatform(
        identity=PlatformIdentity(mr_enclave=bytes(32), pck_ca=PckCa.PROCESSOR), tcb_info_version=3
    )
    async with StandInPccs(platform) as service:
        quote = platform.evidence(b"held data").quote
        collateral = await client_of(service).fetch(quote)
        assert verify(platform, quote, collateral).verified
        assert service.asked("ca=processor") == 1


@pytest.mark.parametrize("encoding", ["der", "hex", "pem"])
async def test_revocation_lists_come_in_any_encoding(client, pccs, platform, quote, encoding):
    pccs.crl_encoding = encoding
    assert verify(platform, quote, await client.fetch(quote)).verified


async def test_an_update_or_a_number_is_asked_for_where_it_counts(client_of, pccs, quote):
    await client_of(pccs, update="early").fetch(quote)
    assert pccs.asked("update=early") == 2
    await client_of(pccs, tcb_evaluation_data_number=17).fetch(quote)
    assert pccs.asked("tcbEvaluationDataNumber=17") == 2
    assert pccs.asked("pckcrl?ca=platform&encoding=der") == 2


@pytest.mark.parametrize("suffix", ["/", "/sgx/certification/v4/", "/tdx/certification/v4"])
async def test_a_url_may_end_in_the_apis_path(pccs, quote, suffix):
    await PcsClient(pccs.url + suffix, tls_ca=pccs.ca_pem).fetch(quote)


async def test_plain_http_serves_on_this_machine(platform, quote):
    async with StandInPccs(platform, tls=False) as service:
        assert await PcsClient(service.url).fetch(quote)


async def test_a_certificate_of_its_own_is_refused_unless_it_is_named(pccs, quote, tmp_path):
    error = await refused(PcsClient(pccs.url), quote)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert pccs.requests == []
    file = tmp_path / "pccs.pem"
    file.write_bytes(pccs.ca_pem)
    for tls_ca in (file, str(file), pccs.ca_pem, pccs.ca_pem.decode()):
        assert await PcsClient(pccs.url, tls_ca=tls_ca).fetch(quote)
    with pytest.raises(FileNotFoundError):
        await PcsClient(pccs.url, tls_ca=tmp_path / "none.pem").fetch(quote)
    with pytest.raises(ValueError, match="no certificate in PEM"):
        await PcsClient(pccs.url, tls_ca=b"-----BEGIN what").fetch(quote)


async def test_requests_go_through_a_proxy_that_is_named(platform, pccs, quote):
    async with StandInPccs(platform, tls=False) as proxy:
        client = PcsClient("http://localhost:9", proxy=proxy.url)
        await client.fetch(quote)
        assert len(proxy.requests) == 4
    error = await refused(
        PcsClient(pccs.url, tls_ca=pccs.ca_pem, proxy="http://127.0.0.1:9"), quote
    )
    assert "no answer" in str(error)
    assert pccs.requests == []


async def test_the_environments_proxy_is_not_asked_for_this_machine(
    pccs, client, quote, monkeypatch
):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await client.fetch(quote)


@pytest.mark.parametrize("path", PARTS)
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (StandInPccs.status(404), "404: the service does not know this platform"),
        (StandInPccs.status(410), "410: this collateral was withdrawn"),
        (StandInPccs.status(401), "401: the service wants to know who asks"),
        (StandInPccs.status(500), "500: the service has no answer"),
        (StandInPccs.status(429), "429: too many requests"),
        (StandInPccs.status(301, Location="https://elsewhere.example/"), "301: it leads elsewhere"),
        (StandInPccs.truncated, "the answer was cut off"),
        (StandInPccs.endless, "the answer has more than"),
        (StandInPccs.announces_much, "the answer has more than"),
        (StandInPccs.body(lambda _: b""), "not what was asked for"),
        (StandInPccs.body(lambda _: b"<!DOCTYPE html><html>Log in</html>"), "not what was asked"),
        (StandInPccs.body(lambda body: body[:-1]), "not what was asked for"),
        (StandInPccs.body(lambda body: b"\xff\xfe" + body), "not what was asked for"),
        (
            StandInPccs.header(lambda headers: headers | {"Content-Encoding": "gzip"}),
            "the answer is compressed",
        ),
    ],
)
async def test_an_answer_that_is_none_says_what_was_asked_of_whom(
    client, pccs, quote, path, fault, words
):
    pccs.fail(path, fault)
    error = await refused(client, quote)
    assert words in str(error)
    assert f"collateral: {PARTS[path]}: GET {pccs.url}{path}" in str(error)
    assert error.url.startswith(pccs.url + path)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.url, again.status) == (str(error), error.url, error.status)
    pccs.heal()
    assert await client.fetch(quote)


@pytest.mark.parametrize("path", [*PARTS][:3])
@pytest.mark.parametrize(
    "change",
    [
        lambda headers: {},
        lambda headers: dict.fromkeys(headers, ""),
        lambda headers: dict.fromkeys(headers, "no%20certificate"),
        lambda headers: {name: value[: len(value) // 2] for name, value in headers.items()},
    ],
)
async def test_an_issuers_chain_that_is_none_is_refused(client, pccs, quote, path, change):
    pccs.fail(path, StandInPccs.header(change))
    assert PARTS[path] in str(await refused(client, quote))


@pytest.mark.parametrize("path", [*PARTS][:3])
async def test_another_issuers_chain_is_refused(client, pccs, quote, path):
    """The chain of another platform, and the chain of another kind of part."""
    other = StandInPccs(EmulatedPlatform(tcb_info_version=3))
    theirs = other._answer("/sgx/certification/v4/qe/identity").headers.popitem()[1]
    pccs.fail(path, StandInPccs.header(lambda headers: dict.fromkeys(headers, theirs)))
    assert "issuer" in str(await refused(client, quote))
    kinds = {"pckcrl": "/sgx/certification/v4/qe/identity"}
    swapped = kinds.get(path.rpartition("/")[2], "/sgx/certification/v4/pckcrl?ca=platform")
    wrong = pccs._answer(swapped).headers.popitem()[1]
    pccs.heal()
    pccs.fail(path, StandInPccs.header(lambda headers: dict.fromkeys(headers, wrong)))
    assert "its issuer is" in str(await refused(client, quote))


async def test_another_platforms_answer_is_refused(client, pccs, quote, platform):
    other = platform.with_changes({"tcb_info.fmspc": b"ANOTHR"})
    body = other.collateral()["tcb_info"].encode()
    pccs.fail("/tcb", StandInPccs.body(lambda _: body))
    assert f"of FMSPC '{b'ANOTHR'.hex().upper()}'" in str(await refused(client, quote))


async def test_an_answer_for_another_kind_of_tee_is_refused(client, pccs, quote, platform):
    other = platform.with_changes({"tcb_info.id": "TDX"})
    body = other.collateral()["tcb_info"].encode()
    pccs.fail("/tcb", StandInPccs.body(lambda _: body))
    assert "it is for 'TDX', not for SGX" in str(await refused(client, quote))


async def test_a_busy_service_is_asked_again_when_it_says(client, pccs, quote):
    pccs.fail("/tcb", StandInPccs.status(429, Retry_After="1"), times=1)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    pccs.fail("/qe/identity", StandInPccs.status(503, Retry_After=soon), times=1)
    begun = time.monotonic()
    assert await client.fetch(quote)
    assert time.monotonic() - begun >= 0.9
    assert pccs.asked("/tcb") == pccs.asked("/qe/identity") == 2


@pytest.mark.parametrize("after", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_service_that_is_busy_for_longer_is_not_waited_for(client, pccs, quote, after):
    pccs.fail("/tcb", StandInPccs.status(429, Retry_After=after))
    begun = time.monotonic()
    error = await refused(client, quote)
    assert time.monotonic() - begun < 5
    assert "429: the service asks to come back in" in str(error)
    assert error.status == 429


@pytest.mark.parametrize(
    "after", ["-1", "soon", "1e9", "²", "", f"Mon, 01 Jan {10**30} 00:00:00 GMT"]
)
async def test_a_retry_after_that_is_none_is_not_waited_for(client, pccs, quote, after):
    pccs.fail("/tcb", StandInPccs.status(429, Retry_After=after))
    assert "429: too many requests" in str(await refused(client, quote))


@pytest.mark.parametrize("fault", [StandInPccs.hangs, StandInPccs.drips])
async def test_a_service_that_does_not_answer_ends_at_the_deadline(client_of, pccs, quote, fault):
    pccs.fail("/tcb", fault)
    client = client_of(pccs, timeout=60)
    begun = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"the TCB info: GET .*/tcb") as caught:
        await client.fetch(quote, timeout=0.5)
    assert isinstance(caught.value, ConnectionError)
    assert time.monotonic() - begun < 10
    await until(lambda: not pccs.open_connections)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 999 \xff\xfe\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        bytes(range(256)) * 4,
    ],
)
async def test_what_is_not_http_is_told_as_such(client, pccs, quote, answer):
    async def speak(reply, writer):
        writer.write(answer)
        await writer.drain()

    pccs.fail("/tcb", speak)
    assert f"the TCB info: GET {pccs.url}" in str(await refused(client, quote))


async def test_the_first_failure_ends_the_other_requests(client, pccs, quote):
    pccs.fail("/tcb", StandInPccs.hangs)
    pccs.fail("/rootcacrl", StandInPccs.status(404))
    await refused(client, quote)
    await until(lambda: not pccs.open_connections)


async def test_nobody_at_the_address_is_told_as_such(quote):
    error = await refused(PcsClient("http://127.0.0.1:9"), quote)
    assert "GET http://127.0.0.1:9/sgx" in str(error)
    assert "no answer" in str(error)


@pytest.mark.parametrize("junk", [b"", b"not a quote", bytes(5000), bytes(100_000)])
async def test_what_is_no_quote_is_refused_before_anything_is_asked(client, pccs, junk):
    with pytest.raises(QuoteValidationError) as caught:
        await client.fetch(junk)
    assert caught.value.step == 1
    assert pccs.requests == []


async def test_a_quote_without_its_pck_certificate_has_it_fetched(client, pccs, platform):
    ppid, rest = b"\x5a" * 384, bytes(range(16)) + (12).to_bytes(2, "little") + b"\x00\x00"
    bare = platform.with_changes(
        {"quote.certification_type": 3, "quote.certification_data": ppid + rest}
    )
    quote = bare.evidence(b"held data").quote
    collateral = await client.fetch(quote)
    assert verify(platform, quote, collateral).verified
    (asked,) = [request for request in pccs.requests if "pckcert" in request]
    assert f"encrypted_ppid={ppid.hex()}" in asked
    assert f"cpusvn={bytes(range(16)).hex()}&pcesvn=0c00&pceid=0000&qeid=" in asked


async def test_who_the_machine_is_stays_out_of_messages(client, pccs, platform):
    ppid = b"\x5a" * 384
    bare = platform.with_changes(
        {"quote.certification_type": 3, "quote.certification_data": ppid + bytes(20)}
    )
    pccs.fail("pckcert", StandInPccs.status(404))
    error = await refused(client, bare.evidence(b"held data").quote)
    assert "pckcert?…" in str(error)
    assert ppid.hex() not in str(error) + error.url + error.details


@pytest.mark.parametrize(("kind", "data"), [(1, bytes(36)), (2, bytes(10)), (3, bytes(403))])
async def test_certification_data_that_do_not_serve_are_refused(client, platform, kind, data):
    odd = platform.with_changes(
        {"quote.certification_type": kind, "quote.certification_data": data}
    )
    with pytest.raises(QuoteValidationError, match=f"type {kind}"):
        await client.fetch(odd.evidence(b"held data").quote)


async def test_many_callers_share_one_fetch(client, pccs, platform):
    pccs.released.clear()
    quotes = [platform.evidence(bytes([n])).quote for n in range(50)]
    callers = [asyncio.ensure_future(client.fetch(quote)) for quote in quotes]
    await until(lambda: len(pccs.requests) == 4)
    callers[0].cancel()
    pccs.released.set()
    fetched = await asyncio.gather(*callers[1:])
    assert all(one == fetched[0] for one in fetched)
    assert len(pccs.requests) == 4
    assert callers[0].cancelled()


async def test_callers_of_one_failed_fetch_each_get_an_error_of_their_own(client, pccs, quote):
    pccs.released.clear()
    pccs.fail("/tcb", StandInPccs.status(404))
    callers = [asyncio.ensure_future(client.fetch(quote)) for _ in range(10)]
    await until(lambda: len(pccs.requests) == 4)
    pccs.released.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(error) for error in errors} == {CollateralError}
    assert len({id(error) for error in errors}) == 10
    assert pccs.asked("/tcb") == 1


async def test_a_patient_caller_is_not_ended_by_an_impatient_one(client_of, pccs, quote):
    client = client_of(pccs, timeout=60)
    pccs.released.clear()
    impatient = asyncio.ensure_future(client.fetch(quote, timeout=0.5))
    await asyncio.sleep(0)  # the first to ask
    patient = asyncio.ensure_future(client.fetch(quote, timeout=60))
    with pytest.raises(DeadlineExceededError):
        await impatient
    pccs.released.set()
    assert await patient


async def test_a_fetch_that_nobody_wants_any_more_ends(client, pccs, quote):
    pccs.fail("/tcb", StandInPccs.drips)
    callers = [asyncio.ensure_future(client.fetch(quote)) for _ in range(3)]
    await until(lambda: pccs.asked("/tcb"))
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await until(lambda: not pccs.open_connections)


async def test_one_client_serves_several_event_loops(platform, quote):
    async with StandInPccs(platform) as service:
        client = PcsClient(service.url, tls_ca=service.ca_pem)
        mine = await client.fetch(quote)
        theirs = await asyncio.to_thread(asyncio.run, client.fetch(quote))
        assert mine == theirs
