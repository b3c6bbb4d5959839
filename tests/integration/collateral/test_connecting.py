"""connect(collateral=...): servers with stale or no collateral, and a client that has its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from machine import SECRET_INPUT
from stand_in_pccs import StandInPccs
from waiting import until

from blindai_async import AttestationCache, PredictResponse, Timeouts
from blindai_async._pb import untrusted_pb2
from blindai_async._transport.methods import GET_EVIDENCE
from blindai_async.attestation import SgxCollateral
from blindai_async.collateral import CollateralDirectory, PcsClient, write_bundle
from blindai_async.errors import (
    AttestationError,
    CollateralError,
    DeadlineExceededError,
    QuoteValidationError,
    TransportError,
)
from blindai_async.server.tee.emulated import EmulatedPlatform, Lifetimes


class WithoutCollateral(grpc.aio.UnaryUnaryClientInterceptor):
    """Takes the collateral out of a server's evidence, as a server has none that cannot get any."""

    async def intercept_unary_unary(self, continuation, details, request) -> Any:
        call = await continuation(details, request)
        if details.method not in (GET_EVIDENCE, GET_EVIDENCE.encode()):
            return call
        message = untrusted_pb2.GetSgxQuoteWithCollateralReply.FromString(await call)
        message.ClearField("collateral")
        return message.SerializeToString()


@pytest.fixture
def stale(platform):
    """The platform's collateral of long ago."""
    old = EmulatedPlatform(
        identity=platform.identity, now=datetime(2022, 1, 1, tzinfo=UTC), tcb_info_version=3
    )
    return old.collateral()


@pytest.fixture
async def stale_machine(machine, platform, stale):
    machine.quoting.collateral = lambda: stale
    return machine


def attest_options(**options):
    return {"attestation_cache": AttestationCache()} | options


async def test_a_server_with_stale_collateral_is_refused_by_it_and_accepted_by_ours(
    stale_machine, client, opened
):
    with pytest.raises(QuoteValidationError):
        await opened(stale_machine.connection(**attest_options()))
    connection = await opened(stale_machine.connection(**attest_options(collateral=client)))
    assert connection.claims.verified
    assert await connection.predict("echo", SECRET_INPUT)


async def test_a_server_without_collateral_is_accepted_by_ours(machine, client, opened):
    options = attest_options(interceptors=[WithoutCollateral()])
    with pytest.raises(AttestationError, match="without collateral"):
        await opened(machine.connection(**options))
    connection = await opened(machine.connection(**options, collateral=client))
    assert connection.claims.verified


async def test_a_url_is_enough(stale_machine, platform, opened):
    async with StandInPccs(platform, tls=False) as service:
        options = attest_options(collateral=service.url)
        first = await opened(stale_machine.connection(**options))
        await opened(stale_machine.connection(**options))
        assert first.claims.verified
        assert len(service.requests) == 4  # both connections asked once


async def test_a_directory_is_read(stale_machine, client, quote, opened, tmp_path):
    write_bundle(tmp_path / "bundle", await client.fetch(quote))
    for folder in (tmp_path / "bundle", str(tmp_path / "bundle")):
        options = attest_options(collateral=folder)
        assert (await opened(stale_machine.connection(**options))).claims.verified


async def test_a_directory_that_is_not_there_is_named(machine, opened, tmp_path):
    with pytest.raises(CollateralError, match="nowhere"):
        await opened(machine.connection(collateral=tmp_path / "nowhere"))


async def test_an_object_of_the_callers_own_serves(stale_machine, client, opened):
    quotes = []

    class Own:
        async def fetch(self, quote):
            quotes.append(quote)
            return await client.fetch(quote)

    connection = await opened(stale_machine.connection(**attest_options(collateral=Own())))
    assert quotes == [connection.attestation.quote]


async def test_an_object_that_gives_something_else_is_told(machine, opened):
    class Odd:
        async def fetch(self, quote):
            return {"tcb_info": "{}"}

    with pytest.raises(TypeError, match="gave a dict, not an SgxCollateral"):
        await opened(machine.connection(collateral=Odd()))


@pytest.mark.parametrize("choice", [None, 7, PcsClient, object(), b"server"])
def test_what_is_no_source_is_refused_before_anything_is_sent(machine_free, choice):
    with pytest.raises(TypeError, match="collateral is"):
        machine_free(collateral=choice)


