"""OpenTelemetry's own instrumentation of grpc.aio, registered for a whole process.

It puts interceptors on every channel without a word to who makes one, and each awaits the call
before it returns it. A process of its own, as it cannot be kept from the others' channels.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import pytest

pytest.importorskip("opentelemetry.instrumentation.grpc")
pytest.importorskip("opentelemetry.sdk")

PROGRAM = """
import asyncio, json, sys, warnings

import grpc
import numpy as np
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
GrpcAioInstrumentorClient().instrument(tracer_provider=provider)

import blindai_async
from blindai_async.errors import RequestRejectedError, SecurityWarning

async def main():
    path, attested, untrusted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore", SecurityWarning)
    timeouts = blindai_async.Timeouts(call=60, upload=60)
    async with blindai_async.connect(
        "127.0.0.1", simulation=True, attested_port=attested, untrusted_port=untrusted,
        timeouts=timeouts, chunk_size=1000,
    ) as conn:
        model = await conn.upload_model(path)
        for rows in (1, 1000, 300_000):  # one message, some, more than gRPC's window
            x = np.ones((rows, 4), np.float32)
            reply = await conn.predict(model.model_id, x)
            assert reply.output[0].bytes_data == x.tobytes()
        try:
            await conn.upload_model(bytes(3_000_000))
        except RequestRejectedError:
            pass
        else:
            raise AssertionError("zeros were taken for a model")
        await conn.delete_model(model.model_id)
    print(json.dumps([[s.name, s.attributes["rpc.grpc.status_code"]]
                      for s in spans.get_finished_spans()]))

asyncio.run(main())
"""


async def test_every_call_goes_through_and_is_traced(server, onnx_models, tmp_path):
    path = tmp_path / "echo.onnx"
    path.write_bytes(onnx_models.identity())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(path)),
        *(str(server.attested_port), str(server.untrusted_port)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    spans = [(name.rpartition("/")[2], code) for name, code in json.loads(output)]
    assert spans == [
        ("GetServerInfo", 0),
        ("GetCertificate", 0),
        ("SendModel", 0),
        ("RunModel", 0),
        ("RunModel", 0),
        ("RunModel", 0),
        ("SendModel", 2),
        ("DeleteModel", 0),
    ]
