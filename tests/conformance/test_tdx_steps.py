"""TDX evidence with one thing wrong at a time: each is found, at its step, by its name."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from tdx_builder import HELD, NOW, SgxBuilder, TdxBuilder, level, module_level

from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    Outcome,
    Policy,
    SgxClaims,
    TcbStatus,
    TdxClaims,
    verify_claims,
    verify_dcap_attestation,
)
from blindai_async.errors import (
    DebugNotAllowedError,
    NotAnEnclaveError,
    QuoteValidationError,
    TcbStatusError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

V4, V5 = TdxBuilder(version=4), TdxBuilder(version=5)


def tcb_info(**fields: Any) -> TdxBuilder:
    """Sound evidence with other fields in its TCB info; None leaves one out."""
    return V4.but(tcb_info=_updated(V4.tcb_info, fields))


def qe_identity(**fields: Any) -> TdxBuilder:
    return V4.but(qe_identity=_updated(V4.qe_identity, fields))


def module(**fields: Any) -> TdxBuilder:
    """Sound evidence with other fields in the identity of the TD's own module."""
    builder = V4.but(tcb_info=copy.deepcopy(V4.tcb_info))
    builder.module.update(fields)
    return builder


def _updated(content: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**content, **fields}.items() if value is not None}


def statuses(platform: str, module_status: str = "UpToDate", qe: str = "UpToDate") -> TdxBuilder:
    builder = module(tcbLevels=[module_level(5, module_status)])
    builder.tcb_info["tcbLevels"][0]["tcbStatus"] = platform
    return builder.but(
        qe_identity={**V4.qe_identity, "tcbLevels": [module_level(5, qe)]},
    )


LEVELS = V4.tcb_info["tcbLevels"]
FIRST_MODULE = {"tee_tcb_svn": bytes([5, 0, 3, *[0] * 13])}
HIGH = [level("UpToDate", "2024-03-13", svns=255, tdx=[0])]

