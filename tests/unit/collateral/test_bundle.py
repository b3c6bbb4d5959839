"""Collateral in a directory."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from blindai_async.attestation import SgxCollateral
from blindai_async.attestation.x509.crl import parse_crl
from blindai_async.collateral import CollateralDirectory, read_bundle, summarize, write_bundle
from blindai_async.errors import CollateralError
from blindai_async.server.tee.emulated import EmulatedPlatform


@pytest.fixture(scope="module")
def collateral():
    return SgxCollateral.model_validate(dict(EmulatedPlatform().collateral()))


def without_pck(collateral):
    return collateral.model_copy(update={"pck_certificate": "", "pck_signing_chain": ""})


@pytest.mark.parametrize("change", [lambda it: it, without_pck], ids=["with PCK", "without PCK"])
def test_what_was_written_is_read_again(collateral, tmp_path, change):
    written = write_bundle(tmp_path / "new" / "folder", change(collateral))
    assert all(file.parent == tmp_path / "new" / "folder" for file in written)
    assert read_bundle(tmp_path / "new" / "folder") == change(collateral)


def test_a_part_that_is_no_longer_there_leaves_no_file(collateral, tmp_path):
    write_bundle(tmp_path, collateral)
    write_bundle(tmp_path, without_pck(collateral))
    assert read_bundle(tmp_path).pck_certificate == ""


def test_revocation_lists_are_written_for_other_programs_too(collateral, tmp_path):
    der = x509.load_pem_x509_crl(collateral.pck_crl.encode()).public_bytes(Encoding.DER)
    write_bundle(tmp_path, collateral.model_copy(update={"pck_crl": der.hex()}))
    written = x509.load_pem_x509_crl((tmp_path / "pck_crl.pem").read_bytes())
    assert written.public_bytes(Encoding.DER) == der
    for content in (der, der.hex().encode(), der.hex().encode() + b"\n"):
        (tmp_path / "pck_crl.pem").write_bytes(content)
        assert parse_crl(read_bundle(tmp_path).pck_crl).next_update


async def test_a_replaced_directory_is_read_anew(collateral, tmp_path):
    source = CollateralDirectory(tmp_path)
    write_bundle(tmp_path, collateral)
    assert await source.fetch(b"any") == collateral
    write_bundle(tmp_path, without_pck(collateral))
    assert await source.fetch(b"any") == without_pck(collateral)


def test_what_is_missing_is_named_with_what_writes_it(collateral, tmp_path):
    for file in write_bundle(tmp_path, without_pck(collateral)):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(CollateralError, match="is missing; 'blindai-async collateral") as error:
            read_bundle(tmp_path)
        assert error.value.url == str(file)
        file.mkdir()
        with pytest.raises(CollateralError, match="cannot be read"):
            read_bundle(tmp_path)
        file.rmdir()
        file.write_bytes(content + b" " * (2 << 20))
        with pytest.raises(CollateralError, match="more than"):
            read_bundle(tmp_path)
        file.write_bytes(b"\xff\xfe")
        with pytest.raises(CollateralError, match="not what its name says"):
            read_bundle(tmp_path)
        file.write_bytes(content)


@pytest.mark.parametrize("field", ["tcb_info", "qe_identity", "pck_crl", "root_ca_crl"])
@pytest.mark.parametrize("text", ["", "{}", "x" * 100, "\ud800"])
def test_a_part_that_does_not_hold_is_named(collateral, field, text):
    with pytest.raises(CollateralError, match="does not hold"):
        summarize(collateral.model_copy(update={field: text}))


def test_a_summary_says_how_long_each_part_is_valid(collateral):
    parts = {part.part: part for part in summarize(collateral)}
    assert set(parts) == {"TCB info", "QE identity", "PCK CRL", "root CRL", "PCK certificate"}
    assert parts["TCB info"].evaluation_number == 12
    assert parts["root CRL"].evaluation_number is None
    assert all(part.valid_from < part.valid_until for part in parts.values())
