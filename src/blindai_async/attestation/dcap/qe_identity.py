"""QE identity: what Intel's quoting enclaves look like, for SGX and for TDX.

Source: Intel's Provisioning Certification Service API, version 4, "Enclave identity".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from blindai_async.attestation.dcap.json_fields import (
    U16,
    U32,
    hexadecimal,
    integer,
    isv_svn_levels,
)
from blindai_async.attestation.dcap.signed_json import SignedObject, parse_signed_json
from blindai_async.attestation.parsing import EvidenceError, excerpt, parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from blindai_async.attestation.dcap.tcb import IsvSvnLevel
    from blindai_async.attestation.tee import Tee

__all__ = ["QeIdentity", "parse_qe_identity"]

_VERSION: Final = 2
_IDS: Final[dict[Tee, str]] = {"sgx": "QE", "tdx": "TD_QE"}


class QeIdentity(NamedTuple):
    """What Intel's quoting enclave looks like, read but not yet verified.

    Attributes:
        source: the bytes that are signed, and the signature.
        issue_date: when it was issued.
        next_update: when a newer one is due; it counts no longer after that.
        evaluation_number: of Intel's evaluation that it comes from (``tcbEvaluationDataNumber``).
        misc_select: expected MISCSELECT under `misc_select_mask`.
        misc_select_mask: which of its bits count.
        attributes: expected ATTRIBUTES under `attributes_mask`, 16 bytes.
        attributes_mask: which of their bits count.
        mr_signer: the digest of the key that signs it.
        isv_prod_id: its product number.
        levels: from highest to lowest.
    """

    source: SignedObject
    issue_date: datetime
    next_update: datetime
    evaluation_number: int
    misc_select: int
    misc_select_mask: int
    attributes: int
    attributes_mask: int
    mr_signer: bytes
    isv_prod_id: int
    levels: tuple[IsvSvnLevel, ...]


def parse_qe_identity(text: str, tee: Tee) -> QeIdentity:
    """Read the identity, version 2, of the enclave that quotes for this kind; verify nothing.

    Raises:
        EvidenceError: it is malformed, of another version, or of another enclave.
    """
    source = parse_signed_json(text, "enclaveIdentity")
    content = source.content
    version = integer(content, "version", U16)
    if version != _VERSION:
        raise EvidenceError(f"a QE identity of version {version} is not known")
    # Intel signs the identities of its other enclaves with the same key.
    if content.get("id") != _IDS[tee]:
        raise EvidenceError(f"the identity is of {excerpt(content.get('id'))}, not of {_IDS[tee]}")
    return QeIdentity(
        source=source,
        issue_date=parse_timestamp(content.get("issueDate")),
        next_update=parse_timestamp(content.get("nextUpdate")),
        evaluation_number=integer(content, "tcbEvaluationDataNumber", U32),
        misc_select=int.from_bytes(hexadecimal(content, "miscselect", 4), "little"),
        misc_select_mask=int.from_bytes(hexadecimal(content, "miscselectMask", 4), "little"),
        attributes=int.from_bytes(hexadecimal(content, "attributes", 16), "little"),
        attributes_mask=int.from_bytes(hexadecimal(content, "attributesMask", 16), "little"),
        mr_signer=hexadecimal(content, "mrsigner", 32),
        isv_prod_id=integer(content, "isvprodid", U16),
        levels=isv_svn_levels(content),
    )
