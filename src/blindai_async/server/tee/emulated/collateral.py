"""How collateral is handed out: which fields, in what encoding; and evidence as a whole."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from blindai_async.server.tee.emulated import pem
from blindai_async.server.tee.emulated.enclave_report import overwritten

__all__ = [
    "COLLATERAL_FIELDS",
    "Collateral",
    "CollateralLayout",
    "CrlEncoding",
    "Evidence",
    "overridden",
]

Collateral = Mapping[str, str | int]

COLLATERAL_FIELDS = (
    "version",
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "qe_identity_issuer_chain",
    "qe_identity",
    "pck_certificate",
    "pck_signing_chain",
)


class CrlEncoding(Enum):
    """The text in which revocation lists are handed out; services differ."""

    PEM = "PEM"
    HEX_DER = "DER, hexadecimal"
    BASE64_DER = "DER, base64 without armour"

    def encode(self, der: bytes) -> str:
        """Write a revocation list as text."""
        if self is CrlEncoding.PEM:
            return pem.armour(pem.CRL, der)
        return der.hex() if self is CrlEncoding.HEX_DER else base64.b64encode(der).decode()


@dataclass(frozen=True, kw_only=True)
class CollateralLayout:
    """What the collateral message carries. Each field is a knob.

    Attributes:
        version: 3, of the message, not of the TCB info.
        pck_certificate: whether `pck_certificate` and `pck_signing_chain` are filled; where they
            are empty, the chain inside the quote is all that there is.
        crl_encoding: of both revocation lists.
        overrides: values of fields that replace the true ones, such as `{"qe_identity": ""}`.
    """

    version: int = 3
    pck_certificate: bool = True
    crl_encoding: CrlEncoding = CrlEncoding.PEM
    overrides: Collateral = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What a server sends to be believed: the three parts of GetSgxQuoteWithCollateralReply.

    Attributes:
        quote: the quote's bytes.
        collateral: the fields of the SgxCollateral message by name.
        enclave_held_data: what the quote speaks for: the enclave's TLS certificate, DER.
    """

    quote: bytes
    collateral: Collateral
    enclave_held_data: bytes

    def with_collateral(self, **fields: str | int) -> Evidence:
        """Return the same evidence with other collateral fields.

        Raises:
            ValueError: a field is unknown, or has that value already.
        """
        return replace(self, collateral=overridden(self.collateral, fields))

    def with_quote_bytes(self, offset: int, patch: bytes) -> Evidence:
        """Return the same evidence with bytes of the quote overwritten, and not signed again.

        Raises:
            ValueError: the patch lies outside the quote, or changes nothing.
        """
        return replace(self, quote=overwritten(self.quote, ((offset, patch),)))


def overridden(collateral: Collateral, fields: Collateral) -> Collateral:
    """Return collateral with some fields replaced; refuses a replacement that is void."""
    for name, value in fields.items():
        if name not in collateral or collateral[name] == value:
            raise ValueError(f"{name} is unknown, or is no other value")
    return {**collateral, **fields}
