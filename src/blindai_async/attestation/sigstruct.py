"""SIGSTRUCT: what the signer of an SGX enclave says about it, in the ``.sig`` file of a build.

Source: Intel, "Software Developer's Manual", volume 3D, "Enclave Signature Structure (SIGSTRUCT)".
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from blindai_async.attestation.sgx_policy import SgxPolicy

__all__ = ["SIGSTRUCT_SIZE", "SigStruct"]

SIGSTRUCT_SIZE: Final = 1808
"""Bytes of the whole structure: a file of another size is something else."""

_KEY_SIZE: Final = 384
_HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
_HEADER_2: Final = bytes.fromhex("01010000600000006000000001000000")
_DATE: Final = slice(20, 24)
_HEADER_2_PLACE: Final = slice(24, 40)
_MODULUS: Final = slice(128, 128 + _KEY_SIZE)
_EXPONENT: Final = slice(512, 516)
_SIGNATURE: Final = slice(516, 516 + _KEY_SIZE)
_BODY: Final = slice(900, 1028)
_REQUIRED_EXPONENT: Final = 3

# MISCSELECT and its mask, CET and family id (skipped), ATTRIBUTES and their mask, ENCLAVEHASH, a
# gap with the extended product id (skipped), ISVPRODID, ISVSVN: bytes 900 to 1027.
_FIELDS: Final = struct.Struct("<II20xQQQQ32s32xHH")

_INIT: Final = 0x1
_DEBUG: Final = 0x2


@dataclass(frozen=True, slots=True)
class SigStruct:
    """What an enclave has to be so that a processor starts it under this signature.

    Attributes:
        mr_enclave: the measurement of the enclave's code, 32 bytes.
        mr_signer: SHA-256 of the signing key's modulus, 32 bytes.
        isv_prod_id: the signer's product number.
        isv_svn: the signer's security version of the product.
        attributes_flags: the flags that the enclave has to have, under their mask.
        attributes_xfrm: the processor state that it has to use, under its mask.
        attributes_mask_flags: which flags count.
        attributes_mask_xfrm: which bits of XFRM count.
        misc_select: the MISCSELECT that it has to have, under its mask.
        misc_mask: which bits of MISCSELECT count.
        signed_on: the date that the signer has entered; None where it is no date.
    """

    mr_enclave: bytes
    mr_signer: bytes
    isv_prod_id: int
    isv_svn: int
    attributes_flags: int
    attributes_xfrm: int
    attributes_mask_flags: int
    attributes_mask_xfrm: int
    misc_select: int
    misc_mask: int
    signed_on: date | None

    @classmethod
    def from_bytes(cls, content: bytes) -> SigStruct:
        """Read the content of a ``.sig`` file, and verify that its own key has signed it.

        Whose key that is, it does not say: compare `mr_signer` with the one that you expect.

        Args:
            content: the whole file, 1808 bytes.

        Raises:
            ValueError: it is not a SIGSTRUCT, or was changed after it was signed.
        """
        if len(content) != SIGSTRUCT_SIZE:
            raise ValueError(f"a SIGSTRUCT has {SIGSTRUCT_SIZE} bytes, not {len(content)}")
        if content[: len(_HEADER)] != _HEADER or content[_HEADER_2_PLACE] != _HEADER_2:
            raise ValueError("it does not begin as a SIGSTRUCT does")
        _verify_signature(content)
        misc, misc_mask, flags, xfrm, mask_flags, mask_xfrm, measured, product, svn = (
            _FIELDS.unpack(content[_BODY])
        )
        return cls(
            mr_enclave=measured,
            mr_signer=hashlib.sha256(content[_MODULUS]).digest(),
            isv_prod_id=product,
            isv_svn=svn,
            attributes_flags=flags,
            attributes_xfrm=xfrm,
            attributes_mask_flags=mask_flags,
            attributes_mask_xfrm=mask_xfrm,
            misc_select=misc,
            misc_mask=misc_mask,
            signed_on=_date(content[_DATE]),
        )

    @property
    def debug(self) -> bool:
        """Whether only an enclave in debug mode starts under this signature."""
        return bool(self.attributes_flags & self.attributes_mask_flags & _DEBUG)

    def policy(self, *, allow_debug: bool = False) -> SgxPolicy:
        """Make the policy that accepts this enclave, from this security version on.

        Args:
            allow_debug: accept an enclave whose host can read its memory. Never for real data.

        Raises:
            ValueError: the signature is for a debug enclave, and `allow_debug` is False.
        """
        if self.debug and not allow_debug:
            raise ValueError("it was built in debug mode, in which its host can read its memory")
        # The processor sets INIT when the enclave starts, after it has compared the attributes; a
        # running one without it does not exist, and a mask that leaves it out would accept none.
        mask_flags = self.attributes_mask_flags | _INIT
        content: dict[str, Any] = {
            "mr_enclave": self.mr_enclave,
            "misc_select_hex": hex(self.misc_select & self.misc_mask),
            "misc_mask_hex": hex(self.misc_mask),
            "attributes_flags_hex": hex(self.attributes_flags & mask_flags),
            "attributes_xfrm_hex": hex(self.attributes_xfrm & self.attributes_mask_xfrm),
            "attributes_mask_flags_hex": hex(mask_flags),
            "attributes_mask_xfrm_hex": hex(self.attributes_mask_xfrm),
            "allow_debug": allow_debug,
            "mr_signer": self.mr_signer,
            "isv_prod_id": self.isv_prod_id,
            "min_isv_svn": self.isv_svn,
        }
        return SgxPolicy.model_validate(content)


def _verify_signature(content: bytes) -> None:
    """Verify RSA-3072 with exponent 3 over header and body, PKCS #1 v1.5 with SHA-256."""
    exponent = int.from_bytes(content[_EXPONENT], "little")
    if exponent != _REQUIRED_EXPONENT:
        raise ValueError(f"its key has the exponent {exponent}; processors take 3 alone")
    modulus = int.from_bytes(content[_MODULUS], "little")
    if modulus.bit_length() != 8 * _KEY_SIZE:
        raise ValueError(f"its key has {modulus.bit_length()} bits, not {8 * _KEY_SIZE}")
    signature = int.from_bytes(content[_SIGNATURE], "little").to_bytes(_KEY_SIZE, "big")
    signed = content[: _MODULUS.start] + content[_BODY]
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as error:
        raise ValueError("its signature does not hold: it was changed, or never signed") from error


def _date(field: bytes) -> date | None:
    """Read a date whose decimal digits stand as hex digits, year first."""
    digits = f"{int.from_bytes(field, 'little'):08x}"
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
