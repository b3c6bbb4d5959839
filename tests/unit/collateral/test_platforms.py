"""Which platform a quote is from, as it says itself."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.collateral.platforms import Platform, UncertifiedPlatform, platform_of_quote
from blindai_async.errors import QuoteValidationError
from blindai_async.server.tee.emulated import EmulatedPlatform, PckCa, PlatformIdentity

# As for the conformance tests: a folder of one's own, or what lies beside the repository.
BESIDE = Path(__file__).parents[4] / "shared" / "fixtures" / "evidence"
EVIDENCE = Path(os.environ.get("BLINDAI_ASYNC_EVIDENCE_DIR", BESIDE))


@pytest.mark.parametrize("ca", list(PckCa))
def test_family_and_ca_are_read_from_the_pck_certificate(ca):
    platform = EmulatedPlatform(identity=PlatformIdentity(mr_enclave=bytes(32), pck_ca=ca))
    fmspc = platform.blueprint.pki.pck.sgx_extension.fmspc
    name = "platform" if ca is PckCa.PLATFORM else "processor"
    assert platform_of_quote(platform.evidence().quote) == Platform("sgx", fmspc, name)


def real_quotes():
    return sorted(EVIDENCE.glob("*.quote")) if EVIDENCE.is_dir() else []


@pytest.mark.parametrize("file", real_quotes(), ids=lambda file: file.stem)
def test_real_quotes_tell_their_platform(file):
    collateral = file.with_suffix(".collateral.json")
    try:
        platform = platform_of_quote(file.read_bytes())
    except QuoteValidationError as error:
        # Type 1 names the platform by a PPID that is not encrypted: nobody can be asked about it.
        assert "type 1" in str(error)  # noqa: PT017 - which quotes are refused, differs by file
        assert file.stem == "sgx_v3_intel_qvl_sample"
        return
    if isinstance(platform, UncertifiedPlatform):
        assert file.stem == "sgx_v3_oasis_ppid3"
        assert len(platform.encrypted_ppid) == 384
        return
    assert platform.tee == file.name[:3]
    if collateral.is_file():
        tcb_info = json.loads(json.loads(collateral.read_text())["tcb_info"])["tcbInfo"]
        assert platform.fmspc.hex() == tcb_info["fmspc"].lower()


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_refused_and_nothing_worse(junk):
    with pytest.raises(QuoteValidationError):
        platform_of_quote(junk)


@given(position=st.integers(0, 5000), value=st.integers(0, 255))
def test_a_spoilt_quote_tells_a_platform_or_is_refused(quote, position, value):
    spoilt = bytearray(quote)
    spoilt[position % len(quote)] = value
    with contextlib.suppress(QuoteValidationError):  # and with nothing else
        assert platform_of_quote(bytes(spoilt)).tee in {"sgx", "tdx"}


@pytest.fixture(scope="module")
def quote():
    return EmulatedPlatform().evidence().quote