@pytest.mark.parametrize(
    "choice",
    ["http://pccs.example", "ftp://pccs.example", "https://", "https://u:p@h", "https://h/?a=b"],
)
def test_a_url_that_cannot_be_asked_is_refused_before_anything_is_sent(machine_free, choice):
    with pytest.raises(ValueError, match="collateral service"):
        machine_free(collateral=choice)


@pytest.fixture
def machine_free():
    import blindai_async

    def make(**options):
        return blindai_async.connect("127.0.0.1", certificate="none.pem", **options)

    return make


async def test_forged_collateral_is_refused_by_the_same_steps(machine, platform, opened):
    """A service is trusted for nothing: its own root makes no platform."""
    other = EmulatedPlatform(tcb_info_version=3)
    forged = SgxCollateral.model_validate(dict(other.collateral()))

    class Forger:
        async def fetch(self, quote):
            return forged

    with pytest.raises(QuoteValidationError) as caught:
        await opened(machine.connection(**attest_options(collateral=Forger())))
    assert 2 <= caught.value.step <= 4


async def test_a_revocation_list_that_was_fetched_counts(machine, platform, client, pccs, opened):
    pck = platform.blueprint.pki.pck.serial_number
    pccs.platform = platform.with_changes({"crls.pck.revoked": (pck,)})
    with pytest.raises(QuoteValidationError, match="revoked"):
        await opened(machine.connection(**attest_options(collateral=client)))


async def test_a_cached_part_that_does_not_verify_is_fetched_anew_once(
    machine, platform, client, pccs, opened
):
    """Signed by its own issuers, so that only the trusted root tells: the cache has taken it."""
    imposter = EmulatedPlatform(tcb_info_version=3)
    pccs.platform = imposter
    quote = platform.evidence(b"x").quote
    await client.fetch(quote)
    pccs.platform = platform
    connection = await opened(machine.connection(**attest_options(collateral=client)))
    assert connection.claims.verified
    assert len(pccs.requests) == 8


async def test_what_does_not_pass_is_never_taken_for_a_fault_of_the_network(
    machine, platform, client, pccs, opened
):
    pccs.platform = EmulatedPlatform(tcb_info_version=3)
    await client.fetch(platform.evidence(b"x").quote)
    pccs.fail("/", StandInPccs.status(500))
    with pytest.raises(QuoteValidationError) as caught:
        await opened(machine.connection(**attest_options(collateral=client)))
    assert isinstance(caught.value.__cause__, CollateralError)


async def test_parts_that_never_verify_are_asked_for_once_a_handshake(
    machine, client, pccs, opened
):
    pccs.platform = EmulatedPlatform(tcb_info_version=3)
    with pytest.raises(QuoteValidationError):
        await opened(machine.connection(**attest_options(collateral=client)))
    assert len(pccs.requests) == 4  # what has just come is not asked for again
    with pytest.raises(QuoteValidationError):
        await opened(machine.connection(**attest_options(collateral=client)))
    assert len(pccs.requests) == 8


async def test_a_hanging_service_ends_with_the_handshakes_deadline(machine, client, pccs, opened):
    pccs.fail("/tcb", StandInPccs.hangs)
    options = attest_options(collateral=client, timeouts=Timeouts(connect=1.5))
    with pytest.raises(DeadlineExceededError, match=r"the TCB info: GET .*/tcb"):
        await opened(machine.connection(**options))


async def test_a_hanging_object_ends_with_the_handshakes_deadline(machine, opened):
    class Hanging:
        async def fetch(self, quote):
            await asyncio.Event().wait()

    options = attest_options(collateral=Hanging(), timeouts=Timeouts(connect=1.0))
    with pytest.raises(DeadlineExceededError, match="collateral"):
        await opened(machine.connection(**options))


async def test_a_timeout_of_the_objects_own_stays_its_own(machine, opened):
    class Odd:
        async def fetch(self, quote):
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await opened(machine.connection(**attest_options(collateral=Odd())))


async def test_a_service_that_is_down_is_a_transport_error(machine, opened):
    options = attest_options(collateral="http://127.0.0.1:9")
    with pytest.raises(TransportError, match=r"http://127\.0\.0\.1:9"):
        await opened(machine.connection(**options))


