"""A child process knows that it is one."""

import os

import pytest

from blindai_async._forks import generation


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the child only exits
def test_the_generation_grows_with_each_fork():
    here = generation()

    child = os.fork()
    if child == 0:
        os._exit(0 if generation() == here + 1 else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert generation() == here
