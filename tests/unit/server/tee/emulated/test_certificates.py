"""Issued certificates, read by `cryptography`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.server.tee.emulated import CA_USAGE, LEAF_USAGE, EmulatedPlatform, new_key
from blindai_async.server.tee.emulated.identity import PckCa, PlatformIdentity

ISSUERS = {"root": "root", "intermediate": "root", "pck": "intermediate", "tcb_signer": "root"}


def certificate(platform, name):
    return x509.load_pem_x509_certificate(platform.blueprint.pki.pem(name).encode())


def common_name(name):
    return name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def extension(cert, kind):
    return cert.extensions.get_extension_for_class(kind).value


@pytest.mark.parametrize(("name", "issuer"), ISSUERS.items())
def test_each_certificate_is_issued_by_the_one_above_it(platform, name, issuer):
    subject, authority = certificate(platform, name), certificate(platform, issuer)
    subject.verify_directly_issued_by(authority)
    identifier = extension(subject, x509.AuthorityKeyIdentifier).key_identifier
    assert identifier == extension(authority, x509.SubjectKeyIdentifier).digest


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("root", "Intel SGX Root CA"),
        ("intermediate", "Intel SGX PCK Platform CA"),
        ("pck", "Intel SGX PCK Certificate"),
        ("tcb_signer", "Intel SGX TCB Signing"),
    ],
)
def test_names_are_those_of_the_profile_and_the_organization_tells_the_truth(
    platform, name, subject
):
    cert = certificate(platform, name)
    assert common_name(cert.subject) == subject
    organization = cert.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value
    assert "mulated" in organization
    assert organization.endswith("not Intel")


def test_a_processor_ca_certifies_without_the_platform_members(now):
    platform = EmulatedPlatform(identity=PlatformIdentity(pck_ca=PckCa.PROCESSOR), now=now)
    assert common_name(certificate(platform, "pck").issuer) == "Intel SGX PCK Processor CA"
    assert platform.blueprint.pki.pck.sgx_extension.platform_instance_id is None


@pytest.mark.parametrize(
    ("name", "real_chain"),
    [
        ("root", "tcb_info_issuer_chain"),
        ("tcb_signer", "tcb_info_issuer_chain"),
        ("intermediate", "pck_signing_chain"),
        ("pck", "pck_certificate"),
    ],
)
def test_extensions_are_those_of_the_real_certificate_of_the_same_name(
    platform, real_attestation, name, real_chain
):
    ours = certificate(platform, name)
    chain = getattr(real_attestation.collateral, real_chain).encode()
    real = next(
        cert
        for cert in x509.load_pem_x509_certificates(chain)
        if common_name(cert.subject) == common_name(ours.subject)
    )
    assert [(e.oid, e.critical) for e in ours.extensions] == [
        (e.oid, e.critical) for e in real.extensions
    ]
    for kind in (x509.BasicConstraints, x509.KeyUsage):
        assert extension(ours, kind) == extension(real, kind)
    assert [a.oid for a in ours.subject] == [a.oid for a in real.subject]


@pytest.mark.parametrize("name", ISSUERS)
def test_validity_is_what_a_change_says(platform, now, name):
    first, last = now - timedelta(hours=1), now + timedelta(hours=1)
    spoiled = platform.with_changes(
        {f"pki.{name}.not_before": first, f"pki.{name}.not_after": last}
    )
    cert = certificate(spoiled, name)
    assert (cert.not_valid_before_utc, cert.not_valid_after_utc) == (first, last)


@pytest.mark.parametrize("name", ISSUERS)
def test_a_forged_certificate_does_not_verify(platform, name):
    forged = platform.with_changes({f"pki.{name}.signing_key": new_key()})
    with pytest.raises(InvalidSignature):
        certificate(forged, name).verify_directly_issued_by(certificate(forged, ISSUERS[name]))


def test_a_ca_can_lose_its_flag_its_limit_and_its_usage(platform):
    def constraints(changes):
        spoiled = platform.with_changes(changes)
        return extension(certificate(spoiled, "intermediate"), x509.BasicConstraints)

    assert constraints({"pki.intermediate.ca": False}).ca is False
    assert constraints({"pki.intermediate.path_length": None}).path_length is None
    assert constraints({"pki.intermediate.path_length": 3}).path_length == 3
    with pytest.raises(x509.ExtensionNotFound):
        constraints({"pki.intermediate.ca": None})
    spoiled = platform.with_changes({"pki.intermediate.key_usage": LEAF_USAGE})
    assert not extension(certificate(spoiled, "intermediate"), x509.KeyUsage).key_cert_sign


def test_a_leaf_can_claim_to_be_a_ca(platform):
    spoiled = platform.with_changes({"pki.pck.ca": True, "pki.pck.key_usage": CA_USAGE})
    cert = certificate(spoiled, "pck")
    assert extension(cert, x509.BasicConstraints).ca
    assert extension(cert, x509.KeyUsage).key_cert_sign


def test_names_curve_hash_and_other_extensions_can_be_wrong(platform):
    spoiled = platform.with_changes(
        {
            "pki.pck.subject": "Somebody",
            "pki.pck.issuer": "Nobody",
            "pki.pck.key": new_key(ec.SECP384R1()),
            "pki.pck.hash_name": "sha384",
            "pki.pck.key_identifiers": False,
            "pki.pck.crl_distribution_point": None,
            "pki.pck.key_usage": None,
            "pki.pck.sgx_extension": None,
            "pki.pck.extra_extensions": (("1.2.3.4", True, b"\x05\x00"),),
        }
    )
    cert = certificate(spoiled, "pck")
    assert (common_name(cert.subject), common_name(cert.issuer)) == ("Somebody", "Nobody")
    assert isinstance(cert.public_key().curve, ec.SECP384R1)
    assert cert.signature_hash_algorithm.name == "sha384"
    assert [(e.oid.dotted_string, e.critical) for e in cert.extensions] == [
        ("2.5.29.19", True),
        ("1.2.3.4", True),
    ]


def test_an_issued_certificate_can_be_tampered_with(platform):
    spoiled = platform.with_changes({"pki.pck.after_signing": lambda der: der[:-1] + b"\x00"})
    assert spoiled.blueprint.pki.pck.issue(spoiled.blueprint.pki.intermediate)[-1] == 0


def test_the_same_template_by_the_same_issuer_is_the_same_certificate(platform):
    pki = platform.blueprint.pki
    assert pki.pck.issue(pki.intermediate) is pki.pck.issue(pki.intermediate)
    assert pki.pck.issue(pki.intermediate) != pki.pck.issue(replace(pki.intermediate, subject="x"))


def test_a_template_shows_no_key(platform):
    assert "PrivateKey" not in repr(platform.blueprint)


def test_serial_numbers_are_positive_and_fit_twenty_bytes():
    for _ in range(20):
        pki = EmulatedPlatform().blueprint.pki
        for template in (pki.root, pki.intermediate, pki.pck, pki.tcb_signer):
            assert 0 < template.serial_number < 1 << 159


def test_any_extension_can_lack(platform):
    key_identifier = x509.SubjectKeyIdentifier.oid.dotted_string
    spoiled = platform.with_changes({"pki.pck.omitted_extensions": frozenset({key_identifier})})
    before, after = (
        [extension.oid.dotted_string for extension in issued.extensions]
        for issued in (
            x509.load_pem_x509_certificate(each.blueprint.pki.pem("pck").encode())
            for each in (platform, spoiled)
        )
    )
    assert after == [oid for oid in before if oid != key_identifier]
    assert key_identifier in before
