"""An emulated platform, so that hardware mode runs and can be tested without SGX and without TDX.

It attests an enclave (``tee="sgx"``) or a trust domain (``tee="tdx"``), with keys of its own for
everything that Intel or a processor would sign, below a root of its own. Its evidence is honest in
form and proves nothing: only a client that is told to trust `root_pem` accepts it. It shares no
code with the verifier, so that a bug cannot hide in both.

Three uses:

A platform for a server, the same one after a restart::

    try:
        platform = EmulatedPlatform.load("state/platform")
    except FileNotFoundError:
        platform = EmulatedPlatform(tee="tdx")
        platform.save("state/platform")
    server = BlindAIServer(hardware=platform)
    Path("root.pem").write_bytes(platform.root_pem)
    Path("policy.toml").write_text(platform.policy_toml)

Sound evidence at a fixed moment, for a verifier's test::

    platform = EmulatedPlatform("tdx", quote_version=5, now=datetime(2026, 1, 1, tzinfo=UTC))
    evidence = platform.evidence(b"held data")  # .quote, .collateral, .enclave_held_data

Evidence with one thing wrong. A platform is a tree of frozen pieces (`Blueprint`); a change names
a path in it, and everything that it touches is signed anew by the right key::

    platform.with_changes({"pki.intermediate.ca": False}).evidence()
    platform.with_changes({"tcb_info.levels.0.status": "Revoked"}).evidence()
    platform.with_changes({"crls.pck.revoked": (platform.blueprint.pki.pck.serial_number,)})
    platform.with_changes({"tcb_info.signing_key": new_key()})              # a forgery
    platform.with_changes({"tcb_info.before_signing": replacing('"pceId":', '"pceID":')})
    platform.with_changes({"quote.after_signing": lambda quote: quote + b"x"})
    # A TD that was launched before the TDX module was updated: relaunch advised.
    platform.with_changes({"td.tee_tcb_svn": bytes((3, 1, 7)) + bytes(13)})
    platform.evidence().with_collateral(qe_identity="")

A change that would change nothing raises ValueError.
"""

from blindai_async.server.tee.emulated import der
from blindai_async.server.tee.emulated.blueprint import Blueprint, Lifetimes
from blindai_async.server.tee.emulated.certificates import (
    CA_USAGE,
    LEAF_USAGE,
    CertificateTemplate,
)
from blindai_async.server.tee.emulated.collateral import (
    COLLATERAL_FIELDS,
    CollateralLayout,
    CrlEncoding,
    Evidence,
)
from blindai_async.server.tee.emulated.crls import Crls, CrlTemplate
from blindai_async.server.tee.emulated.documents import reformatted, replacing
from blindai_async.server.tee.emulated.emulated import EmulatedPlatform
from blindai_async.server.tee.emulated.enclave_report import EnclaveReport
from blindai_async.server.tee.emulated.identity import PckCa, PlatformIdentity, PlatformKeys, Tee
from blindai_async.server.tee.emulated.keys import new_key
from blindai_async.server.tee.emulated.pki import Pki
from blindai_async.server.tee.emulated.qe_identity import QeIdentity, QeLevel
from blindai_async.server.tee.emulated.quote import QuoteFormat, QuotingEnclave
from blindai_async.server.tee.emulated.sgx_extension import SgxExtension
from blindai_async.server.tee.emulated.tcb_info import TcbInfo, TcbLevel
from blindai_async.server.tee.emulated.td_report import (
    MIGRATABLE,
    SEPT_VE_DISABLE,
    TD_DEBUG,
    TdReport,
)
from blindai_async.server.tee.emulated.tdx_module import (
    ModuleLevel,
    TdxModule,
    TdxModuleIdentity,
)

__all__ = [
    "CA_USAGE",
    "COLLATERAL_FIELDS",
    "LEAF_USAGE",
    "MIGRATABLE",
    "SEPT_VE_DISABLE",
    "TD_DEBUG",
    "Blueprint",
    "CertificateTemplate",
    "CollateralLayout",
    "CrlEncoding",
    "CrlTemplate",
    "Crls",
    "EmulatedPlatform",
    "EnclaveReport",
    "Evidence",
    "Lifetimes",
    "ModuleLevel",
    "PckCa",
    "Pki",
    "PlatformIdentity",
    "PlatformKeys",
    "QeIdentity",
    "QeLevel",
    "QuoteFormat",
    "QuotingEnclave",
    "SgxExtension",
    "TcbInfo",
    "TcbLevel",
    "TdReport",
    "TdxModule",
    "TdxModuleIdentity",
    "Tee",
    "der",
    "new_key",
    "reformatted",
    "replacing",
]
