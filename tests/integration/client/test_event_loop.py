"""The event loop: never held up, any kind of it, and the one that a connection belongs to."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

UVLOOP = pytest.param("uvloop", marks=pytest.mark.skipif(sys.platform == "win32", reason="none"))

# A whole session against an embedded server, in a process of its own: other loops, and forks.
PROGRAM = """
import asyncio, os, sys, warnings
import numpy as np
import blindai_async
from blindai_async.errors import BlindAIError, ConnectionClosedError
from blindai_async.server import BlindAIServer

warnings.simplefilter("error", ResourceWarning)
warnings.simplefilter("ignore", blindai_async.errors.SecurityWarning)
X = np.ones((2, 4), np.float32)

def server():
    return BlindAIServer(attested_port=0, untrusted_port=0, grace=0.0)

def connect(server, **options):
    return blindai_async.connect(
        "localhost",
        simulation=True,
        attested_port=server.attested_port,
        untrusted_port=server.untrusted_port,
        **options,
    )

"""


def run(program, *arguments, timeout=60):
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM + textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout.split(), finished.stderr


@pytest.fixture(scope="module")
def model_file(onnx_models, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "linear.onnx"
    path.write_bytes(onnx_models.linear(4, 3))
    return path


class Ticker:
    """Ticks each millisecond, and notes the most that the loop's thread worked between two ticks.

    The thread's own processor time: what others do on a busy machine does not count.
    """

    async def __aenter__(self):
        self.worst = 0.0
        self._task = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0.01)
        self.worst = 0.0
        return self

    async def _tick(self):
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.thread_time() - before)

    async def __aexit__(self, *_):
        await asyncio.sleep(0.01)  # what held the loop last is yet to be noticed
        self._task.cancel()


@pytest.fixture
async def away(onnx_models):
    """A server in a process of its own: what it takes on its loop does not count."""
    program = PROGRAM + textwrap.dedent("""
        async def main():
            async with server() as running:
                print(running.attested_port, running.untrusted_port, flush=True)
                await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ports = (await process.stdout.readline()).split()

    class Away:
        attested_port, untrusted_port = map(int, ports)

    yield Away
    process.stdin.close()
    await process.wait()


async def test_large_uploads_and_predictions_do_not_hold_the_loop_up(
    connect, away, onnx_models, tmp_path
):
    """Neither the copy that a layout needs, nor hashing, nor reading the file is done on it."""
    path = tmp_path / "large.onnx"
    path.write_bytes(onnx_models.linear(4096, 1024))  # 16 MB
    connection = await connect(away)
    mean = await connection.upload_model(onnx_models.mean_of_all())
    columns = np.asfortranarray(np.ones((6_000_000, 4), np.float32))  # 96 MB, to be copied
    started = time.thread_time()
    np.ascontiguousarray(columns)
    a_copy = time.thread_time() - started
    async with Ticker() as ticker:
        await connection.upload_model(path, sign=True)
        response = await connection.predict(mean.model_id, columns, sign=True)
    assert response.output[0].as_numpy() == 1
    assert ticker.worst < a_copy / 2


@pytest.mark.parametrize("kind", ["asyncio", UVLOOP])
def test_a_whole_session_runs_on_every_loop(kind, model_file):
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    out, err = run(
        """
        async def main():
            print(type(asyncio.get_running_loop()).__module__.split(".")[0])
            async with server() as running, connect(running) as conn:
                model = await conn.upload_model(sys.argv[2], sign=True)
                results = await asyncio.gather(
                    *(conn.predict(model.model_id, X * n, sign=n % 2 == 0) for n in range(20))
                )
                assert [r.output[0].shape for r in results] == [(2, 3)] * 20
                big = np.ones((50_000, 4), np.float32)
                result = await conn.predict(model.model_id, big, sign=True)
                assert result.output[0].shape == (50_000, 3)
                try:
                    await conn.predict("no such model", X)
                except BlindAIError as error:
                    print(type(error).__name__)
                call = asyncio.ensure_future(conn.predict(model.model_id, big))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait([call])
                print(call.cancelled())
                await conn.delete_model(model.model_id)
            print("done")

        if sys.argv[1] == "uvloop":
            import uvloop
            uvloop.run(main())
        else:
            asyncio.run(main())
        """,
        kind,
        str(model_file),
    )
    assert out == [kind, "ModelNotFoundError", "True", "done"]
    assert "ResourceWarning" not in err
    assert "never awaited" not in err


def test_a_connection_belongs_to_the_loop_that_opened_it():
    out, err = run(
        """
        kept = []

        async def open_it():
            kept.append(running := await server().__aenter__())
            kept.append(await connect(running))

        async def use_it():
            for call in (kept[1].predict("m", X), kept[1].delete_model("m")):
                try:
                    await call
                except ConnectionClosedError as error:
                    print("refused" if "another event loop" in str(error) else error)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(open_it())
        asyncio.run(use_it())
        loop.run_until_complete(kept[0].__aexit__(None, None, None))
        loop.close()
        asyncio.run(kept[1].close())  # its own loop is gone: there is nothing left to close
        print(kept[1].closed)
        """
    )
    assert out == ["refused", "refused", "True"]
    assert "ResourceWarning" not in err


def test_a_connection_is_not_used_in_a_forked_child():
    """gRPC aborts or hangs there: the child is told, and the parent goes on."""
    out, _ = run(
        """
        def in_the_child(conn):
            try:
                for call in (conn.predict("m", X), conn.upload_model(b"onnx"), conn.close()):
                    try:
                        call.send(None)
                    except ConnectionClosedError as error:
                        print("child:", "fork" in str(error))
                    except StopIteration:
                        print("child: done")
            except BaseException as error:
                print("child:", repr(error))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)

        async def main():
            async with server() as running:
                conn = await connect(running)
                child = os.fork()
                if child == 0:
                    in_the_child(conn)
                _, status = await asyncio.to_thread(os.waitpid, child, 0)
                print("parent", status)
                try:
                    await conn.predict("no such model", X)
                except BlindAIError as error:
                    print(type(error).__name__)
                await conn.close()

        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(main())
        """
    )
    assert " ".join(out) == ("child: True child: True child: done parent 0 ModelNotFoundError")


def test_a_forked_child_that_opens_a_connection_of_its_own_is_told_how_to_start_it():
    """gRPC ends the child with SIGSEGV otherwise."""
    out, _ = run(
        """
        def in_the_child(running):
            try:
                connect(running).__await__().send(None)
            except ConnectionClosedError as error:
                print("child:", "spawn" in str(error), "forkserver" in str(error), flush=True)
            finally:
                os._exit(3)

        async def main():
            async with server() as running:
                conn = await connect(running)
                child = os.fork()
                if child == 0:
                    in_the_child(running)
                _, status = await asyncio.to_thread(os.waitpid, child, 0)
                print("parent", os.waitstatus_to_exitcode(status))
                await conn.close()

        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(main())
        """
    )
    assert " ".join(out) == "child: True True parent 3"


async def test_the_processes_socket_timeout_is_left_alone(connect, scripted):
    """The original client sets one for the whole process."""
    for timeout in (None, 7.5):
        socket.setdefaulttimeout(timeout)
        try:
            connection = await connect(scripted)
            await connection.predict("m", np.ones(3, np.float32))
            await connection.close()
            assert socket.getdefaulttimeout() == timeout
        finally:
            socket.setdefaulttimeout(None)