WRONG: list[tuple[int, str, TdxBuilder]] = [
    # Step 1: the quote.
    (1, "version is 6", V4.but(quote_edit=lambda q: b"\6\0" + q[2:])),
    (1, "TEE type 0x1", V4.but(header={**V4.header, "tee_type": 1})),
    (1, "attestation key type", V4.but(header={**V4.header, "key_type": 3})),
    (1, "not Intel", V4.but(header={**V4.header, "vendor": bytes(16)})),
    (1, "type 5", V4.but(certification_type=5)),
    (1, "follow the quote", V4.but(quote_edit=lambda q: q + b"\1")),
    (1, "follow the quote", V4.but(quote_edit=lambda q: q + bytes(8193))),
    (1, "ends within", V4.but(quote_edit=lambda q: q[:-1])),
    (1, "body type 1", V5.but(body_type=1)),
    (1, "body type 2", V5.but(body_type=2)),
    (1, "body type 5", V5.but(body_type=5)),
    (1, "reserved debug bits", V4.with_report(td_attributes=bytes([2, *[0] * 7]))),
    # Step 5: the TCB info.
    (5, "for 'SGX', not for TDX", tcb_info(id="SGX")),
    (5, "for None, not for TDX", tcb_info(id=None)),
    (5, "version", tcb_info(version=2)),
    (5, "version", tcb_info(version=4)),
    (5, "tcbType", tcb_info(tcbType=1)),
    (5, "tcbType", tcb_info(tcbType=None)),
    (5, "tcbEvaluationDataNumber", tcb_info(tcbEvaluationDataNumber=None)),
    (5, "tcbEvaluationDataNumber", tcb_info(tcbEvaluationDataNumber="18")),
    (5, "highest to lowest", tcb_info(tcbLevels=LEVELS[::-1])),
    (5, "highest to lowest", tcb_info(tcbLevels=[LEVELS[0], *LEVELS])),
    (5, "tdxtcbcomponents", tcb_info(tcbLevels=[{**LEVELS[0], "tcb": {
        k: v for k, v in LEVELS[0]["tcb"].items() if k != "tdxtcbcomponents"}}])),
    (5, "TCB status", statuses("TDRelaunchAdvised")),
    (5, "TDX module", tcb_info(tdxModule=None)),
    (5, "mrsigner", tcb_info(tdxModule={**V4.tcb_info["tdxModule"], "mrsigner": "00" * 32})),
    (5, "not a list", tcb_info(tdxModuleIdentities={})),
    (5, "another one's", tcb_info(tdxModuleIdentities=[V4.module, {**V4.module, "id": "tdx_01"}])),
    (5, "TCB status", module(tcbLevels=[module_level(5, "SWHardeningNeeded")])),
    (5, "highest to lowest", module(tcbLevels=V4.module["tcbLevels"][::-1])),
    (5, "highest to lowest", module(tcbLevels=[V4.module["tcbLevels"][0]] * 2)),
    (5, "list of levels", module(tcbLevels=[])),
    # Step 6: the identity of the TDX quoting enclave.
    (6, "not of TD_QE", qe_identity(id="QE")),
    (6, "not of TD_QE", qe_identity(id="QVE")),
    (6, "tcbEvaluationDataNumber", qe_identity(tcbEvaluationDataNumber=None)),
    (6, "TCB status", statuses("UpToDate", qe="SWHardeningNeeded")),
    (6, "TCB status", statuses("UpToDate", qe="ConfigurationNeeded")),
    # Step 8.
    (8, "another product", qe_identity(isvprodid=7)),
    (8, "older", qe_identity(tcbLevels=[module_level(8, "UpToDate")])),
    # Step 10: the platform and its module.
    (10, "older", tcb_info(tcbLevels=HIGH)),
    (10, "older", tcb_info(tcbLevels=[level("UpToDate", "2024-03-13", tdx=[0, 0, 4])])),
    (10, "older", tcb_info(tcbLevels=[level("UpToDate", "2024-03-13", tdx=[0], pce=99)])),
    (10, "TDX module.*not signed", V4.with_report(mr_signer_seam=b"\1" * 48)),
    (10, "TDX module.*not signed", module(mrsigner="01" * 48)),
    (10, "TDX module.*attributes", V4.with_report(seam_attributes=b"\1" + bytes(7))),
    (10, "TDX module.*attributes", module(attributes="01" + "00" * 7)),
    (10, "TDX module.*version 1", tcb_info(tdxModuleIdentities=[])),
    (10, "TDX module.*version 1", tcb_info(tdxModuleIdentities=None)),
    (10, "TDX module.*version 2", V4.with_report(tee_tcb_svn=bytes([9, 2, 9, *[9] * 13]))),
    (10, "TDX module.*older", module(tcbLevels=[module_level(6, "UpToDate")])),
    (10, "TDX module.*not signed", V4.with_report(**FIRST_MODULE, mr_signer_seam=b"\1" * 48)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "reason", "builder"),
    [pytest.param(*row, id=f"{number} step {row[0]}") for number, row in enumerate(WRONG)],
)
def test_one_thing_wrong_is_found_at_its_step(step: int, reason: str, builder: TdxBuilder) -> None:
    with pytest.raises(QuoteValidationError, match=reason) as caught:
        builder.verify()
    assert type(caught.value) is QuoteValidationError
    assert caught.value.step == step
    claims = caught.value.claims
    if step == 1:
        assert claims is None
        return
    assert isinstance(claims, TdxClaims)
    assert not claims.verified
    assert claims.mr_td == V4.report["mr_td"]
    assert claims.steps[step - 1].outcome is Outcome.FAILED
    assert claims.steps[step - 1].detail == str(caught.value)


