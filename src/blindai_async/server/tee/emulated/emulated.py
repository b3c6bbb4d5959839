"""The emulated platform: pieces in, quotes and collateral out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from blindai_async.server.tee.emulated import storage
from blindai_async.server.tee.emulated.blueprint import Blueprint, Lifetimes
from blindai_async.server.tee.emulated.changes import changed
from blindai_async.server.tee.emulated.collateral import Collateral, Evidence, overridden
from blindai_async.server.tee.emulated.identity import PlatformIdentity
from blindai_async.server.tee.emulated.policy import enclave_policy, td_policy
from blindai_async.server.tee.emulated.sound import sound_blueprint
from blindai_async.server.tee.platform import report_data_for

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from blindai_async.server.tee.emulated.enclave_report import EnclaveReport
    from blindai_async.server.tee.emulated.identity import Tee
    from blindai_async.server.tee.emulated.sound import TdReportVersion

__all__ = ["EmulatedPlatform"]

_DEFAULT_LIFETIMES = Lifetimes()


class EmulatedPlatform:
    """A platform in software: its evidence is complete and well signed, and proves nothing.

    Everything is signed by keys of its own below a root of its own, so only a client that trusts
    `root_pem` explicitly accepts it. It protects no data: it exists to run and to test hardware
    mode where there is neither SGX nor TDX.

    A platform never changes, so its collateral expires some day (`Lifetimes.collateral`): load it
    again before that. Its signatures are made once and shared by all threads; only the
    signature of a quote is made each time.

    Args:
        tee: what a new identity attests: an enclave, "sgx", or a trust domain, "tdx". None for
            "sgx", or for what the `identity` says.
        identity: keys and measurements; None makes a new identity.
        now: the moment around which all validity is laid; None for the present. An aware
            datetime; fractions of a second are dropped.
        lifetimes: how long the pieces are valid.
        tcb_info_version: for SGX 2, as 0.5 servers send it (None), or 3; for TDX 3.
        quote_version: for SGX 3 (None), 4 or 5; for TDX 4 (None) or 5.
        td_report: for TDX "1.0" or "1.5", which only quotes of version 5 can carry; None for the
            newest that they can.
        mr_enclave: measurement of a new identity's enclave, 32 bytes; None for a random one.
        mr_td: measurement of a new identity's TD, 48 bytes; None for a random one.

    Raises:
        ValueError: a measurement beside an `identity`, of the other kind, or of a wrong size; a
            combination that does not exist; `now` without time zone.
    """

    def __init__(
        self,
        tee: Tee | None = None,
        *,
        identity: PlatformIdentity | None = None,
        now: datetime | None = None,
        lifetimes: Lifetimes = _DEFAULT_LIFETIMES,
        tcb_info_version: int | None = None,
        quote_version: int | None = None,
        td_report: TdReportVersion | None = None,
        mr_enclave: bytes | None = None,
        mr_td: bytes | None = None,
    ) -> None:
        if identity is None:
            identity = _new_identity(tee or "sgx", mr_enclave=mr_enclave, mr_td=mr_td)
        elif mr_enclave is not None or mr_td is not None:
            raise ValueError("the identity names the measurements: leave mr_enclave and mr_td out")
        elif tee not in {None, identity.tee}:
            raise ValueError(f"the identity is of {identity.tee!r}, not of {tee!r}")
        now = datetime.now(UTC) if now is None else now
        if now.tzinfo is None:
            raise ValueError("now must have a time zone")
        self._now = now.astimezone(UTC).replace(microsecond=0)
        self._identity = identity
        self._sound = sound_blueprint(
            identity,
            now=self._now,
            lifetimes=lifetimes,
            tcb_info_version=tcb_info_version,
            quote_version=quote_version,
            td_report=td_report,
        )
        self._blueprint = self._sound

    @property
    def tee(self) -> Tee:
        """What is attested: an enclave, "sgx", or a trust domain, "tdx"."""
        return self._identity.tee

    @property
    def blueprint(self) -> Blueprint:
        """The pieces: read the true values here that a mutation starts from."""
        return self._blueprint

    @property
    def identity(self) -> PlatformIdentity:
        """Keys and measurements, as they were before any change."""
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
        """Measurement of the enclave, 32 bytes. A TDX platform has none: AttributeError."""
        return self._enclave().mr_enclave

    @property
    def mr_signer(self) -> bytes:
        """Signer of the enclave, 32 bytes. A TDX platform has none: AttributeError."""
        return self._enclave().mr_signer

    @property
    def mr_td(self) -> bytes:
        """Measurement of the TD's initial memory, 48 bytes. SGX has none: AttributeError."""
        if self._blueprint.td is None:
            raise AttributeError("an SGX platform attests an enclave: see mr_enclave")
        return self._blueprint.td.mr_td

    @property
    def policy_toml(self) -> str:
        """The policy file that accepts exactly what this platform attests."""
        if self._blueprint.td is not None:
            return td_policy(self._blueprint.td)
        return enclave_policy(self._enclave())

    def quote(self, report_data: bytes) -> bytes:
        """Quote the enclave or the TD: it vouches for 64 bytes.

        Args:
            report_data: as a server makes them by `report_data_for`.

        Raises:
            ValueError: these are not 64 bytes.
        """
        if len(report_data) != 64:
            raise ValueError(
                f"report_data must be 64 bytes, not {len(report_data)}; "
                "report_data_for() makes them of what the enclave holds"
            )
        pieces = self._blueprint
        return pieces.quoting_enclave.quote(
            pieces.attested.pack(report_data=report_data),
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

    def evidence(
        self, enclave_held_data: bytes = b"what the enclave holds", *, nonce: bytes = b""
    ) -> Evidence:
        """Make a quote and collect the collateral: all that a verifier needs.

        Args:
            enclave_held_data: for a server, the enclave's TLS certificate in DER.
            nonce: the client's, 32 bytes; b"" where it sent none.
        """
        quote = self.quote(report_data_for(enclave_held_data, nonce))
        return Evidence(quote, self.collateral(), enclave_held_data)

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
        tcb_info_version: int | None = None,
        quote_version: int | None = None,
        td_report: TdReportVersion | None = None,
    ) -> Self:
        """Restore a platform that `save` wrote.

        The keys, the measurements and the root certificate are those of before. All other
        certificates and the collateral are issued anew, valid from now; so is the root where it
        has expired or is about to, with its old key.

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
            quote_version=quote_version,
            td_report=td_report,
        )

    def _enclave(self) -> EnclaveReport:
        if self._blueprint.enclave is None:
            raise AttributeError("a TDX platform attests a TD, not an enclave: see mr_td")
        return self._blueprint.enclave

    def __repr__(self) -> str:
        measured = self.mr_enclave if self.tee == "sgx" else self.mr_td
        name = "mr_enclave" if self.tee == "sgx" else "mr_td"
        return f"<EmulatedPlatform (no {self.tee.upper()}, proves nothing) {name}={measured.hex()}>"


def _new_identity(tee: Tee, *, mr_enclave: bytes | None, mr_td: bytes | None) -> PlatformIdentity:
    if (mr_td if tee == "sgx" else mr_enclave) is not None:
        raise ValueError(f'tee="{tee}" goes with {"mr_enclave" if tee == "sgx" else "mr_td"}')
    if mr_enclave is not None:
        return PlatformIdentity(tee=tee, mr_enclave=mr_enclave)
    if mr_td is not None:
        return PlatformIdentity(tee=tee, mr_td=mr_td)
    return PlatformIdentity(tee=tee)
