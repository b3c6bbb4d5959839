"""Issued revocation lists, read by `cryptography`."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography import x509
from spoiling import with_last_bit_flipped

from blindai_async.server.tee.emulated import CrlEncoding, new_key

FIELDS = {"root": ("root_ca_crl", "root"), "pck": ("pck_crl", "intermediate")}


def crl(platform, name):
    return x509.load_pem_x509_crl(platform.collateral()[FIELDS[name][0]].encode())


def issuer(platform, name):
    return x509.load_pem_x509_certificate(platform.blueprint.pki.pem(FIELDS[name][1]).encode())


@pytest.mark.parametrize("name", FIELDS)
def test_a_list_is_signed_by_its_issuer_revokes_nobody_and_is_current(platform, now, name):
    issued, authority = crl(platform, name), issuer(platform, name)
    assert issued.issuer == authority.subject
    assert issued.is_signature_valid(authority.public_key())
    assert list(issued) == []
    assert issued.last_update_utc < now < issued.next_update_utc


def test_extensions_are_those_of_a_real_list(platform, real_attestation):
    real = x509.load_pem_x509_crl(real_attestation.collateral.pck_crl.encode())
    ours = crl(platform, "pck")
    assert [(e.oid, e.critical) for e in ours.extensions] == [
        (e.oid, e.critical) for e in real.extensions
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_a_list_can_revoke_expire_and_come_from_somebody_else(platform, now, name):
    first, last = now - timedelta(hours=2), now - timedelta(hours=1)
    spoiled = platform.with_changes(
        {
            f"crls.{name}.last_update": first,
            f"crls.{name}.next_update": last,
            f"crls.{name}.revoked": (7, 8),
            f"crls.{name}.issuer": "Intel SGX Nobody",
            f"crls.{name}.number": 2,
        }
    )
    issued = crl(spoiled, name)
    assert (issued.last_update_utc, issued.next_update_utc) == (first, last)
    assert [entry.serial_number for entry in issued] == [7, 8]
    assert "Intel SGX Nobody" in issued.issuer.rfc4514_string()
    assert issued.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    "change", [("signing_key", new_key()), ("after_signing", with_last_bit_flipped)]
)
def test_a_forged_or_tampered_list_does_not_verify(platform, name, change):
    knob, value = change
    spoiled = platform.with_changes({f"crls.{name}.{knob}": value})
    assert not crl(spoiled, name).is_signature_valid(issuer(spoiled, name).public_key())


def test_a_list_can_be_signed_with_another_hash(platform):
    spoiled = platform.with_changes({"crls.pck.hash_name": "sha512"})
    assert crl(spoiled, "pck").signature_hash_algorithm.name == "sha512"


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [(CrlEncoding.HEX_DER, bytes.fromhex), (CrlEncoding.BASE64_DER, base64.b64decode)],
)
def test_lists_can_be_handed_out_without_armour(platform, encoding, decode):
    bare = platform.with_changes({"collateral.crl_encoding": encoding}).collateral()
    armoured = platform.collateral()
    for field, _ in FIELDS.values():
        issued = x509.load_der_x509_crl(decode(bare[field]))
        assert issued == x509.load_pem_x509_crl(armoured[field].encode())


def test_extensions_can_lack_and_be_others(platform):
    delta = ("2.5.29.27", False, b"\x02\x01\x01")
    spoiled = platform.with_changes(
        {
            "crls.root.omitted_extensions": frozenset({"2.5.29.20"}),
            "crls.root.extra_extensions": (delta,),
        }
    )
    extensions = [(e.oid.dotted_string, e.critical) for e in crl(spoiled, "root").extensions]
    assert extensions == [("2.5.29.35", False), ("2.5.29.27", False)]
    assert crl(spoiled, "root").is_signature_valid(issuer(spoiled, "root").public_key())
