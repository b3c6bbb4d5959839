"""Quotes through /dev/attestation, of files that the kernel serves."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from tee_files import AttestationFiles

from blindai_async.server.tee.errors import TeeError
from blindai_async.server.tee.gramine import Gramine
from blindai_async.server.tee.platform import MachinePlatform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS = bytes(range(64))


def quote(report_data: bytes) -> bytes:
    return b"a quote over " + report_data + b"and its signature" * 200


@pytest.fixture
def files() -> AttestationFiles:
    return AttestationFiles(quote)


@pytest.fixture
def gramine(files: AttestationFiles, mount: Callable[[AttestationFiles], Path]) -> Gramine:
    return Gramine(mount(files))


def test_it_is_a_platform_of_the_machines_own(gramine: Gramine) -> None:
    assert isinstance(gramine, MachinePlatform)
    assert gramine.tee == "sgx"
    assert gramine.collateral() is None


def test_a_quote_is_about_what_was_written(gramine: Gramine) -> None:
    gramine.check()
    assert gramine.quote(OURS) == quote(OURS)
    assert gramine.quote(OURS[::-1]) == quote(OURS[::-1])


@pytest.mark.parametrize("kind", ["none", "", "epid"])
def test_attestation_that_is_off_says_what_to_set(
    files: AttestationFiles, gramine: Gramine, kind: str
) -> None:
    files.kind = kind
    for ask in (gramine.check, lambda: gramine.quote(OURS)):
        with pytest.raises(TeeError, match=r"sgx\.remote_attestation") as caught:
            ask()
        assert (caught.value.reason, caught.value.tee) == ("unsupported", "sgx")


def test_no_enclave_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TeeError, match="gramine-sgx") as caught:
        Gramine(tmp_path / "attestation").check()
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("name", ["quote", "user_report_data"])
def test_a_file_that_is_missing_is_named(
    files: AttestationFiles, gramine: Gramine, name: str
) -> None:
    files.missing.add(name)
    with pytest.raises(TeeError, match=f"no file {name}") as caught:
        gramine.quote(OURS)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (errno.EACCES, "permission", "may not use"),
        (errno.EPERM, "permission", "may not use"),
        (errno.EIO, "failed", "aesmd"),
        (errno.EAGAIN, "failed", "aesmd"),
    ],
)
def test_a_failure_says_what_to_do(
    files: AttestationFiles, gramine: Gramine, code: int, reason: str, words: str
) -> None:
    files.quote_error = code
    with pytest.raises(TeeError, match=words) as caught:
        gramine.quote(OURS)
    assert (caught.value.reason, caught.value.tee) == (reason, "sgx")


def test_a_quote_over_other_bytes_is_never_given(files: AttestationFiles, gramine: Gramine) -> None:
    files.foreign = b"\x77" * 64
    with pytest.raises(TeeError, match="another thread") as caught:
        gramine.quote(OURS)
    assert caught.value.reason == "conflict"


def test_a_quote_without_end_is_refused(mount: Callable[[AttestationFiles], Path]) -> None:
    gramine = Gramine(mount(AttestationFiles(lambda data: data * 4096)))
    with pytest.raises(TeeError) as caught:
        gramine.quote(OURS)
    assert caught.value.reason == "failed"


def test_other_than_64_bytes_are_not_asked_for(gramine: Gramine) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        gramine.quote(bytes(32))