async def test_many_connections_to_one_platform_fetch_once(machine, client, pccs, opened):
    pccs.released.clear()
    opening = [
        asyncio.ensure_future(opened(machine.connection(**attest_options(collateral=client))))
        for _ in range(8)
    ]
    await until(lambda: len(pccs.requests) == 4)
    await until(lambda: machine.quoting.quotes == 8)
    pccs.released.set()
    connections = await asyncio.gather(*opening)
    assert len(pccs.requests) == 4
    assert all(connection.claims.verified for connection in connections)


@pytest.fixture
def soon_over(platform):
    """The platform with collateral that ends in half an hour: high time for a newer one."""
    day, half_hour = timedelta(days=1), timedelta(minutes=30)
    return EmulatedPlatform(
        identity=platform.identity,
        lifetimes=Lifetimes(backdated=day, collateral=half_hour),
        tcb_info_version=3,
    )


async def test_a_connection_attests_anew_before_its_collateral_expires(
    machine, platform, soon_over, client, pccs, opened
):
    pccs.platform = soon_over
    connection = await opened(machine.connection(**attest_options(collateral=client)))
    first = connection.claims
    assert first.valid_until - datetime.now(UTC) < timedelta(hours=1)
    pccs.platform = platform  # which is valid for longer
    quotes = machine.quoting.quotes
    assert await connection.predict("echo", SECRET_INPUT)  # not waiting for it
    await until(lambda: connection.claims.valid_until > first.valid_until)
    assert machine.quoting.quotes == quotes + 1
    requests = len(pccs.requests)
    for _ in range(20):
        assert await connection.predict("echo", SECRET_INPUT)
    assert len(pccs.requests) == requests
    assert machine.quoting.quotes == quotes + 1


async def test_a_service_that_is_down_then_costs_no_call(machine, soon_over, client, pccs, opened):
    pccs.platform = soon_over
    connection = await opened(machine.connection(**attest_options(collateral=client)))
    first, asked = connection.claims, len(pccs.requests)
    pccs.fail("/", StandInPccs.status(500))
    for _ in range(20):
        assert await connection.predict("echo", SECRET_INPUT)
    await until(lambda: len(pccs.requests) > asked)
    assert await connection.predict("echo", SECRET_INPUT)
    assert connection.claims.valid_until == first.valid_until
    assert machine.quoting.quotes == 2  # not with every call


async def test_a_connection_that_closes_leaves_no_renewal_behind(
    machine, soon_over, client, pccs, opened
):
    pccs.platform = soon_over
    connection = await opened(machine.connection(**attest_options(collateral=client)))
    pccs.fail("/", StandInPccs.hangs)
    assert await connection.predict("echo", SECRET_INPUT)
    asked = len(pccs.requests)
    await until(lambda: len(pccs.requests) >= asked)
    await connection.close()
    await until(lambda: not pccs.open_connections)


@pytest.mark.parametrize("options", [{}, {"reattest": "never"}], ids=["server", "never"])
async def test_what_may_not_or_cannot_be_newer_is_not_asked_for_early(
    start_machine, soon_over, client, pccs, opened, options
):
    machine = await start_machine(soon_over)
    if options:
        pccs.platform = soon_over
        options = options | {"collateral": client}
    connection = await opened(machine.connection(**attest_options(**options)))
    for _ in range(20):
        await connection.predict("echo", SECRET_INPUT)
    assert machine.quoting.quotes == 1


async def test_a_proof_holds_the_collateral_that_judged(stale_machine, client, opened, tmp_path):
    connection = await opened(stale_machine.connection(**attest_options(collateral=client)))
    reply = await connection.predict("echo", SECRET_INPUT, sign=True)
    reply.save_to_file(tmp_path / "p.proof")
    kept = PredictResponse.from_file(tmp_path / "p.proof")
    assert kept.attestation.collateral == connection.attestation.collateral
    assert kept.attestation.nonce == connection.attestation.nonce
    assert len(kept.attestation.nonce) == 32


def test_a_directory_is_what_a_path_stands_for(tmp_path):
    from blindai_async.collateral.sources import collateral_source

    assert collateral_source(tmp_path) == CollateralDirectory(tmp_path)
    assert collateral_source("server") is None


async def test_a_quote_for_this_handshakes_nonce_is_fresh(machine, opened):
    connection = await opened(machine.connection(**attest_options(require_fresh=True)))
    assert connection.claims.fresh
