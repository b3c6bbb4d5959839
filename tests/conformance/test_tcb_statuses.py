"""From security versions to the status that is returned, and the policy that judges it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blindai_async.attestation import Policy, TcbStatus, verify_claims
from blindai_async.errors import TcbStatusError

if TYPE_CHECKING:
    from .conftest import Platforms


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("platform", "quoting_enclave", "merged"),
    [
        ("UpToDate", "UpToDate", "UpToDate"),
        ("SWHardeningNeeded", "UpToDate", "SWHardeningNeeded"),
        ("ConfigurationNeeded", "UpToDate", "ConfigurationNeeded"),
        ("UpToDate", "OutOfDate", "OutOfDate"),
        ("SWHardeningNeeded", "OutOfDate", "OutOfDate"),
        ("ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
        (
            "ConfigurationAndSWHardeningNeeded",
            "OutOfDate",
            "OutOfDateConfigurationNeeded",
        ),
        ("OutOfDate", "UpToDate", "OutOfDate"),
        ("OutOfDateConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"),
    ],
)
def test_the_platforms_status_is_merged_with_its_quoting_enclaves(
    platforms: Platforms, version: int, platform: str, quoting_enclave: str, merged: str
) -> None:
    wanted = {
        "tcb_info.levels.0.status": platform,
        "qe_identity.levels.0.status": quoting_enclave,
        "tcb_info.levels.0.advisory_ids": ("INTEL-SA-00615", "INTEL-SA-00001"),
        "qe_identity.levels.0.advisory_ids": ("INTEL-SA-00615", "INTEL-SA-00002"),
    }
    change = {path: value for path, value in wanted.items() if value != "UpToDate"}
    claims = platforms.case(change, version=version).verify()
    assert claims.tcb_status is TcbStatus(merged)
    assert claims.advisory_ids == ("INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00615")
    policy = Policy.for_claims(claims)
    if merged in {"UpToDate", "SWHardeningNeeded"}:
        verify_claims(claims, policy)
    else:
        with pytest.raises(TcbStatusError) as caught:
            verify_claims(claims, policy)
        assert caught.value.status == merged
        assert caught.value.advisory_ids == claims.advisory_ids
        wider = policy.model_copy(update={"accepted_tcb_statuses": {claims.tcb_status}})
        verify_claims(claims, wider)


@pytest.mark.parametrize("version", [2, 3])
def test_the_first_level_that_the_platform_reaches_counts(
    platforms: Platforms, version: int
) -> None:
    blueprint = platforms.sound[version].blueprint
    svns = blueprint.pki.pck.sgx_extension.component_svns
    for position in range(6):
        lowered = (*svns[:position], svns[position] - 1, *svns[position + 1 :])
        case = platforms.case(
            {"pki.pck.sgx_extension.component_svns": lowered}
            if position not in (4, 5)
            else {
                "pki.pck.sgx_extension.component_svns": lowered,
                "tcb_info.levels.1.component_svns": (0,) * 16,
            },
            version=version,
        )
        claims = case.verify()
        assert claims.tcb_status is TcbStatus.OUT_OF_DATE
        assert claims.tcb_date == datetime(2021, 11, 10, tzinfo=UTC)
        assert claims.advisory_ids == ("EMULATED-SA-00001",)
    older = platforms.case({"pki.pck.sgx_extension.pce_svn": 11}, version=version).verify()
    assert older.tcb_status is TcbStatus.OUT_OF_DATE


def test_an_older_quoting_enclave_counts_as_out_of_date(platforms: Platforms) -> None:
    claims = platforms.case({"quoting_enclave.report.isv_svn": 6}).verify()
    assert claims.tcb_status is TcbStatus.OUT_OF_DATE


def test_a_revoked_platform_says_so_with_its_advisories(platforms: Platforms) -> None:
    change = {
        "tcb_info.levels.0.status": "Revoked",
        "tcb_info.levels.0.advisory_ids": ("INTEL-SA-00615",),
    }
    error = platforms.case(change).refusal(TcbStatusError, 11)
    assert isinstance(error, TcbStatusError)
    assert (error.status, error.advisory_ids) == ("Revoked", ("INTEL-SA-00615",))
    assert error.claims is not None
    assert error.claims.tcb_status is TcbStatus.REVOKED
