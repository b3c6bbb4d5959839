"""Certificate chains: from a leaf, through its issuers, up to the root that the user trusts."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from blindai_async.attestation.lru import LeastRecentlyUsed
from blindai_async.attestation.parsing import EvidenceError, excerpt
from blindai_async.attestation.x509.certificates import (
    CRL_SIGN,
    DIGITAL_SIGNATURE,
    KEY_CERT_SIGN,
    Certificate,
    parse_issuer,
    split_issuers,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from blindai_async.attestation.x509.crl import RevocationList
    from blindai_async.attestation.x509.trust_root import TrustRoot
    from blindai_async.attestation.x509.validity import Validity

__all__ = [
    "PCK",
    "PCK_CAS",
    "PLATFORM_CA",
    "TCB_SIGNER",
    "ChainVerifier",
    "in_order",
    "read_issuers",
]

PCK: Final = "Intel SGX PCK Certificate"
PLATFORM_CA: Final = "Intel SGX PCK Platform CA"
PCK_CAS: Final = frozenset({PLATFORM_CA, "Intel SGX PCK Processor CA"})
TCB_SIGNER: Final = "Intel SGX TCB Signing"


_PROVEN: Final[LeastRecentlyUsed[bool]] = LeastRecentlyUsed(256)
"""Signatures of one issuer's key for another issuer's, or for the root's CRL, that have held."""


def read_issuers(pem: str) -> list[Certificate]:
    """Read every certificate of an issuers' PEM chain, leaf first and root last."""
    return in_order([parse_issuer(certificate) for certificate in split_issuers(pem)])


def in_order(chain: list[Certificate]) -> list[Certificate]:
    """Bring a chain into its order: each certificate before its issuer, the root last.

    The order in which a chain is written says nothing about it (genuine quotes exist in which the
    root stands before the CA). Where names do not make one chain of all, it is returned as it
    stands: the verification says what is wrong with it.
    """
    if all(one.issuer == issuer.subject for one, issuer in pairwise(chain)):
        return chain
    below = {one.issuer: one for one in chain if not one.is_self_issued}
    ordered = [one for one in chain if one.is_self_issued]
    while ordered and (subject := below.pop(ordered[0].subject, None)) is not None:
        ordered.insert(0, subject)
    return ordered if len(ordered) == len(chain) else chain


class ChainVerifier:
    """Verifies the chains of one piece of evidence under one root, at one moment.

    The same few certificates stand in several of the chains: each signature is checked once. That
    an issuer's key has signed another issuer's certificate, or the root's revocation list, is a
    fact without a date: once in a process is enough. All methods raise `EvidenceError`.
    """

    def __init__(self, trust_root: TrustRoot, validity: Validity) -> None:
        self._trust_root = trust_root
        self._validity = validity
        self._roots: set[bytes] = set()
        self._signed: set[tuple[bytes, bytes]] = set()

    def verify_root(self, root: Certificate) -> None:
        """Demand the trusted root: its public key, its name, signed by itself."""
        if root.der in self._roots:
            return
        trusted = self._trust_root
        if root.point != trusted.point:
            raise EvidenceError(
                f"the root {excerpt(root.name)} has another key than {trusted.name!a}: "
                f"{root.point.hex()}"
            )
        if root.name != trusted.common_name:
            raise EvidenceError(f"the root's name is {excerpt(root.name)}")
        # That the pinned certificate itself is signed by itself is known.
        pinned = hashlib.sha256(root.der).digest() == trusted.fingerprint
        if not pinned and not root.is_signed_by(root):
            raise EvidenceError("the root is not signed by itself")
        self._roots.add(root.der)

    def verify_chain(
        self, chain: Sequence[Certificate], *names: Collection[str], leaf_is_ca: bool = False
    ) -> None:
        """Demand a sound chain up to the trusted root.

        Args:
            chain: leaf first, root last.
            names: which common names each certificate below the root may have, leaf first.
            leaf_is_ca: whether the chain is a CA's own, and so may begin with one.
        """
        if len(chain) != len(names) + 1:
            raise EvidenceError(f"there are {len(chain)} certificates, not {len(names) + 1}")
        self.verify_root(chain[-1])
        for certificate, allowed in zip(chain, names, strict=False):
            if certificate.name not in allowed:
                raise EvidenceError(f"{excerpt(certificate.name)} stands in a wrong place")
        for certificate in chain:
            if not certificate.has_profile_extensions:
                raise EvidenceError(f"{certificate.name!a} lacks an extension of the profile")
            self._validity.require(
                "the certificate",
                certificate.not_before,
                certificate.not_after,
                of=certificate.name,
            )
        if not leaf_is_ca:
            _require_leaf(chain[0])
        for cas_below, (certificate, issuer) in enumerate(pairwise(chain), start=int(leaf_is_ca)):
            _require_issuer(issuer, cas_below)
            self._verify_signature(certificate, issuer)

    def verify_crl(self, crl: RevocationList, issuer: Certificate) -> None:
        """Demand a current revocation list that the issuer may sign, and has signed."""
        if not (issuer.key_usage or 0) & CRL_SIGN:
            raise EvidenceError(f"{issuer.name!a} may not sign revocation lists")
        _require_signature(crl, issuer, f"the revocation list is not signed by {issuer.name!a}")
        self._validity.require(
            "the revocation list of", crl.last_update, crl.next_update, of=issuer.name
        )

    def _verify_signature(self, certificate: Certificate, issuer: Certificate) -> None:
        pair = certificate.der, issuer.der
        if pair in self._signed:
            return
        _require_signature(
            certificate, issuer, f"{certificate.name!a} is not signed by {issuer.name!a}"
        )
        self._signed.add(pair)


def _require_signature(
    signed: Certificate | RevocationList, issuer: Certificate, problem: str
) -> None:
    """Demand the issuer's signature; what a root has signed is remembered."""

    def check() -> bool:
        if not signed.is_signed_by(issuer):
            raise EvidenceError(problem)
        return True

    # Platforms are many, roots are few: a PCK certificate and its revocation list are checked anew.
    if not issuer.is_self_issued:
        check()
        return
    digest = hashlib.sha256(issuer.point + signed.signed_part)
    digest.update(signed.signature)
    _PROVEN.get(digest.digest(), usable=bool, compute=check)


def _require_leaf(leaf: Certificate) -> None:
    # A CA in a leaf's place could hide further certificates below it.
    if leaf.is_ca:
        raise EvidenceError(f"{leaf.name!a} is a CA")
    if not (leaf.key_usage or 0) & DIGITAL_SIGNATURE:
        raise EvidenceError(f"the key of {leaf.name!a} is not for signatures")


def _require_issuer(issuer: Certificate, cas_below: int) -> None:
    # Without the CA flag, whoever holds any certified key could issue certificates.
    if not issuer.is_ca or not (issuer.key_usage or 0) & KEY_CERT_SIGN:
        raise EvidenceError(f"{issuer.name!a} may not issue certificates")
    if issuer.path_length is not None and issuer.path_length < cas_below:
        raise EvidenceError(f"{issuer.name!a} may not have so many CAs below it")