@pytest.mark.parametrize("builder", [V4, V5], ids=["4", "5"])
def test_sound_evidence_says_every_field(builder: TdxBuilder) -> None:
    claims = builder.verify()
    assert isinstance(claims, TdxClaims)
    assert claims.verified
    for name in ("mr_td", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config", "xfam"):
        assert getattr(claims, name) == builder.report[name]
    assert claims.rtmrs == tuple(builder.report[f"rtmr{n}"] for n in range(4))
    assert claims.tee_tcb_svn == builder.report["tee_tcb_svn"]
    assert claims.tee_tcb_svn2 == builder.report["tee_tcb_svn2"]
    assert claims.mr_service_td == builder.report["mr_service_td"]
    assert (claims.tee, claims.debug, claims.fresh) == ("tdx", False, False)
    # The two documents may be of different evaluations: the lower number counts, both are reported.
    assert claims.tcb_evaluation_data_number == 17
    assert "evaluation 18" in claims.steps[4].detail
    assert "evaluation 17" in claims.steps[5].detail
    extension = builder.platform.blueprint.pki.pck.sgx_extension
    assert claims.ppid == extension.ppid
    assert claims.platform is not None
    assert claims.platform.instance_id == extension.platform_instance_id
    assert (claims.platform.dynamic, claims.platform.cached_keys, claims.platform.smt) == (
        True,
    ) * 3


@pytest.mark.parametrize("version", [4, 5])
def test_sgx_quotes_of_the_newer_versions_are_read(version: int) -> None:
    builder = SgxBuilder(version=version)
    claims = builder.verify()
    assert isinstance(claims, SgxClaims)
    assert claims.mr_enclave == builder.platform.mr_enclave
    assert builder.but(quote_edit=lambda quote: quote + bytes(70)).verify() == claims
    if version == 5:
        for body_type in (2, 3, 4):
            with pytest.raises(QuoteValidationError, match=f"body type {body_type}"):
                builder.but(body_type=body_type).verify()


def test_a_td_report_of_version_10_may_stand_in_a_quote_of_version_5() -> None:
    claims = V5.with_report(tee_tcb_svn2=None, mr_service_td=None).verify()
    assert isinstance(claims, TdxClaims)
    assert claims.tee_tcb_svn2 is claims.mr_service_td is None
    assert claims.steps[10].parts == ()


def test_what_is_known_and_not_supported_is_refused_by_name_with_its_kind() -> None:
    with pytest.raises(QuoteValidationError, match="body type 4") as caught:
        V5.but(body_type=4).verify()
    assert isinstance(caught.value.claims, TdxClaims)
    assert caught.value.claims.tee == "tdx"
    assert caught.value.claims.mr_td == b""
    assert not caught.value.claims.verified
    for start in (b"\xd2\x84", b"\xd8\x3d\xd2\x84", b"\x84\x43\xa1"):
        with pytest.raises(QuoteValidationError, match="a CBOR web token") as caught:
            V4.but(quote_edit=lambda quote, start=start: start + quote * 2).verify()
        assert caught.value.step == 1


def test_zeros_may_follow_a_quote_up_to_a_limit() -> None:
    for size in (1, 70, 3065, 8192):
        assert V4.but(quote_edit=lambda quote, size=size: quote + bytes(size)).verify().verified


def test_it_leads_to_its_own_root_only() -> None:
    with pytest.raises(NotAnEnclaveError) as caught:
        V4.verify(trust_root=INTEL_SGX_ROOT)
    assert caught.value.step == 2


UP, SW, CONFIG, BOTH = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
)
OUT, OUT_CONFIG, REVOKED = "OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"


@pytest.mark.parametrize(
    ("platform", "module_status", "qe", "merged"),
    [
        (UP, UP, UP, UP),
        (UP, OUT, UP, OUT),
        (UP, UP, OUT, OUT),
        (SW, OUT, UP, OUT),
        (SW, UP, UP, SW),
        (CONFIG, OUT, UP, OUT_CONFIG),
        (BOTH, UP, OUT, OUT_CONFIG),
        (BOTH, UP, UP, BOTH),
        (OUT, UP, UP, OUT),
        (OUT_CONFIG, OUT, OUT, OUT_CONFIG),
    ],
)
def test_platform_module_and_quoting_enclave_are_merged(
    platform: str, module_status: str, qe: str, merged: str
) -> None:
    assert statuses(platform, module_status, qe).verify().tcb_status == merged


@pytest.mark.parametrize("who", [(REVOKED, UP, UP), (OUT, REVOKED, UP), (UP, OUT, REVOKED)])
def test_a_revoked_part_is_never_accepted(who: tuple[str, str, str]) -> None:
    with pytest.raises(TcbStatusError) as caught:
        statuses(*who).verify()
    assert (caught.value.step, caught.value.status) == (11, "Revoked")


