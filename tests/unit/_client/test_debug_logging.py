"""What `debug_mode` turns on, for the whole process: tried in one of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, os, sys
from blindai_async._client.debug_logging import log_everything
{before}
log_everything()
log_everything()
logging.getLogger("blindai_async").debug("a debug line")
print(os.environ.get("GRPC_VERBOSITY"), os.environ.get("GRPC_TRACE"))
"""


def run(before="", **environment):
    import os

    clean = {key: value for key, value in os.environ.items() if not key.startswith("GRPC_")}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip(), finished.stderr


@pytest.fixture(scope="module")
def plain():
    return run()


def test_the_packages_log_goes_to_stderr_once(plain):
    assert plain[1].count("a debug line") == 1


def test_how_to_turn_grpcs_log_on_is_said_where_it_is_off(plain):
    """Set now, the variables would come too late: gRPC has read them when it was loaded."""
    assert plain[1].count("GRPC_VERBOSITY=DEBUG") == 2  # once a call of log_everything
    assert plain[0] == "None None"


def test_the_tracer_that_writes_down_headers_is_not_advised(plain):
    """The access token is a header: the tracers "http" and "all" are near to it."""
    tracers = plain[1].split("GRPC_TRACE=")[1].split()[0].split(",")
    assert not {"http", "all", "call", "metadata"} & set(tracers)


def test_what_the_user_has_set_stays():
    stdout, stderr = run(GRPC_VERBOSITY="ERROR", GRPC_TRACE="none")
    assert stdout == "ERROR none"
    assert "GRPC" not in stderr


def test_a_process_that_logs_already_is_not_given_a_second_handler():
    _, stderr = run("logging.basicConfig(format='root %(message)s')")
    assert stderr.count("a debug line") == 1
    assert "root a debug line" in stderr
