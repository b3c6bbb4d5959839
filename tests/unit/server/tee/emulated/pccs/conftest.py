"""A PCCS and a client of it."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack

import httpx
import pytest

from blindai_async.server.tee.emulated import EmulatedPlatform
from blindai_async.server.tee.emulated.pccs import EmulatedPccs


@pytest.fixture(scope="session", params=["sgx", "tdx"])
def served(request, now):
    """The platform whose collateral is served, of either kind."""
    return EmulatedPlatform(tee=request.param, now=now, tcb_info_version=3)


@pytest.fixture
async def start():
    """Starts services that are stopped at the test's end."""
    async with AsyncExitStack() as stack:

        async def start_pccs(platform, **options):
            return await stack.enter_async_context(EmulatedPccs(platform, **options))

        yield start_pccs


@pytest.fixture
async def client_of():
    """Opens a client of a service, which trusts its authority alone."""
    async with AsyncExitStack() as stack:

        async def open_client(pccs):
            trust = ssl.create_default_context(cadata=pccs.ca_pem.decode()) if pccs.ca_pem else True
            client = httpx.AsyncClient(base_url=pccs.url, verify=trust, timeout=20, trust_env=False)
            return await stack.enter_async_context(client)

        yield open_client


@pytest.fixture
async def pccs(start, served):
    return await start(served)


@pytest.fixture
async def client(client_of, pccs):
    return await client_of(pccs)
