"""The pieces of a platform, before anything is signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated.collateral import CollateralLayout
from blindai_async.server.tee.emulated.quote import QuoteFormat

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.crls import Crls
    from blindai_async.server.tee.emulated.enclave_report import EnclaveReport
    from blindai_async.server.tee.emulated.pki import Pki
    from blindai_async.server.tee.emulated.qe_identity import QeIdentity
    from blindai_async.server.tee.emulated.quote import QuotingEnclave
    from blindai_async.server.tee.emulated.tcb_info import TcbInfo
    from blindai_async.server.tee.emulated.td_report import TdReport

__all__ = ["Blueprint", "Lifetimes"]


@dataclass(frozen=True, kw_only=True)
class Lifetimes:
    """How long the pieces are valid, counted from the platform's `now`.

    Attributes:
        backdated: before `now`, everything is valid already: clients' clocks differ.
        root: the root certificate.
        certificates: intermediate, PCK and TCB signing certificates.
        root_crl: the root's revocation list.
        collateral: the PCK revocation list, TCB info and QE identity.
    """

    backdated: timedelta = timedelta(days=1)
    root: timedelta = timedelta(days=30 * 365)
    certificates: timedelta = timedelta(days=7 * 365)
    root_crl: timedelta = timedelta(days=365)
    collateral: timedelta = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """All pieces of a platform, before anything is signed.

    Attributes:
        pki: the certificates.
        crls: the revocation lists.
        tcb_info: patch levels of the platform.
        qe_identity: which quoting enclaves are genuine.
        quoting_enclave: the one that signs quotes.
        enclave: the report of the enclave that is attested; None where a TD is.
        td: the report of the TD that is attested; None where an enclave is.
        quote: the quote's own fields and lengths.
        collateral: which fields of the message are filled, and how.
    """

    pki: Pki
    crls: Crls
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    quoting_enclave: QuotingEnclave
    enclave: EnclaveReport | None = None
    td: TdReport | None = None
    quote: QuoteFormat = field(default_factory=QuoteFormat)
    collateral: CollateralLayout = field(default_factory=CollateralLayout)

    @property
    def attested(self) -> EnclaveReport | TdReport:
        """The report that quotes carry."""
        report = self.enclave or self.td
        if report is None:
            raise ValueError("the platform attests neither an enclave nor a TD")
        return report
