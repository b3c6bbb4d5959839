"""predict_many: what is due is given at once, and whatever ends it leaves nothing behind."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys

import grpc
import numpy as np
import pytest

from blindai_async.errors import RequestRejectedError, TensorError

RUN_MODEL = "/securedexchange.Exchange/RunModel"


def row(number):
    return np.array([number], np.float32)


def number_of(result):
    return int(result.output[0].as_flat()[0])


async def numbers(results):
    return [number_of(result) async for result in results]


@pytest.fixture
async def conn(connect, scripted):
    return await connect(scripted)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_source_may_wait_for_an_earlier_result(conn, ordered):
    """So each result is given as soon as it is there, however much room there still is."""
    taken = asyncio.Semaphore(1)

    async def source():
        for number in range(20):
            await taken.acquire()
            yield row(number)

    found = []
    async with asyncio.timeout(30):
        async for result in conn.predict_many("m", source(), concurrency=64, ordered=ordered):
            found.append(number_of(result))
            taken.release()
    assert found == list(range(20))


async def test_unordered_results_come_as_they_do(conn, scripted):
    first_may_go = asyncio.Event()

    async def answer(call):
        reply = await scripted.echo(call)
        _, inputs = await call.run_model_request()
        if np.frombuffer(inputs[0].bytes_data, np.float32)[0] == 0:
            await first_may_go.wait()
        return reply

    scripted.answers[RUN_MODEL] = answer
    found = []
    async for index, result in conn.predict_many(
        "m", map(row, range(10)), ordered=False, keyed=True
    ):
        assert number_of(result) == index
        found.append(index)
        if len(found) == 9:
            first_may_go.set()
    assert sorted(found[:9]) == list(range(1, 10))
    assert found[9] == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_what_came_before_a_sources_error_is_delivered_before_it(conn, kind, ordered):
    def source():
        yield from map(row, range(50))
        raise OSError("disk")

    async def async_source():
        for tensors in source():
            yield tensors

    inputs = source() if kind == "sync" else async_source()
    found = []

    async def take_all():
        async for result in conn.predict_many("m", inputs, concurrency=64, ordered=ordered):
            found.append(number_of(result))  # noqa: PERF401 - also what came before the error

    with pytest.raises(OSError, match="disk") as caught:
        await take_all()
    assert sorted(found) == list(range(50))
    assert any("after 50" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
async def test_a_source_that_ends_in_no_exception_of_the_usual_kind_ends_it(conn, error):
    async def source():
        yield row(1)
        raise error

    async with asyncio.timeout(30):
        with pytest.raises(error):
            async for _ in conn.predict_many("m", source()):
                pass


class Source:
    """A generator that tells whether it was closed, by the task that iterated it."""

    def __init__(self, kind, numbers=None):
        self.closed = False
        self.numbers = itertools.count() if numbers is None else numbers
        self.generator = self.sync() if kind == "sync" else self.asynchronous()

    def sync(self):
        try:
            yield from map(row, self.numbers)
        finally:
            self.closed = True

    async def asynchronous(self):
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(60):  # which only this task may leave
                for number in self.numbers:
                    await asyncio.sleep(0)
                    yield row(number)
        finally:
            assert asyncio.current_task() is task
            self.closed = True


@pytest.fixture(params=["sync", "async"])
def source(request):
    return Source(request.param)


def tasks_of_calls():
    return [task for task in asyncio.all_tasks() if "predict" in repr(task.get_coro())]


async def test_the_source_is_closed_at_the_end(conn):
    for kind in ("sync", "async"):
        source = Source(kind, range(3))
        assert await numbers(conn.predict_many("m", source.generator)) == [0, 1, 2]
        assert source.closed


async def test_the_source_is_closed_where_the_loop_is_left(conn, source):
    results = conn.predict_many("m", source.generator)
    await anext(results)
    await results.aclose()
    assert source.closed
    assert not tasks_of_calls()


async def test_the_source_is_closed_where_a_call_fails(conn, scripted, source):
    scripted.answers[RUN_MODEL] = (grpc.StatusCode.INVALID_ARGUMENT, "no")
    with pytest.raises(RequestRejectedError):
        await numbers(conn.predict_many("m", source.generator))
    assert source.closed
    assert not tasks_of_calls()


async def test_the_source_is_closed_where_the_caller_is_cancelled(conn, scripted, source):
    reached = asyncio.Event()

    async def never(call):
        reached.set()
        await asyncio.sleep(60)

    scripted.answers[RUN_MODEL] = never
    taking = asyncio.ensure_future(numbers(conn.predict_many("m", source.generator)))
    await reached.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert source.closed
    assert not tasks_of_calls()


async def test_a_file_or_a_stream_that_is_no_generator_stays_open(conn, tmp_path):
    (tmp_path / "rows").write_text("1\n2\n")
    with (tmp_path / "rows").open() as file:
        found = [e async for e in conn.predict_many("m", file, return_exceptions=True)]
        assert not file.closed
    assert [type(error) for error in found] == [TensorError] * 2


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_failure_tells_its_inputs_index(conn, ordered):
    inputs = [row(0), "text", row(2), "text"]
    many = conn.predict_many("m", inputs, ordered=ordered, keyed=True, return_exceptions=True)
    found = dict([pair async for pair in many])
    assert sorted(found) == [0, 1, 2, 3]
    for index in (1, 3):
        assert found[index].index == index
        assert found[index].__notes__ == [f"predict_many: input {index}"]
    assert [number_of(found[index]) for index in (0, 2)] == [0, 2]
    with pytest.raises(TensorError) as caught:
        await numbers(conn.predict_many("m", inputs, concurrency=1, ordered=ordered))
    assert caught.value.index == 1


@pytest.mark.parametrize("kind", ["sync", "async that never waits"])
async def test_however_many_calls_may_go_at_once_the_loop_has_its_turn(conn, scripted, kind):
    """The inputs that are read between two turns of the loop are few."""
    passes = asyncio.get_running_loop()
    read, most = 0, 0

    def count_turn():
        nonlocal read, most
        most, read = max(most, read), 0
        if counting:
            passes.call_soon(count_turn)

    def source():
        nonlocal read
        while True:
            read += 1
            yield row(1)

    async def async_source():
        for tensors in source():
            yield tensors

    counting = True
    count_turn()
    inputs = source() if kind == "sync" else async_source()
    results = conn.predict_many("m", inputs, concurrency=100_000)
    for _ in range(3):
        await anext(results)
    await results.aclose()
    counting = False
    assert 1 < most <= 64


PROGRAM = """
import asyncio, itertools, sys, warnings
import numpy as np
import blindai_async

async def main():
    warnings.simplefilter("ignore")
    async with blindai_async.connect(
        "127.0.0.1", simulation=True,
        attested_port=int(sys.argv[1]), untrusted_port=int(sys.argv[2]),
    ) as conn:
        rows = (np.ones(1, np.float32) for _ in itertools.count())
        told = False
        async for _ in conn.predict_many("m", rows, concurrency=100):
            if not told:
                told = True
                print("under way", flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child there")
async def test_ctrl_c_ends_it_quietly(scripted):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM),
        *(str(scripted.attested_port), str(scripted.untrusted_port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONASYNCIODEBUG": "0"},
    )
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"under way\n"
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    said = errors.decode()
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    for noise in ("never retrieved", "was destroyed", "never awaited", "unhandled"):
        assert noise not in said
