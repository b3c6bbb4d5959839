"""TDX and SGX evidence before two verifiers: ours, and the `dcap-qvl` package.

They have to agree on the verdict, the status and the advisories. Where dcap-qvl has a policy of its
own built in (it refuses debug, SEPT_VE_DISABLE clear, service TDs and reserved attributes before it
says anything), ours leaves that to `Policy`: such cases are listed here with the reason, and so is
what only one of the two checks.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from real_evidence import COMPLETE
from tdx_builder import NOW, TdxBuilder, level, module_level

from blindai_async.attestation import INTEL_SGX_ROOT, SgxCollateral
from blindai_async.errors import AttestationError

if TYPE_CHECKING:
    from datetime import datetime

    from real_evidence import RealEvidence

dcap_qvl = pytest.importorskip("dcap_qvl", reason="the other verifier is not installed")

BUILDERS = {4: TdxBuilder(version=4), 5: TdxBuilder(version=5)}


def crl_der(text: str) -> bytes:
    if text.startswith("-----"):
        return x509.load_pem_x509_crl(text.encode()).public_bytes(Encoding.DER)
    return bytes.fromhex(text)


def signed_parts(text: str, member: str) -> tuple[str, bytes]:
    start, end = len(f'{{"{member}":'), text.rindex(',"signature"')
    return text[start:end], bytes.fromhex(json.loads(text)["signature"])


def theirs(
    quote: bytes, collateral: SgxCollateral, root: bytes | None, at: datetime
) -> tuple[str, list[str]] | None:
    """What dcap-qvl says: status and advisories, or None where it refuses."""
    given = dcap_qvl.QuoteCollateralV3(
        pck_crl_issuer_chain=collateral.pck_crl_issuer_chain,
        root_ca_crl=crl_der(collateral.root_ca_crl),
        pck_crl=crl_der(collateral.pck_crl),
        tcb_info_issuer_chain=collateral.tcb_info_issuer_chain,
        **dict(
            zip(
                ("tcb_info", "tcb_info_signature"),
                signed_parts(collateral.tcb_info, "tcbInfo"),
                strict=True,
            )
        ),
        qe_identity_issuer_chain=collateral.qe_identity_issuer_chain,
        **dict(
            zip(
                ("qe_identity", "qe_identity_signature"),
                signed_parts(collateral.qe_identity, "enclaveIdentity"),
                strict=True,
            )
        ),
    )
    now = int(at.timestamp())
    try:
        if root is None:
            report = dcap_qvl.verify(quote, given, now)
        else:
            report = dcap_qvl.verify_with_root_ca(quote, given, root, now)
    except ValueError:
        return None
    return report.status, sorted(report.advisory_ids)


def built_verdicts(builder: TdxBuilder) -> tuple[object, object]:
    """Ours and theirs, of made evidence."""
    root = x509.load_pem_x509_certificate(builder.platform.root_pem).public_bytes(Encoding.DER)
    try:
        claims = builder.verify()
        ours = claims.tcb_status.value, list(claims.advisory_ids)
    except AttestationError:
        ours = None
    return ours, theirs(builder.quote(), builder.collateral(), root, NOW)


@pytest.mark.parametrize("real", COMPLETE, ids=lambda one: one.name)
def test_they_agree_on_real_evidence(real: RealEvidence) -> None:
    if real.trust_root is not INTEL_SGX_ROOT:
        pytest.skip("dcap-qvl does not read the sample's certificates")
    assert real.collateral is not None
    assert real.at is not None
    verdict = theirs(real.quote, real.collateral, None, real.at)
    if real.expected["debug"] or '"version":2' in real.collateral.tcb_info:
        assert verdict is None  # it refuses debug by itself, and cannot read TCB info version 2
        return
    claims = real.verify()
    assert verdict == (claims.tcb_status.value, list(claims.advisory_ids))


STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
)


@pytest.mark.parametrize("platform", STATUSES)
@pytest.mark.parametrize("module", ["UpToDate", "OutOfDate", "Revoked"])
@pytest.mark.parametrize("qe", ["UpToDate", "OutOfDate", "Revoked"])
def test_they_merge_alike(platform: str, module: str, qe: str) -> None:
    builder = BUILDERS[4].but(tcb_info=copy.deepcopy(BUILDERS[4].tcb_info))
    builder.tcb_info["tcbLevels"][0]["tcbStatus"] = platform
    builder.tcb_info["tcbLevels"][0]["advisoryIDs"] = ["INTEL-SA-00001"]
    builder.module["tcbLevels"] = [{**module_level(5, module), "advisoryIDs": ["INTEL-SA-00002"]}]
    identity = {**builder.qe_identity, "tcbLevels": [module_level(5, qe)]}
    ours, others = built_verdicts(builder.but(qe_identity=identity))
    assert ours == others
    assert (ours is None) == ("Revoked" in (platform, module, qe))


@pytest.mark.parametrize("launched", [(2, 1, 3), (5, 1, 3), (9, 1, 1)])
@pytest.mark.parametrize("loaded", [(5, 1, 3), (2, 1, 3), (5, 1, 2), (9, 1, 9)])
@pytest.mark.parametrize("platform", STATUSES[:6])
def test_they_advise_a_relaunch_alike(
    launched: tuple[int, ...], loaded: tuple[int, ...], platform: str
) -> None:
    builder = BUILDERS[5].but(tcb_info=copy.deepcopy(BUILDERS[5].tcb_info))
    builder.tcb_info["tcbLevels"][0]["tcbStatus"] = platform
    builder = builder.with_report(
        tee_tcb_svn=bytes(launched) + bytes(13), tee_tcb_svn2=bytes(loaded) + bytes(13)
    )
    ours, others = built_verdicts(builder)
    assert ours == others
    assert ours is not None


@pytest.mark.parametrize("launched", [(5, 1, 3), (2, 1, 3)])
def test_they_refuse_a_revoked_module_that_is_loaded_now_alike(launched: tuple[int, ...]) -> None:
    builder = BUILDERS[5].but(tcb_info=copy.deepcopy(BUILDERS[5].tcb_info))
    builder.module["tcbLevels"] = [
        module_level(5, "UpToDate"),
        module_level(2, "OutOfDate"),
        module_level(1, "Revoked"),
    ]
    builder = builder.with_report(
        tee_tcb_svn=bytes(launched) + bytes(13), tee_tcb_svn2=bytes([1, 1, 3, *[0] * 13])
    )
    assert built_verdicts(builder) == (None, None)


@pytest.mark.parametrize("svns", [(5, 1, 3), (5, 1, 2), (1, 1, 3), (5, 3, 3), (2, 3, 3), (5, 2, 3)])
@pytest.mark.parametrize("version", [4, 5])
def test_they_match_the_same_levels(svns: tuple[int, ...], version: int) -> None:
    fields: dict[str, Any] = {"tee_tcb_svn": bytes(svns) + bytes(13)}
    if version == 5:
        fields["tee_tcb_svn2"] = fields["tee_tcb_svn"]
    ours, others = built_verdicts(BUILDERS[version].with_report(**fields))
    assert ours == others


WRONG_FOR_BOTH = {
    "another module signer": {"mr_signer_seam": b"\1" * 48},
    "module attributes": {"seam_attributes": b"\1" + bytes(7)},
    "an unknown module": {"tee_tcb_svn": bytes([5, 9, 3]) + bytes(13)},
}


@pytest.mark.parametrize("fields", WRONG_FOR_BOTH.values(), ids=WRONG_FOR_BOTH)
def test_both_refuse(fields: dict[str, bytes]) -> None:
    assert built_verdicts(BUILDERS[4].with_report(**fields)) == (None, None)


POLICY_OF_THEIRS = {
    "debug": {"td_attributes": (1 << 28 | 1).to_bytes(8, "little")},
    "SEPT_VE_DISABLE is clear": {"td_attributes": bytes(8)},
}


@pytest.mark.parametrize("fields", POLICY_OF_THEIRS.values(), ids=POLICY_OF_THEIRS)
def test_what_theirs_refuses_by_its_own_policy(fields: dict[str, bytes]) -> None:
    """Ours proves what the TD is and leaves it to the policy (`tests/unit/attestation`)."""
    ours, others = built_verdicts(BUILDERS[4].with_report(**fields))
    assert ours == ("UpToDate", [])
    assert others is None


def test_what_only_ours_refuses() -> None:
    tcb_info = BUILDERS[4].tcb_info
    levels = tcb_info["tcbLevels"]
    low = level("UpToDate", "2024-03-13", tdx=[0])
    for changes in (
        {"pceId": "0100"},  # collateral of another provisioning enclave
        {"tcbLevels": [*levels, low, low]},  # levels that are listed twice
        {"tcbLevels": levels[::-1]},  # levels from lowest to highest
    ):
        ours, others = built_verdicts(BUILDERS[4].but(tcb_info={**tcb_info, **changes}))
        assert ours is None
        assert others is not None, changes
    ours, others = built_verdicts(BUILDERS[4].but(quote_edit=lambda quote: quote + b"\1"))
    assert (ours, others) == (None, ("UpToDate", []))  # bytes after the quote