def test_advisories_are_joined_and_the_earliest_date_counts() -> None:
    builder = module(
        tcbLevels=[{**module_level(5, "UpToDate", "2023-08-09"), "advisoryIDs": ["INTEL-SA-3"]}]
    )
    builder.tcb_info["tcbLevels"][0]["advisoryIDs"] = ["INTEL-SA-1", "INTEL-SA-2"]
    qe = {**module_level(5, "UpToDate", "2025-01-01"), "advisoryIDs": ["INTEL-SA-2"]}
    claims = builder.but(qe_identity={**V4.qe_identity, "tcbLevels": [qe]}).verify()
    assert claims.advisory_ids == ("INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3")
    assert f"{claims.tcb_date:%Y-%m-%d}" == "2023-08-09"


def test_a_module_of_version_0_is_judged_with_the_platform() -> None:
    claims = V4.with_report(**FIRST_MODULE).verify()
    assert claims.tcb_status is TcbStatus.UP_TO_DATE
    older = V4.with_report(tee_tcb_svn=bytes([4, 0, 3, *[0] * 13])).verify()
    assert older.tcb_status is TcbStatus.OUT_OF_DATE
    # Of version 1 the same SVN is the module's own business.
    own = V4.with_report(tee_tcb_svn=bytes([4, 1, 3, *[0] * 13])).verify()
    assert own.tcb_status is TcbStatus.OUT_OF_DATE
    assert own.steps[9].detail.endswith("UpToDate")
    assert own.steps[9].parts[0].detail == "version 1, SVN 4: OutOfDate"


@pytest.mark.parametrize("debug", [False, True])
def test_a_debug_td_is_known_as_one(debug: bool) -> None:
    attributes = (1 << 28 | debug).to_bytes(8, "little")
    claims = V4.with_report(td_attributes=attributes).verify()
    assert claims.debug is debug
    with nullcontext() if debug else pytest.raises(DebugNotAllowedError):
        allowing = Policy.for_claims(claims)
        assert allowing.allow_debug is debug
        verify_claims(claims.model_copy(update={"debug": True}), allowing)


def test_no_attribute_of_the_module_may_be_set_even_where_the_mask_leaves_it_out() -> None:
    builder = module(attributesMask="00" * 8).with_report(seam_attributes=b"\1" + bytes(7))
    with pytest.raises(QuoteValidationError, match=r"TDX module.*attributes"):
        builder.verify()
    assert module(attributesMask="00" * 8).verify().verified


def test_levels_are_ordered_as_intels_library_orders_them() -> None:
    """The platform's components first, then the PCE's version, then those of TDX."""
    by_pce = [
        level("UpToDate", "2024-03-13", tdx=[0, 0, 2], pce=12),
        level("OutOfDate", "2023-03-13", tdx=[0, 0, 3], pce=11),
    ]
    assert tcb_info(tcbLevels=by_pce).verify().tcb_status is TcbStatus.UP_TO_DATE
    with pytest.raises(QuoteValidationError, match="highest to lowest"):
        tcb_info(tcbLevels=by_pce[::-1]).verify()
    by_tdx = [level("UpToDate", "2024-03-13", tdx=[0, 0, svn]) for svn in (3, 2)]
    assert tcb_info(tcbLevels=by_tdx).verify().tcb_status is TcbStatus.UP_TO_DATE
    with pytest.raises(QuoteValidationError, match="highest to lowest"):
        tcb_info(tcbLevels=by_tdx[::-1]).verify()


def test_the_modules_id_is_read_in_any_case() -> None:
    assert module(id="tdx_01").verify().verified


def relaunched(change: Callable[[TdxBuilder], None] | None = None, **report: bytes) -> TdxBuilder:
    """A TD that was launched with module SVN 2 (out of date) and has 5 loaded now."""
    fields = {"tee_tcb_svn": bytes([2, 1, 3, *[0] * 13]), **report}
    builder = V5.with_report(**fields).but(tcb_info=copy.deepcopy(V5.tcb_info))
    if change is not None:
        change(builder)
    return builder


def test_a_relaunch_is_advised_where_the_loaded_module_is_current() -> None:
    claims = relaunched().verify()
    assert claims.tcb_status is TcbStatus.TD_RELAUNCH_ADVISED
    (part,) = claims.steps[10].parts
    assert (part.name, part.detail) == (
        "TDX relaunch",
        "launched: OutOfDate, loaded: UpToDate",
    )


