"""Quotes through configfs-tsm, from files that the kernel serves: races and faults."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from tee_files import TsmFiles

from blindai_async.server.tee.configfs_tsm import ConfigfsTsm
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.platform import MachinePlatform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS = bytes(range(64))
THEIRS = b"\x77" * 64


def report(inblob: bytes) -> bytes:
    """A report that holds its report data, as a quote does, and is as long as real ones are."""
    return b"a quote over " + inblob + bytes(8000)


@pytest.fixture
def files() -> TsmFiles:
    return TsmFiles(report)


@pytest.fixture
def root(files: TsmFiles, mount: Callable[[TsmFiles], Path]) -> Path:
    return mount(files)


@pytest.fixture
def tsm(root: Path) -> ConfigfsTsm:
    return ConfigfsTsm(root, attempts=4, wait=0)


def test_it_is_a_platform_of_the_machines_own(tsm: ConfigfsTsm) -> None:
    assert isinstance(tsm, MachinePlatform)
    assert tsm.tee == "tdx"
    assert tsm.collateral() is None


def test_a_quote_is_the_outblob_of_our_inblob(files: TsmFiles, tsm: ConfigfsTsm) -> None:
    tsm.check()
    assert files.asked == []
    assert tsm.quote(OURS) == report(OURS)
    assert files.asked == [OURS]
    assert files.requests == {}


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EAGAIN])
def test_what_passes_is_asked_again(files: TsmFiles, tsm: ConfigfsTsm, code: int) -> None:
    files.faults.extend([code] * 3)
    assert tsm.quote(OURS) == report(OURS)
    assert files.requests == {}


def test_a_host_that_stays_busy_is_given_up(files: TsmFiles, tsm: ConfigfsTsm) -> None:
    files.faults.extend([errno.EBUSY] * 5)
    with pytest.raises(TeeError, match="busy") as caught:
        tsm.quote(OURS)
    assert (caught.value.reason, caught.value.tee) == ("busy", "tdx")
    assert len(files.faults) == 1
    assert files.requests == {}


@pytest.mark.parametrize("fault", [THEIRS, OURS, "written after"])
def test_a_quote_beside_other_writes_is_not_taken(
    files: TsmFiles, tsm: ConfigfsTsm, fault: bytes | str
) -> None:
    files.faults.append(fault)
    assert tsm.quote(OURS) == report(OURS)
    assert files.asked[-1] == OURS
    assert len(files.asked) == 2


def test_one_who_always_interferes_is_an_error(files: TsmFiles, tsm: ConfigfsTsm) -> None:
    files.faults.extend([THEIRS] * 9)
    with pytest.raises(TeeError, match="others have written") as caught:
        tsm.quote(OURS)
    assert caught.value.reason == "conflict"
    assert len(files.faults) == 5


def test_a_report_about_other_bytes_is_never_given(mount: Callable[[TsmFiles], Path]) -> None:
    tsm = ConfigfsTsm(mount(TsmFiles(lambda _: report(THEIRS))), attempts=2, wait=0)
    with pytest.raises(TeeError) as caught:
        tsm.quote(OURS)
    assert caught.value.reason == "conflict"


def test_a_write_that_the_kernel_drops_is_noticed(files: TsmFiles, tsm: ConfigfsTsm) -> None:
    files.dropped_writes = 1
    with pytest.raises(TeeError):
        tsm.quote(OURS)  # no inblob: EINVAL, which asking again does not mend
    assert tsm.quote(OURS) == report(OURS)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EFBIG, "update the guest's kernel"),
        (errno.EIO, "qgsd"),
        (errno.ETIMEDOUT, "qgsd"),
        (errno.EINVAL, "kernel log"),
    ],
)
def test_a_failure_says_what_to_do(
    files: TsmFiles, tsm: ConfigfsTsm, code: int, words: str
) -> None:
    files.faults.append(code)
    with pytest.raises(TeeError, match=words) as caught:
        tsm.quote(OURS)
    assert caught.value.reason == "failed"
    assert caught.value.tee == "tdx"
    assert os.strerror(code) in str(caught.value)
    assert files.requests == {}


def test_a_report_without_end_is_refused(mount: Callable[[TsmFiles], Path]) -> None:
    tsm = ConfigfsTsm(mount(TsmFiles(lambda inblob: inblob * 4096)))
    with pytest.raises(TeeError, match="larger") as caught:
        tsm.quote(OURS)
    assert caught.value.reason == "failed"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_who_may_not_ask_is_told(files: TsmFiles, tsm: ConfigfsTsm, code: int) -> None:
    files.mkdir_error = code
    for ask in (tsm.check, lambda: tsm.quote(OURS)):
        with pytest.raises(TeeError, match="run as root") as caught:
            ask()
        assert caught.value.reason == "permission"


@pytest.mark.parametrize("provider", ["sev_guest", "arm_cca_guest", "", "\x1b[31m"])
def test_another_provider_is_named(mount: Callable[[TsmFiles], Path], provider: str) -> None:
    files = TsmFiles(report, provider)
    tsm = ConfigfsTsm(mount(files))
    for ask in (tsm.check, lambda: tsm.quote(OURS)):
        with pytest.raises(TeeError, match="no TDX guest") as caught:
            ask()
        assert caught.value.reason == "unsupported"
        assert ascii(provider) in str(caught.value)
    assert files.asked == []
    assert files.requests == {}


def test_no_provider_at_all_is_missing(files: TsmFiles, tsm: ConfigfsTsm) -> None:
    files.mkdir_error = errno.ENXIO
    with pytest.raises(TeeError, match="no TDX guest") as caught:
        tsm.check()
    assert caught.value.reason == "missing"


def test_no_interface_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(TeeError, match=r"6\.7.*mount -t configfs") as caught:
        ConfigfsTsm(tmp_path / "none").check()
    assert caught.value.reason == "missing"


def test_an_ordinary_directory_is_no_interface(tmp_path: Path) -> None:
    with pytest.raises(TeeError) as caught:
        ConfigfsTsm(tmp_path).quote(OURS)
    assert caught.value.reason == "missing"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 63, 65])
def test_other_than_64_bytes_are_not_asked_for(
    files: TsmFiles, tsm: ConfigfsTsm, size: int
) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        tsm.quote(bytes(size))
    assert files.asked == []


def test_no_attempts_are_no_choice() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ConfigfsTsm(attempts=0)


def test_two_processes_do_not_get_each_others(files: TsmFiles, root: Path) -> None:
    """Each request has a name of its own: callers at the same time share nothing."""
    got: dict[bytes, bytes] = {}

    def ask(number: int) -> None:
        data = bytes([number]) * 64
        got[data] = ConfigfsTsm(root).quote(data)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {data: report(data) for data in got}
    assert len(got) == 8
    assert files.requests == {}
