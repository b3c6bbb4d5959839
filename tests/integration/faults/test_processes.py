"""Loops that end, collected connections and forked processes, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PRELUDE = """
import asyncio, gc, os, sys, tempfile, pathlib, time, warnings
sys.path.insert(0, {support!r})
from machine import Machine, SECRET_INPUT
from blindai_async.errors import ConnectionClosedError

async def start():
    machine = Machine(pathlib.Path(sys.argv[2]), models={{"echo": sys.argv[1]}})
    await machine.start()
    return machine
"""


def run_script(model_file, tmp_path, script):
    support = Path(__file__).parents[2] / "support"
    program = PRELUDE.format(support=str(support)) + textwrap.dedent(script)
    directory = tmp_path / "script"
    directory.mkdir()
    environment = {key: value for key, value in os.environ.items() if "GRPC" not in key}
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "default",
            "-X",
            "faulthandler",
            "-c",
            program,
            str(model_file),
            str(directory),
        ],
        env=environment | {"GRPC_VERBOSITY": "NONE"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complaints(stderr):
    """What was said, but for what the server and the resource warning are expected to say."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    expected = ("BlindAIServer is for development", "was never closed", "ResourceWarning",
                "Enable tracemalloc", "Object allocated at",
                "  gc.collect()")  # the line that warned, shown from Python 3.13 on  # fmt: skip
    return [line for line in lines if not any(words in line for words in expected)]


def warned_and_no_more(done, said):
    assert done.stdout == said
    assert done.stderr.count("was never closed") == 1
    assert complaints(done.stderr) == []
    assert done.returncode == 0


def test_a_loop_that_ends_with_an_open_connection_warns_and_no_more(model_file, tmp_path):
    done = run_script(
        model_file,
        tmp_path,
        """
        async def main():
            machine = await start()
            connection = await machine.connection()
            await connection.predict("echo", SECRET_INPUT)
            call = connection.predict("echo", SECRET_INPUT)
            task = asyncio.create_task(call)
            await asyncio.sleep(0)
            await machine.stop()

        asyncio.run(main())
        gc.collect()
        print("done")
        """,
    )
    warned_and_no_more(done, "done\n")


def test_a_connection_that_is_collected_warns_and_no_more(model_file, tmp_path):
    done = run_script(
        model_file,
        tmp_path,
        """
        async def main():
            machine = await start()
            connection = await machine.connection()
            await connection.predict("echo", SECRET_INPUT)
            del connection
            gc.collect()
            await asyncio.sleep(0.2)
            print("alive")
            await machine.stop()

        asyncio.run(main())
        """,
    )
    warned_and_no_more(done, "alive\n")


FORK = """
async def main():
    machine = await start()
    connection = await machine.connection()
    await connection.predict("echo", SECRET_INPUT)
    waiting = asyncio.create_task(connection.predict("echo", SECRET_INPUT))
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        asyncio.run(use(connection))
        os._exit(7)
    await waiting
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        await asyncio.sleep(0.05)
    print("child ended with", os.waitstatus_to_exitcode(status) if pid else "nothing", flush=True)
    await connection.predict("echo", SECRET_INPUT)
    await connection.close()
    await machine.stop()
    print("parent goes on", flush=True)
"""

USE = """
async def use(connection):
    for call in (
        lambda: connection.predict("echo", SECRET_INPUT),
        lambda: connection.upload_model(b"model"),
        connection.attest,
    ):
        try:
            await call()
        except ConnectionClosedError as error:
            print("child:", error, flush=True)
    await connection.close()
"""


def test_a_forked_child_is_told_before_grpc_is_touched(model_file, tmp_path):
    done = run_script(
        model_file,
        tmp_path,
        USE
        + FORK
        + """
asyncio.run(main())
""",
    )
    told = (
        "child: the connection was opened before a fork; a process that opens its own has to be "
        'started by "spawn" or "forkserver"\n'
    )
    assert done.stdout == told * 3 + "child ended with 7\nparent goes on\n", done.stderr
    assert done.returncode == 0


def test_a_child_forked_by_multiprocessing_ends_in_peace(model_file, tmp_path):
    done = run_script(
        model_file,
        tmp_path,
        USE
        + """
import multiprocessing

def work(connection):
    asyncio.run(use(connection))

async def main():
    machine = await start()
    connection = await machine.connection()
    await connection.predict("echo", SECRET_INPUT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = multiprocessing.get_context("fork").Process(target=work, args=(connection,))
        child.start()
    await asyncio.to_thread(child.join, 20)
    print("child ended with", child.exitcode, flush=True)
    await connection.predict("echo", SECRET_INPUT)
    await connection.close()
    await machine.stop()

asyncio.run(main())
""",
    )
    told = (
        "child: the connection was opened before a fork; a process that opens its own has to be "
        'started by "spawn" or "forkserver"\n'
    )
    assert done.stdout == told * 3 + "child ended with 0\n", done.stderr
    assert done.returncode == 0
