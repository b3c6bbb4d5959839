"""SIGSTRUCT: every field from its place, its signature verified, a policy that fits."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigstruct_builder import MR_ENCLAVE, modulus, sigstruct

from blindai_async.attestation import (
    Policy,
    SgxClaims,
    SgxCollateral,
    TrustRoot,
    verify_claims,
    verify_dcap_attestation,
)
from blindai_async.attestation.sigstruct import SigStruct
from blindai_async.errors import AttestationError, DebugNotAllowedError
from blindai_async.server.tee.emulated import EmulatedPlatform

# An emulated platform's root is not Intel's, which is said each time.
pytestmark = pytest.mark.filterwarnings("ignore::blindai_async.errors.UntrustedRootWarning")

HELD = b"held"
EXPONENT = 512
SIGNED = (*range(128), *range(900, 1028))


def claims_of(**of_the_enclave: Any) -> SgxClaims:
    """Proven claims of the enclave that `sigstruct()` is of, with some of its values changed."""
    platform = EmulatedPlatform(mr_enclave=MR_ENCLAVE)
    evidence = platform.evidence(HELD)
    claims = verify_dcap_attestation(
        evidence.quote,
        SgxCollateral(**evidence.collateral),
        HELD,
        trust_root=TrustRoot.from_pem(platform.root_pem),
    )
    signer = hashlib.sha256(modulus()).digest()
    own = {"mr_signer": signer, "isv_prod_id": 7, "isv_svn": 3, "attributes": attributes(0x5, 0x3)}
    return claims.model_copy(update=own | of_the_enclave)


def attributes(flags: int, xfrm: int) -> bytes:
    return flags.to_bytes(8, "little") + xfrm.to_bytes(8, "little")


def test_every_field_is_read_from_its_place() -> None:
    content = sigstruct(
        flags=0x14, xfrm=0xE7, mask_flags=0x1234, mask_xfrm=0x5678, misc=0x9, misc_mask=0xABCD,
        product=0x0102, svn=0x0304,
    )  # fmt: skip
    assert dataclasses.asdict(SigStruct.from_bytes(content)) == {
        "mr_enclave": MR_ENCLAVE,
        "mr_signer": hashlib.sha256(modulus()).digest(),
        "isv_prod_id": 0x0102,
        "isv_svn": 0x0304,
        "attributes_flags": 0x14,
        "attributes_xfrm": 0xE7,
        "attributes_mask_flags": 0x1234,
        "attributes_mask_xfrm": 0x5678,
        "misc_select": 0x9,
        "misc_mask": 0xABCD,
        "signed_on": date(2026, 11, 24),
    }


@pytest.mark.parametrize("field", [0, 0x20261345, 0xABCDEF01])
def test_a_date_that_is_none_is_absent(field: int) -> None:
    assert SigStruct.from_bytes(sigstruct(date=field)).signed_on is None


@given(place=st.sampled_from(SIGNED), bit=st.integers(0, 7))
def test_no_signed_bit_can_be_changed(place: int, bit: int) -> None:
    content = bytearray(sigstruct())
    content[place] ^= 1 << bit
    with pytest.raises(ValueError, match=r"begin as|does not hold"):
        SigStruct.from_bytes(bytes(content))


@pytest.mark.parametrize("place", [128, 300, 516, 700])
def test_another_key_or_signature_does_not_hold(place: int) -> None:
    content = bytearray(sigstruct())
    content[place] ^= 0x10
    with pytest.raises(ValueError, match="does not hold"):
        SigStruct.from_bytes(bytes(content))


def test_another_exponent_is_refused() -> None:
    content = bytearray(sigstruct())
    content[EXPONENT : EXPONENT + 4] = (1).to_bytes(4, "little")
    with pytest.raises(ValueError, match="exponent 1"):
        SigStruct.from_bytes(bytes(content))


def test_an_empty_key_is_refused() -> None:
    content = bytearray(sigstruct())
    content[128:512] = bytes(384)
    with pytest.raises(ValueError, match="0 bits"):
        SigStruct.from_bytes(bytes(content))


@given(st.binary(max_size=1810))
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="SIGSTRUCT"):
        SigStruct.from_bytes(content)


@pytest.mark.parametrize("mask", [0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFC])
def test_the_policy_accepts_the_running_enclave(mask: int) -> None:
    """A mask may leave INIT out: the processor sets it only when the enclave starts."""
    policy = SigStruct.from_bytes(sigstruct(mask_flags=mask)).policy()
    verify_claims(claims_of(), Policy.from_str(policy.to_toml()))
    verify_claims(claims_of(isv_svn=4), policy)


@pytest.mark.parametrize(
    "changed",
    [
        {"mr_enclave": bytes(32)},
        {"mr_signer": bytes(32)},
        {"isv_prod_id": 8},
        {"isv_svn": 2},
        {"attributes": attributes(0x15, 0x3)},
        {"attributes": attributes(0x5, 0x13)},
        {"misc_select": 1},
    ],
)
def test_the_policy_refuses_any_other(changed: dict[str, Any]) -> None:
    policy = SigStruct.from_bytes(sigstruct()).policy()
    with pytest.raises(AttestationError):
        verify_claims(claims_of(**changed), policy)


def test_debug_mode_is_refused_where_the_mask_leaves_it_open() -> None:
    policy = SigStruct.from_bytes(sigstruct(mask_flags=0xFFFFFFFFFFFFFFFD)).policy()
    with pytest.raises(DebugNotAllowedError):
        verify_claims(claims_of(debug=True, attributes=attributes(0x7, 0x3)), policy)


def test_a_debug_build_needs_a_word() -> None:
    built = SigStruct.from_bytes(sigstruct(flags=0x6))
    with pytest.raises(ValueError, match="debug mode"):
        built.policy()
    policy = built.policy(allow_debug=True)
    verify_claims(claims_of(debug=True, attributes=attributes(0x7, 0x3)), policy)
