"""Chains, issuers and revocation lists together: who may stand where, and in which order."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from blindai_async.errors import EnclaveHeldDataError, NotAnEnclaveError, QuoteValidationError
from blindai_async.server.tee.emulated import CrlEncoding, new_key, reformatted

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Case, Platforms

KEY = new_key()


def test_revoked_certificates_are_refused(platforms: Platforms) -> None:
    pki = platforms.sound[3].blueprint.pki

    def case(crl: str, serial: int) -> Case:
        return platforms.case({f"crls.{crl}.revoked": (1, serial, 2**158)})

    case("pck", pki.pck.serial_number).refusal(NotAnEnclaveError, 4)
    case("root", pki.intermediate.serial_number).refusal(NotAnEnclaveError, 4)
    assert case("pck", pki.pck.serial_number + 1).verify().verified
    # A list speaks only of the certificates that its own issuer has issued.
    assert case("pck", pki.intermediate.serial_number).verify().verified
    assert case("root", pki.pck.serial_number).verify().verified


def test_a_root_on_its_own_revocation_list_is_refused(platforms: Platforms) -> None:
    root = platforms.sound[3].blueprint.pki.root.serial_number
    platforms.case({"crls.root.revoked": (root,)}).refusal(NotAnEnclaveError, 4)


def test_a_purpose_that_the_profile_does_not_know_restricts_nothing(platforms: Platforms) -> None:
    server_authentication = bytes.fromhex("300a06082b06010505070301")
    change = {"pki.pck.extra_extensions": (("2.5.29.37", False, server_authentication),)}
    assert platforms.case(change).verify().verified


@pytest.mark.parametrize("order", list(permutations(("pck", "intermediate", "root"))))
def test_the_order_of_a_chain_says_nothing_about_it(
    platforms: Platforms, order: tuple[str, ...]
) -> None:
    sound = platforms.case()
    pki = platforms.sound[3].blueprint.pki
    chain = pki.pem(*order)
    quoted = platforms.case({"quote.certification_data": chain.encode()})
    assert quoted.verify().tcb_status is sound.verify().tcb_status
    assert quoted.but(pck_certificate="", pck_signing_chain="").verify().verified
    first, *rest = order
    swapped = {"pck_certificate": pki.pem(first), "pck_signing_chain": pki.pem(*rest)}
    assert sound.but(**swapped).verify().verified


def test_issuers_may_stand_in_any_order_but_not_in_any_number(platforms: Platforms) -> None:
    sound, pki = platforms.case(), platforms.sound[3].blueprint.pki
    reversed_chains = {
        "pck_crl_issuer_chain": pki.pem("root", "intermediate"),
        "tcb_info_issuer_chain": pki.pem("root", "tcb_signer"),
        "qe_identity_issuer_chain": pki.pem("root", "tcb_signer"),
    }
    assert sound.but(**reversed_chains).verify().verified
    for chain in (
        pki.pem("root"),
        pki.pem("root", "root"),
        pki.pem("tcb_signer", "tcb_signer"),
        pki.pem("tcb_signer", "root", "root"),
        pki.pem("tcb_signer", "intermediate", "root"),
    ):
        sound.but(tcb_info_issuer_chain=chain).refusal(QuoteValidationError, 5)


def test_signatures_of_a_root_are_remembered_only_where_they_held(platforms: Platforms) -> None:
    """What was proven once in a process must not prove anything else."""
    sound = platforms.case()
    assert sound.verify().verified
    forged = platforms.case({"pki.intermediate.signing_key": KEY})
    for _ in range(2):
        forged.refusal(NotAnEnclaveError, 3)
    crl = platforms.case({"crls.root.signing_key": KEY})
    for _ in range(2):
        crl.refusal(NotAnEnclaveError, 4)
    signer = platforms.case({"pki.tcb_signer.signing_key": KEY})
    for _ in range(2):
        signer.refusal(QuoteValidationError, 5)


def test_a_revoked_tcb_signer_fails_step_4_but_is_no_forged_enclave(platforms: Platforms) -> None:
    signer = platforms.sound[3].blueprint.pki.tcb_signer.serial_number
    platforms.case({"crls.root.revoked": (signer,)}).refusal(QuoteValidationError, 4)


def test_the_revocation_lists_cannot_stand_for_each_other(platforms: Platforms) -> None:
    sound = platforms.case()
    for name, other in (("pck_crl", "root_ca_crl"), ("root_ca_crl", "pck_crl")):
        sound.but(**{name: getattr(sound.collateral, other)}).refusal(NotAnEnclaveError, 4)


def test_the_pck_revocation_list_must_be_of_the_pcks_own_ca(platforms: Platforms) -> None:
    other = platforms.case({"pki.intermediate.key": KEY}).collateral
    platforms.case().but(
        pck_crl=other.pck_crl, pck_crl_issuer_chain=other.pck_crl_issuer_chain
    ).refusal(NotAnEnclaveError, 4)
    platforms.case().but(pck_crl_issuer_chain=other.pck_crl_issuer_chain).refusal(
        NotAnEnclaveError, 4
    )


def test_a_renewed_certificate_of_the_same_ca_may_issue_the_list(platforms: Platforms) -> None:
    renewed = platforms.case({"pki.intermediate.serial_number": 7}).collateral
    case = platforms.case().but(pck_crl_issuer_chain=renewed.pck_crl_issuer_chain)
    assert case.verify().verified
    revoked = platforms.case({"crls.root.revoked": (7,)}).collateral
    case.but(root_ca_crl=revoked.root_ca_crl).refusal(NotAnEnclaveError, 4)


@pytest.mark.parametrize(
    "shorten",
    [
        lambda collateral: {"pck_signing_chain": collateral.tcb_info_issuer_chain},
        lambda collateral: {"pck_signing_chain": collateral.pck_signing_chain * 2},
        lambda collateral: {"pck_certificate": collateral.pck_certificate * 2},
    ],
    ids=["another CA", "too long", "the leaf twice"],
)
def test_the_pck_chain_has_exactly_its_three_certificates(
    platforms: Platforms, shorten: Callable[..., dict[str, str]]
) -> None:
    case = platforms.case({"quote.certification_type": 1})
    assert case.verify().verified
    with pytest.raises(NotAnEnclaveError) as caught:
        case.but(**shorten(case.collateral)).verify()
    assert caught.value.step in {2, 3}


def test_two_different_pck_chains_are_refused(platforms: Platforms) -> None:
    other = platforms.case({"pki.pck.serial_number": 7}).collateral
    case = platforms.case().but(pck_certificate=other.pck_certificate)
    case.refusal(NotAnEnclaveError, 3)
    renewed = platforms.case({"pki.pck.serial_number": 7, "quote.certification_type": 1})
    assert renewed.verify().verified


def test_the_signer_of_the_qe_identity_is_the_tcb_infos(platforms: Platforms) -> None:
    other = platforms.case({"pki.tcb_signer.key": KEY}).collateral
    platforms.case().but(
        qe_identity=other.qe_identity, qe_identity_issuer_chain=other.qe_identity_issuer_chain
    ).refusal(QuoteValidationError, 6)


def test_a_tcb_signing_chain_under_another_root_is_refused(platforms: Platforms) -> None:
    other = platforms.case(version=2).collateral
    case = platforms.case()
    case.but(tcb_info_issuer_chain=other.tcb_info_issuer_chain).refusal(QuoteValidationError, 5)
    case.but(qe_identity_issuer_chain=other.qe_identity_issuer_chain).refusal(
        QuoteValidationError, 6
    )
    case.but(pck_crl_issuer_chain=other.pck_crl_issuer_chain).refusal(NotAnEnclaveError, 4)


def test_a_quote_is_bound_to_the_data_that_it_was_made_for(sound: Case) -> None:
    for other in (b"", sound.enclave_held_data + b"\0", sound.enclave_held_data[1:]):
        sound.but(enclave_held_data=other).refusal(EnclaveHeldDataError, 12)


def test_report_and_header_cannot_be_changed_after_signing(sound: Case) -> None:
    for offset in (8, 10, 28, 48, 112, 200, 304, 368, 431):
        quote = bytearray(sound.quote)
        quote[offset] ^= 1
        expected = EnclaveHeldDataError if offset == 1000 else QuoteValidationError
        sound.but(quote=bytes(quote)).refusal(expected, 9)
    # What the QE report vouches for is covered by the PCK's signature.
    for offset in (436 + 64, 436 + 128, 436 + 512, 436 + 576 + 2):
        quote = bytearray(sound.quote)
        quote[offset] ^= 1
        sound.but(quote=bytes(quote)).refusal(QuoteValidationError, 7)


def test_an_attestation_key_that_is_no_point_is_refused(platforms: Platforms) -> None:
    platforms.case({"quoting_enclave.announced_key": b"\x01" * 64}).refusal(QuoteValidationError, 9)


def test_revocation_lists_in_hex_are_read(platforms: Platforms) -> None:
    case = platforms.case({"collateral.crl_encoding": CrlEncoding.HEX_DER})
    assert case.verify().verified
    upper = {name: getattr(case.collateral, name).upper() for name in ("pck_crl", "root_ca_crl")}
    assert case.but(**upper).verify().verified


def test_a_processor_ca_certifies_platforms_without_instance(platforms: Platforms) -> None:
    change = {
        "pki.intermediate.subject": "Intel SGX PCK Processor CA",
        "pki.pck.sgx_extension.platform_instance_id": None,
        "pki.pck.sgx_extension.configuration": None,
    }
    assert platforms.case(change).verify().verified


def test_the_other_encodings_of_sound_evidence_are_accepted(platforms: Platforms) -> None:
    plain = platforms.case()
    for change in (
        {"tcb_info.before_signing": reformatted},
        {"qe_identity.before_signing": reformatted},
        {"collateral.pck_certificate": False},
        {"quote.certification_type": 1, "quote.certification_data": b"PPID"},
    ):
        assert platforms.case(change).verify().tcb_status is plain.verify().tcb_status
    signature_first = plain.collateral.tcb_info[1:-1].rpartition(",")
    assert plain.but(tcb_info=f"{{{signature_first[2]}, {signature_first[0]} }}\n").verify()


def test_the_pck_chain_may_end_as_a_c_string(platforms: Platforms) -> None:
    collateral = platforms.case().collateral
    chain = (collateral.pck_certificate + collateral.pck_signing_chain).encode()
    for end, fine in ((b"\0", True), (b"\0\0", False), (b"\n\0\n", False)):
        case = platforms.case({"quote.certification_data": chain + end})
        if fine:
            assert case.verify().verified
        else:
            case.refusal(NotAnEnclaveError, 3)
