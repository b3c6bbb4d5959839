"""Certificates of the SGX profile: what is read, what is refused, and that warnings never arise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509.certificates import (
    CRL_SIGN,
    DIGITAL_SIGNATURE,
    KEY_CERT_SIGN,
    common_name,
    parse_certificate,
    parse_issuer,
    split_chain,
)
from blindai_async.server.tee.emulated import der as writer
from blindai_async.server.tee.emulated import new_key

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated import EmulatedPlatform

P256 = bytes.fromhex("2a8648ce3d030107")


def test_it_reads_what_cryptography_reads(platform: EmulatedPlatform) -> None:
    for name in ("root", "intermediate", "pck", "tcb_signer"):
        [data] = split_chain(platform.blueprint.pki.pem(name))
        ours, theirs = parse_certificate(data), x509.load_der_x509_certificate(data)
        assert ours.der == data
        assert ours.serial == theirs.serial_number
        assert ours.subject == theirs.subject.public_bytes()
        assert ours.issuer == theirs.issuer.public_bytes()
        [common] = theirs.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert ours.name == common.value
        assert ours.signature == theirs.signature
        assert ours.signed_part == theirs.tbs_certificate_bytes
        assert ours.not_before == theirs.not_valid_before_utc
        assert ours.not_after == theirs.not_valid_after_utc
        key = theirs.public_key()
        assert ours.key == key
        assert ours.point == key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        usage = theirs.extensions.get_extension_for_class(x509.KeyUsage).value
        assert ours.key_usage is not None
        assert bool(ours.key_usage & DIGITAL_SIGNATURE) == usage.digital_signature
        assert bool(ours.key_usage & KEY_CERT_SIGN) == usage.key_cert_sign
        assert bool(ours.key_usage & CRL_SIGN) == usage.crl_sign
        basic = theirs.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (ours.is_ca, ours.path_length) == (basic.ca, basic.path_length)


def test_an_issuer_is_read_once(platform: EmulatedPlatform) -> None:
    [data] = split_chain(platform.blueprint.pki.pem("root"))
    assert parse_issuer(data) is parse_issuer(bytes(bytearray(data)))


def test_a_chain_of_too_many_is_refused(platform: EmulatedPlatform) -> None:
    pem = platform.blueprint.pki.pem("root")
    assert len(split_chain(pem * 4)) == 4
    with pytest.raises(EvidenceError, match="more than 4"):
        split_chain(pem * 5)


def rewritten(platform: EmulatedPlatform, old: bytes, new: bytes) -> bytes:
    """The PCK certificate with bytes of the same length replaced everywhere."""
    [data] = split_chain(platform.blueprint.pki.pem("pck"))
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (bytes.fromhex("a003020102"), bytes.fromhex("a003020101")),
        (bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300a06082a8648ce3d040303")),
        (bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300a06062a8648ce3d040500")),
        (P256, P256[:-1] + b"\x08"),
        (bytes.fromhex("0603551d0f0101ff"), bytes.fromhex("0603551d0f010101")),
        (bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f")),
        (bytes.fromhex("0603551d13"), bytes.fromhex("0603551d1e")),
        (bytes.fromhex("0c19496e74656c"), bytes.fromhex("1e19496e74656c")),
        (bytes.fromhex("0c19496e74656c"), bytes.fromhex("0c19496e74ff6c")),
        (bytes.fromhex("0603550403"), bytes.fromhex("060355040a")),
        (bytes.fromhex("060355040a"), bytes.fromhex("0603550403")),
    ],
    ids=[
        "version 2",
        "SHA-384",
        "parameters",
        "another curve",
        "critical not DER",
        "an extension twice",
        "unknown critical",
        "name not a string",
        "name not ASCII",
        "no common name",
        "two common names",
    ],
)
def test_other_forms_are_refused(platform: EmulatedPlatform, old: bytes, new: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse_certificate(rewritten(platform, old, new))


@pytest.mark.parametrize("serial", [b"\x80", b"\xff\x7f", b"\0", b"\0\0\x80", b"\x01" * 21, b""])
def test_serial_numbers_that_are_not_positive_or_too_long_are_refused(
    platform: EmulatedPlatform, serial: bytes
) -> None:
    [data] = split_chain(platform.blueprint.pki.pem("pck"))
    certificate = x509.load_der_x509_certificate(data)
    old = writer.integer(certificate.serial_number)
    signed = certificate.tbs_certificate_bytes
    content = signed[4:].replace(old, writer.element(0x02, serial), 1)
    rest = data[4 + len(signed) :]
    with pytest.raises(EvidenceError):
        parse_certificate(writer.sequence(writer.sequence(content), rest))


def test_compressed_points_and_points_off_the_curve_are_refused(
    platform: EmulatedPlatform,
) -> None:
    [data] = split_chain(platform.blueprint.pki.pem("pck"))
    point = parse_certificate(data).point
    with pytest.raises(EvidenceError):
        parse_certificate(data.replace(point, b"\x02" + point[1:]))
    with pytest.raises(EvidenceError):
        parse_certificate(data.replace(point, point[:-1] + bytes([point[-1] ^ 1])))


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), new_key(ec.SECP384R1())])
def test_other_keys_are_refused(
    platform: EmulatedPlatform, key: ec.EllipticCurvePrivateKey
) -> None:
    changed = platform.with_changes({"pki.tcb_signer.key": key})
    [data] = split_chain(changed.blueprint.pki.pem("tcb_signer", "root"))[:1]
    with pytest.raises(EvidenceError, match="P-256"):
        parse_certificate(data)


@given(st.data())
def test_damaged_certificates_raise_nothing_else(
    platform: EmulatedPlatform, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(["root", "intermediate", "pck", "tcb_signer"]))
    [original] = split_chain(platform.blueprint.pki.pem(name))
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    damaged = (
        damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged
    )
    try:
        parsed = parse_certificate(bytes(damaged))
    except EvidenceError:
        return
    assert parsed.der == damaged


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for parse in (parse_certificate, common_name):
        with pytest.raises(EvidenceError):
            parse(data)
