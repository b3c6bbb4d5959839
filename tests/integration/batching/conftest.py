"""Connections to a real server, with a view of every request that leaves the client."""

from __future__ import annotations

import warnings
from contextlib import AsyncExitStack

import grpc
import numpy as np
import pytest

import blindai_async
from blindai_async import errors
from blindai_async._pb import securedexchange_pb2 as pb


class Requests(grpc.aio.StreamUnaryClientInterceptor):
    """Records how many rows each prediction's request had, and can hold requests back."""

    def __init__(self):
        self.rows = []
        self.gate = None

    async def intercept_stream_unary(self, continuation, details, requests):
        if "RunModel" in str(details.method):
            requests = self._watched(requests)
        return await continuation(details, requests)

    async def _watched(self, requests):
        first = True
        async for request in requests:
            message = pb.RunModelRequest.FromString(request)
            if first and message.input_tensors:
                dims = message.input_tensors[0].info.dims
                self.rows.append(dims[0] if dims else None)
            first = False
            if self.gate is not None:
                await self.gate.wait()
            yield request


@pytest.fixture
def requests():
    return Requests()


@pytest.fixture
async def connect(server, requests):
    """Opens a connection to the fixture's server; takes options of `connect`."""
    async with AsyncExitStack() as opened:

        async def open_(**options):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.SimulationModeWarning)
                connection = blindai_async.connect(
                    server.host,
                    simulation=True,
                    attested_port=server.attested_port,
                    untrusted_port=server.untrusted_port,
                    interceptors=[requests],
                    **options,
                )
            return await opened.enter_async_context(connection)

        yield open_


@pytest.fixture
def rows():
    """Distinct rows: `rows(n)[i]` is told from every other."""

    def make(count, width=4):
        return np.arange(count * width, dtype=np.float32).reshape(count, 1, width)

    return make
