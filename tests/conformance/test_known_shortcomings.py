"""What well-known verifiers get wrong on the same evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindai_async.errors import NotAnEnclaveError, QuoteValidationError

if TYPE_CHECKING:
    from .conftest import Case, Platforms


def test_tcb_info_of_version_2_is_read(platforms: Platforms) -> None:
    assert '"version":2' in platforms.case(version=2).collateral.tcb_info
    assert platforms.case(version=2).verify().verified


def test_tcb_info_of_version_3_is_read(platforms: Platforms) -> None:
    assert '"version":3' in platforms.case(version=3).collateral.tcb_info
    assert platforms.case(version=3).verify().verified


def test_an_empty_qe_identity_is_refused(sound: Case, real: Case) -> None:
    for case in (sound, real):
        case.but(qe_identity="").refusal(QuoteValidationError, 6)


def test_an_intermediate_without_the_ca_flag_is_refused(platforms: Platforms) -> None:
    change = {"pki.intermediate.ca": False, "pki.intermediate.path_length": None}
    platforms.case(change).refusal(NotAnEnclaveError, 3)


def test_another_pce_id_is_refused(platforms: Platforms) -> None:
    for version in (2, 3):
        platforms.case({"tcb_info.pce_id": b"\x01\0"}, version=version).refusal(
            QuoteValidationError, 5
        )


def test_bytes_after_the_quote_are_refused(sound: Case, real: Case) -> None:
    for case in (sound, real):
        case.but(quote=case.quote + b"\0").refusal(QuoteValidationError, 1)
