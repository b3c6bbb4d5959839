"""Which hardware is found, and that nothing takes its place."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from tee_files import AttestationFiles, TsmFiles

from blindai_async.server.tee import detect
from blindai_async.server.tee.configfs_tsm import ConfigfsTsm
from blindai_async.server.tee.detect import open_platform
from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.gramine import Gramine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "nowhere"


def same(data: bytes) -> bytes:
    return data


def test_a_tdx_guest_is_found(mount: Callable[[TsmFiles], Path], nowhere: Path) -> None:
    root = mount(TsmFiles(same))
    found = open_platform("auto", tsm_root=root, attestation_root=nowhere)
    assert isinstance(found, ConfigfsTsm)


def test_an_enclave_counts_before_the_guest_around_it(
    mount: Callable[[TsmFiles | AttestationFiles], Path],
) -> None:
    tsm, attestation = mount(TsmFiles(same)), mount(AttestationFiles(same))
    assert isinstance(open_platform(tsm_root=tsm, attestation_root=attestation), Gramine)
    assert isinstance(open_platform("tdx", tsm_root=tsm, attestation_root=attestation), ConfigfsTsm)


def test_nothing_found_is_an_error_that_says_why(nowhere: Path) -> None:
    with pytest.raises(TeeError, match=r"SGX: .*gramine-sgx.* TDX: .*6\.7") as caught:
        open_platform("auto", tsm_root=nowhere, attestation_root=nowhere)
    assert (caught.value.reason, caught.value.tee) == ("missing", None)


@pytest.mark.parametrize("choice", ["tdx", "gramine"])
def test_what_was_named_is_not_replaced(
    choice: detect.TeeChoice, mount: Callable[[TsmFiles | AttestationFiles], Path], nowhere: Path
) -> None:
    roots = {
        "tdx": {"tsm_root": nowhere, "attestation_root": mount(AttestationFiles(same))},
        "gramine": {"tsm_root": mount(TsmFiles(same)), "attestation_root": nowhere},
    }
    with pytest.raises(TeeError) as caught:
        open_platform(choice, **roots[choice])
    assert caught.value.reason == "missing"


def test_what_is_there_and_switched_off_is_not_passed_over(
    mount: Callable[[TsmFiles | AttestationFiles], Path],
) -> None:
    tsm, attestation = mount(TsmFiles(same)), mount(AttestationFiles(same, "none"))
    with pytest.raises(TeeError, match=r"sgx\.remote_attestation"):
        open_platform(tsm_root=tsm, attestation_root=attestation)


def test_another_guest_is_not_taken(mount: Callable[[TsmFiles], Path], nowhere: Path) -> None:
    with pytest.raises(TeeError, match="sev_guest"):
        open_platform(tsm_root=mount(TsmFiles(same, "sev_guest")), attestation_root=nowhere)


@pytest.mark.parametrize(("driver", "tee"), [(True, "tdx"), (False, None)])
def test_the_driver_tells_whose_requests_one_may_not_make(
    mount: Callable[[TsmFiles], Path],
    nowhere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    driver: bool,
    tee: str | None,
) -> None:
    files = TsmFiles(same)
    files.mkdir_error = errno.EACCES
    device = tmp_path / "tdx_guest"
    if driver:
        device.touch()
    monkeypatch.setattr(detect, "_TDX_DEVICE", str(device))
    with pytest.raises(TeeError) as caught:
        open_platform(tsm_root=mount(files), attestation_root=nowhere)
    assert (caught.value.reason, caught.value.tee) == ("permission", tee)


def test_another_choice_is_named() -> None:
    with pytest.raises(ValueError, match="'sev'"):
        open_platform("sev")  # type: ignore[arg-type] # what a caller might pass
