"""The emulated platform: pieces in, quotes and collateral out."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from blindai_async.server.tee.emulated import storage
from blindai_async.server.tee.emulated.blueprint import Blueprint, Lifetimes, sound_blueprint
from blindai_async.server.tee.emulated.changes import changed
from blindai_async.server.tee.emulated.collateral import Collateral, Evidence, overridden
from blindai_async.server.tee.emulated.identity import PlatformIdentity, random_measurement
from blindai_async.server.tee.emulated.policy import policy_toml

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["EmulatedPlatform"]

_DEFAULT_LIFETIMES = Lifetimes()


class EmulatedPlatform:
    """An SGX platform in software: its evidence is complete and well signed, and proves nothing.

    Everything is signed by keys of its own below a root of its own, so only a client that trusts
    `root_pem` explicitly accepts it. It protects no data: it exists to run and to test hardware
    mode where there is no SGX.

    A platform never changes, so its collateral expires some day (`Lifetimes.collateral`): load it
    again before that. Its signatures are made once and shared by all threads; only the
    signature of a quote is made each time.

    Args:
        identity: keys and enclave; None makes a new identity.
        now: the moment around which all validity is laid; None for the present. An aware
            datetime; fractions of a second are dropped.
        lifetimes: how long the pieces are valid.
        tcb_info_version: 2, as 0.5 servers send it, or 3.
        mr_enclave: measurement of a new identity's enclave; None for a random one.

    Raises:
        ValueError: `mr_enclave` beside an `identity`, or of a wrong size; `now` without time zone.
    """

    def __init__(
        self,
        *,
        identity: PlatformIdentity | None = None,
        now: datetime | None = None,
        lifetimes: Lifetimes = _DEFAULT_LIFETIMES,
        tcb_info_version: int = 2,
        mr_enclave: bytes | None = None,
    ) -> None:
        if identity is not None and mr_enclave is not None:
            raise ValueError("the identity names the enclave: leave mr_enclave out")
        if identity is None:
            identity = PlatformIdentity(
                mr_enclave=random_measurement() if mr_enclave is None else mr_enclave
            )
        now = datetime.now(UTC) if now is None else now
        if now.tzinfo is None:
            raise ValueError("now must have a time zone")
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._identity = identity
        self._sound = sound_blueprint(
            identity, now=self._now, lifetimes=lifetimes, tcb_info_version=tcb_info_version
        )
        self._blueprint = self._sound

    @property
    def blueprint(self) -> Blueprint:
        """The pieces: read the true values here that a mutation starts from."""
        return self._blueprint

    @property
    def identity(self) -> PlatformIdentity:
        """Keys and enclave, as they were before any change."""
        return self._identity

    @property
    def now(self) -> datetime:
        """The moment around which validity was laid: UTC, whole seconds."""
        return self._now

    @property
    def root_pem(self) -> bytes:
        """The root certificate, for clients that decide to trust this platform."""
        return self._blueprint.pki.root.pem().encode()

    @property
    def mr_enclave(self) -> bytes:
        """Measurement of the enclave, 32 bytes."""
        return self._blueprint.enclave.mr_enclave

    @property
    def mr_signer(self) -> bytes:
        """Signer of the enclave, 32 bytes."""
        return self._blueprint.enclave.mr_signer

    @property
    def policy_toml(self) -> str:
        """The policy file that accepts exactly this platform's enclave."""
        return policy_toml(self._blueprint.enclave)

    def quote(self, enclave_held_data: bytes) -> bytes:
        """Quote the enclave: it vouches for data that it holds, by way of their SHA-256.

        Args:
            enclave_held_data: for a server, the enclave's TLS certificate in DER.
        """
        pieces = self._blueprint
        return pieces.quoting_enclave.quote(
            pieces.enclave.pack(report_data=hashlib.sha256(enclave_held_data).digest()),
            pck_key=pieces.pki.pck.key,
            pck_chain=pieces.pki.pem("pck", "intermediate", "root").encode(),
            layout=pieces.quote,
        )

    def collateral(self) -> Collateral:
        """Return the fields of the SgxCollateral message by name; certificates and CRLs as text."""
        pieces, pki, layout = self._blueprint, self._blueprint.pki, self._blueprint.collateral
        signer_chain = pki.pem("tcb_signer", "root")
        with_pck = layout.pck_certificate
        collateral: Collateral = {
            "version": layout.version,
            "pck_crl_issuer_chain": pki.pem("intermediate", "root"),
            "root_ca_crl": layout.crl_encoding.encode(pieces.crls.root.issue(pki.root)),
            "pck_crl": layout.crl_encoding.encode(pieces.crls.pck.issue(pki.intermediate)),
            "tcb_info_issuer_chain": signer_chain,
            "tcb_info": pieces.tcb_info.text(pki.tcb_signer.key),
            "qe_identity_issuer_chain": signer_chain,
            "qe_identity": pieces.qe_identity.text(pki.tcb_signer.key),
            "pck_certificate": pki.pem("pck") if with_pck else "",
            "pck_signing_chain": pki.pem("intermediate", "root") if with_pck else "",
        }
        return overridden(collateral, layout.overrides)

    def evidence(self, enclave_held_data: bytes = b"what the enclave holds") -> Evidence:
        """Make a quote and collect the collateral: all that a verifier needs."""
        return Evidence(self.quote(enclave_held_data), self.collateral(), enclave_held_data)

    def with_changes(self, changes: Mapping[str, object]) -> Self:
        """Return this platform with some values changed, everything else and all keys the same.

        What a change touches is signed anew by the right key; what it does not touch keeps its
        bytes. A change reaches one place only: another serial number of the PCK certificate, say,
        does not enter the revocation list.

        Args:
            changes: from paths into `Blueprint` to values, such as
                `{"pki.intermediate.ca": False}`.

        Raises:
            ValueError: there is nothing at a path, or that value is there already.
        """
        other = self.__class__.__new__(self.__class__)
        other.__dict__.update(self.__dict__, _blueprint=changed(self._blueprint, changes))
        return other

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write keys and identity to a directory, for `load` after a restart; returns the file.

        The directory gets mode 0700 and the file 0600; an earlier file is replaced at once or
        not at all.

        Raises:
            ValueError: the platform was changed: only a sound one is worth keeping.
        """
        if self._blueprint is not self._sound:
            raise ValueError("a platform with changes is for one test, not for keeping")
        return storage.write(Path(directory), self._identity, self._blueprint.pki.root.issue())

    @classmethod
    def load(
        cls,
        directory: str | os.PathLike[str],
        *,
        now: datetime | None = None,
        lifetimes: Lifetimes = _DEFAULT_LIFETIMES,
        tcb_info_version: int = 2,
    ) -> Self:
        """Restore a platform that `save` wrote.

        The keys, the enclave and the root certificate are those of before. All other certificates
        and the collateral are issued anew, valid from now; so is the root where it has expired or
        is about to, with its old key.

        Raises:
            FileNotFoundError: nothing was saved there.
            PermissionError: others than the owner may read the file.
            ValueError: the file is not one that `save` wrote.
        """
        return cls(
            identity=storage.read(Path(directory)),
            now=now,
            lifetimes=lifetimes,
            tcb_info_version=tcb_info_version,
        )

    def __repr__(self) -> str:
        return f"<EmulatedPlatform (no SGX, proves nothing) mr_enclave={self.mr_enclave.hex()}>"
