"""Revocation lists: PEM or hex, of the profile, and whole."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import MAX_CRL_CHARS, EvidenceError
from blindai_async.attestation.x509 import der
from blindai_async.attestation.x509.certificates import Certificate, parse_certificate
from blindai_async.attestation.x509.crl import parse_crl
from blindai_async.server.tee.emulated import der as writer
from blindai_async.server.tee.emulated import new_key

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation import SgxCollateral
    from blindai_async.server.tee.emulated import EmulatedPlatform

KEY = new_key()
PROFILE = (
    (x509.CRLNumber(1), False),
    (x509.AuthorityKeyIdentifier(b"key", None, None), False),
)
PARTIAL = (
    x509.DeltaCRLIndicator(1),
    x509.IssuingDistributionPoint(None, None, True, False, None, False, False),
)


def crl(now: datetime, *extensions: tuple[x509.ExtensionType, bool], entries: int = 0) -> str:
    """A list signed by `KEY`, in hex."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Issuer")]))
        .last_update(now)
        .next_update(now + timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for serial in range(1, entries + 1):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER).hex()


def test_it_reads_what_cryptography_reads(
    platform: EmulatedPlatform, collateral: SgxCollateral
) -> None:
    theirs = x509.load_pem_x509_crl(collateral.pck_crl.encode())
    ours = parse_crl(collateral.pck_crl)
    assert ours.issuer == theirs.issuer.public_bytes()
    assert (ours.last_update, ours.next_update) == (theirs.last_update_utc, theirs.next_update_utc)
    assert parse_crl(theirs.public_bytes(Encoding.DER).hex()).signed_part == ours.signed_part
    issuer = parse_certificate(
        platform.blueprint.pki.intermediate.issue(platform.blueprint.pki.root)
    )
    assert ours.is_signed_by(issuer)


def test_every_entry_counts(now: datetime, platform: EmulatedPlatform) -> None:
    parsed = parse_crl(crl(now, *PROFILE, entries=20))
    certificate = parse_certificate(platform.blueprint.pki.root.issue())

    def revoked(serial: int) -> bool:
        return parsed.revokes(Certificate._make(certificate)._replace(serial=serial))

    assert all(revoked(serial) for serial in range(1, 21))
    assert not revoked(21)
    assert not revoked(0)


@pytest.mark.parametrize(
    "extension",
    [
        *PARTIAL,
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"),
    ],
    ids=["only changes", "only leaf certificates", "unknown"],
)
def test_a_list_that_does_not_cover_everything_is_refused(
    now: datetime, extension: x509.ExtensionType
) -> None:
    assert parse_crl(crl(now, *PROFILE))
    with pytest.raises(EvidenceError, match="critical"):
        parse_crl(crl(now, *PROFILE, (extension, True)))


@pytest.mark.parametrize("extension", PARTIAL)
def test_a_list_that_is_partial_and_hides_it_is_refused(
    now: datetime, extension: x509.ExtensionType
) -> None:
    with pytest.raises(EvidenceError, match="covers only"):
        parse_crl(crl(now, *PROFILE, (extension, False)))


def test_an_unknown_extension_that_is_not_critical_is_read_over(now: datetime) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    assert parse_crl(crl(now, *PROFILE, (unknown, False)))


@pytest.mark.parametrize("missing", [0, 1], ids=["number", "authority key identifier"])
def test_a_list_without_the_profiles_extensions_is_refused(now: datetime, missing: int) -> None:
    with pytest.raises(EvidenceError, match="lacks"):
        parse_crl(crl(now, PROFILE[1 - missing]))


def test_a_list_without_extensions_is_not_of_the_profile(now: datetime) -> None:
    with pytest.raises(EvidenceError):
        parse_crl(crl(now))


def test_a_list_without_next_update_is_refused(now: datetime) -> None:
    data = bytes.fromhex(crl(now, *PROFILE))
    signed = x509.load_der_x509_crl(data).tbs_certlist_bytes
    next_update = writer.element(0x17, f"{now + timedelta(days=1):%y%m%d%H%M%SZ}".encode())
    assert signed.count(next_update) == 1
    outer, _ = der.expect(data, 0, len(data), der.SEQUENCE)
    content, _ = der.expect(signed, 0, len(signed), der.SEQUENCE)
    rest = data[outer + len(signed) :]
    assert parse_crl(writer.sequence(writer.sequence(signed[content:]), rest).hex())
    shortened = writer.sequence(signed[content:].replace(next_update, b""))
    with pytest.raises(EvidenceError, match="fields of the profile"):
        parse_crl(writer.sequence(shortened, rest).hex())


def test_the_biggest_list_is_read_in_bounded_time(now: datetime) -> None:
    text = crl(now, *PROFILE, entries=2000)
    start = time.perf_counter()
    assert parse_crl(text)
    for garbage in ("0" * MAX_CRL_CHARS, "30" * (MAX_CRL_CHARS // 2), "\n" * MAX_CRL_CHARS):
        with pytest.raises(EvidenceError):
            parse_crl(garbage)
    with pytest.raises(EvidenceError, match="more than"):
        parse_crl("0" * (MAX_CRL_CHARS + 1))
    assert time.perf_counter() - start < 2


@given(st.text(max_size=100), st.binary(max_size=200), st.integers(0, 400), st.integers(1, 255))
def test_damaged_lists_raise_nothing_else(
    collateral: SgxCollateral, text: str, data: bytes, position: int, mask: int
) -> None:
    original = x509.load_pem_x509_crl(collateral.pck_crl.encode()).public_bytes(Encoding.DER)
    damaged = bytearray(original)
    damaged[position % len(damaged)] ^= mask
    for candidate in (text, data.hex(), damaged.hex(), (original[:position] + data).hex()):
        try:
            parse_crl(candidate)
        except EvidenceError:
            continue
