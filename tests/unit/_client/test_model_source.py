"""Models on their way out: whole and hashed, or refused."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from pathlib import Path

import pytest

from blindai_async._client import model_source
from blindai_async._client.model_source import ModelSource, open_model

LARGE = os.urandom(5 << 20)  # three blocks, the last not full


async def read(source):
    return b"".join([bytes(block) async for block in source.blocks()])


@pytest.mark.parametrize("kind", [str, Path, bytes, bytearray, memoryview])
async def test_a_model_is_read_and_hashed_from_whatever_holds_it(tmp_path, kind):
    path = tmp_path / "model.onnx"
    path.write_bytes(LARGE)
    from_file = kind in (str, Path)
    async with open_model(kind(path) if from_file else kind(LARGE)) as source:
        assert (source.size, source.name) == (len(LARGE), "model.onnx" if from_file else "")
        assert await read(source) == LARGE
        assert source.sha256() == hashlib.sha256(LARGE).digest()


async def test_any_path_like_is_a_path(tmp_path):
    class Somewhere:
        def __fspath__(self):
            return str(tmp_path / "m.onnx")

    (tmp_path / "m.onnx").write_bytes(b"onnx")
    async with open_model(Somewhere()) as source:
        assert await read(source) == b"onnx"


async def test_a_view_of_wider_items_counts_bytes():
    view = memoryview(bytes(range(8))).cast("I")
    async with open_model(view) as source:
        assert source.size == 8
        assert await read(source) == bytes(range(8))


@pytest.mark.parametrize("length", [1, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 4 << 20])
async def test_lengths_around_a_block_are_whole(tmp_path, length):
    path = tmp_path / "m"
    path.write_bytes(LARGE[:length])
    async with open_model(path) as source:
        assert await read(source) == LARGE[:length]


async def test_nothing_is_read_before_it_is_asked_for_and_no_block_is_large(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(LARGE)
    async with open_model(path) as source:
        sizes = [block.nbytes async for block in source.blocks()]
    assert max(sizes) <= model_source._BLOCK


async def test_the_file_is_closed_whatever_happens(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(LARGE)
    opened = open_model(path)
    source = await opened.__aenter__()
    await anext(source.blocks())
    assert not await opened.__aexit__(KeyError, KeyError(), None)  # it goes on to the caller
    assert source._stream.closed


async def test_a_file_that_is_not_there_is_the_builtin_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        async with open_model(tmp_path / "nothing.onnx"):
            pass


async def test_a_directory_is_no_model(tmp_path):
    with pytest.raises(OSError, match="directory"):
        async with open_model(tmp_path):
            pass


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")])
async def test_empty_bytes_are_no_model(empty):
    with pytest.raises(ValueError, match="empty"):
        async with open_model(empty):
            pass


async def test_an_empty_file_is_no_model_and_is_closed(tmp_path):
    (tmp_path / "m.onnx").touch()
    with pytest.raises(ValueError, match=r"m\.onnx is empty"):
        async with open_model(tmp_path / "m.onnx"):
            pass


@pytest.mark.parametrize("thing", [None, 3, ["a path"], object()])
async def test_what_is_neither_path_nor_bytes_is_refused(thing):
    with pytest.raises(TypeError, match=type(thing).__name__):
        async with open_model(thing):
            pass


@pytest.mark.parametrize("more", [1, 4 << 20])
async def test_a_file_that_grows_meanwhile_is_refused(tmp_path, more):
    path = tmp_path / "m.onnx"
    path.write_bytes(LARGE)
    async with open_model(path) as source:
        blocks = source.blocks()
        await anext(blocks)
        with path.open("ab") as file:
            file.write(bytes(more))
        with pytest.raises(OSError, match=r"m\.onnx grew"):
            [_ async for _ in blocks]


async def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(LARGE)
    async with open_model(path) as source:
        blocks = source.blocks()
        await anext(blocks)
        os.truncate(path, 3 << 20)
        with pytest.raises(OSError, match=f"{3 << 20} bytes, not {5 << 20}"):
            [_ async for _ in blocks]


async def test_nobody_waits_for_a_read_that_hangs_and_the_file_is_closed_after_it():
    class Hanging(io.BytesIO):
        def read(self, size=-1):
            reached.set()
            assert go_on.wait(30)
            return super().read(size)

        def close(self):
            super().close()
            closed.set()

    reached, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    source = ModelSource(Hanging(b"onnx"), memoryview(b""), "m.onnx", 4)
    reading = asyncio.ensure_future(read(source))
    assert await asyncio.to_thread(reached.wait, 30)
    reading.cancel()
    done, _ = await asyncio.wait((reading,), timeout=10)
    assert done
    source.close()  # a buffered file's own close would wait for the read
    assert not closed.is_set()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 30)
