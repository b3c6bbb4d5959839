"""Models that outlive the server: sealed on disk, there again, gone when deleted."""

from __future__ import annotations

import asyncio
import logging
import stat

import numpy as np
import pytest
from grpc.aio import AioRpcError
from spoiling import with_last_bit_flipped

X = np.arange(3, dtype="int32")


@pytest.fixture
def restart(start_server, raw_client, tmp_path):
    """Starts a server, each time on the same directory; the one before is stopped."""
    running = []

    async def start():
        while running:
            await running.pop().stop()
        running.append(await start_server(directory=tmp_path))
        return await raw_client(running[-1])

    return start


async def test_a_saved_model_is_there_after_a_restart(restart, onnx_models):
    client = await restart()
    await client.upload(onnx_models.identity("int32", (3,)), model_id="m", save_model=True)
    client = await restart()
    (got,) = await client.predict("m", X)
    assert got.tolist() == X.tolist()


async def test_a_model_that_was_not_saved_is_not(restart, onnx_models, refusal):
    client = await restart()
    await client.upload(onnx_models.identity("int32", (3,)), model_id="m")
    client = await restart()
    assert (await refusal(client.run("m", X)))[1] == "Model doesn't exist"


async def test_a_deleted_model_does_not_come_back(restart, onnx_models, refusal):
    client = await restart()
    await client.upload(onnx_models.identity("int32", (3,)), model_id="m", save_model=True)
    await client.delete("m")
    client = await restart()
    assert (await refusal(client.run("m", X)))[1] == "Model doesn't exist"


async def test_a_replaced_model_does_not_come_back(restart, onnx_models, refusal):
    client = await restart()
    await client.upload(onnx_models.identity("int32", (3,)), model_id="m", save_model=True)
    await client.upload(onnx_models.identity("int8", (3,)), model_id="m", save_model=False)
    client = await restart()
    assert (await refusal(client.run("m", X)))[1] == "Model doesn't exist"


async def test_what_is_on_disk_is_encrypted_and_private(restart, onnx_models, tmp_path):
    client = await restart()
    model = onnx_models.linear(50, 50)
    await client.upload(model, model_id="m", save_model=True)
    (saved,) = (tmp_path / "models").iterdir()
    content = saved.read_bytes()
    assert not any(model[at : at + 16] in content for at in range(0, len(model) - 16, 16))
    for path in (saved, tmp_path / "sealing.key", tmp_path / "host_server.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "models").stat().st_mode) == 0o700


@pytest.mark.parametrize("model_id", ["../../escaped", "/etc/passwd", "a\x00b", "..", "é" * 400])
async def test_no_model_id_names_a_path(restart, onnx_models, tmp_path, model_id):
    client = await restart()
    before = set(tmp_path.parent.rglob("*"))
    await client.upload(onnx_models.identity("int32", (3,)), model_id=model_id, save_model=True)
    (new,) = set(tmp_path.parent.rglob("*")) - before
    assert new.parent == tmp_path / "models"
    client = await restart()
    (got,) = await client.predict(model_id, X)
    assert got.tolist() == X.tolist()


async def test_a_damaged_file_is_reported_and_skipped(restart, onnx_models, tmp_path, caplog):
    client = await restart()
    for model_id in ("a", "b", "c"):
        model = onnx_models.identity("int32", (3,))
        await client.upload(model, model_id=model_id, save_model=True)
    first, second, _ = sorted((tmp_path / "models").iterdir())
    first.write_bytes(with_last_bit_flipped(first.read_bytes()))
    second.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        client = await restart()
    assert first.name in caplog.text
    assert second.name in caplog.text
    calls = [client.run(model_id, X) for model_id in ("a", "b", "c")]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failures = [answer.details() for answer in answers if isinstance(answer, AioRpcError)]
    assert failures == ["Model doesn't exist"] * 2