def test_a_relaunch_that_needs_configuration_says_so() -> None:
    def configuration(builder: TdxBuilder) -> None:
        builder.tcb_info["tcbLevels"][0]["tcbStatus"] = "ConfigurationNeeded"

    claims = relaunched(configuration).verify()
    assert claims.tcb_status is TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED


@pytest.mark.parametrize(
    "loaded",
    [
        bytes([2, 1, 3, *[0] * 13]),  # the same
        bytes([5, 7, 3, *[0] * 13]),  # a version without identity
        bytes([1, 1, 3, *[0] * 13]),  # older than all
        bytes(16),
    ],
)
def test_no_relaunch_is_advised_where_it_would_not_help(loaded: bytes) -> None:
    claims = relaunched(tee_tcb_svn2=loaded).verify()
    assert claims.tcb_status is TcbStatus.OUT_OF_DATE


def revoke_module(builder: TdxBuilder) -> None:
    """Version 1 of the module is revoked below SVN 5."""
    builder.module["tcbLevels"] = [module_level(5, "UpToDate"), module_level(1, "Revoked")]


def revoke_platform(builder: TdxBuilder) -> None:
    """The platform is revoked below TDX component 3."""
    builder.tcb_info["tcbLevels"] = [
        level("UpToDate", "2024-03-13", tdx=[0, 0, 3]),
        level("Revoked", "2023-03-13", tdx=[0, 0, 1]),
    ]


@pytest.mark.parametrize(
    ("revoke", "loaded"),
    [
        (revoke_module, (2, 1, 3)),
        (revoke_platform, (5, 1, 2)),
        (revoke_platform, (5, 9, 2)),  # a version without identity hides no revoked platform
    ],
    ids=["module", "platform", "platform under an unknown module"],
)
def test_a_td_under_a_revoked_module_is_refused_whatever_it_was_launched_with(
    revoke: Callable[[TdxBuilder], None], loaded: tuple[int, ...]
) -> None:
    """The module that is loaded now can read the TD's memory."""
    current = bytes([5, 1, 3, *[0] * 13])
    launched_well = relaunched(revoke, tee_tcb_svn=current, tee_tcb_svn2=current)
    assert launched_well.verify().tcb_status is TcbStatus.UP_TO_DATE
    now = launched_well.with_report(tee_tcb_svn2=bytes(loaded) + bytes(13))
    with pytest.raises(TcbStatusError, match="revoked") as caught:
        now.verify()
    assert caught.value.status == "Revoked"


def test_an_outdated_quoting_enclave_is_not_mended_by_a_relaunch() -> None:
    builder = relaunched()
    identity = {**V5.qe_identity, "tcbLevels": [module_level(5, "OutOfDate")]}
    assert builder.but(qe_identity=identity).verify().tcb_status is TcbStatus.OUT_OF_DATE


def test_a_nonce_makes_a_quote_fresh() -> None:
    nonce = bytes(range(32))
    fresh = V4.but(nonce=nonce)
    assert fresh.verify(nonce=nonce).fresh
    assert fresh.verify(nonce=nonce).steps[11].detail.endswith("made for the nonce")
    for claims in (fresh.verify(), fresh.verify(nonce=bytes(32)), V4.verify(nonce=nonce)):
        assert claims.verified
        assert not claims.fresh


@pytest.mark.parametrize("binding", ["raw64", "raw32", "sha256"])
def test_each_binding_holds_for_its_own_data_only(binding: str) -> None:
    data = V4.body()[520:584]
    held = {"raw64": data, "raw32": data[:32], "sha256": HELD}
    for name, value in held.items():
        terms = {"trust_root": V4.root, "at": NOW, "binding": binding}
        if name == binding:
            assert verify_dcap_attestation(V4.quote(), V4.collateral(), value, **terms).verified
        else:
            with pytest.raises(QuoteValidationError) as caught:
                verify_dcap_attestation(V4.quote(), V4.collateral(), value, **terms)
            assert caught.value.step == 12


def test_an_unknown_binding_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="guess"):
        V4.verify(binding="guess")
