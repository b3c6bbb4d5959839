"""TD reports of any content, read by an independent parser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server.tee.emulated import TdReport


def exactly(size):
    return st.binary(min_size=size, max_size=size)


NUMBERS = st.integers(0, 2**64 - 1)
WIDE = ["mr_seam", "mr_signer_seam", "mr_td", "mr_config_id", "mr_owner", "mr_owner_config"]
FIELDS = {
    "tee_tcb_svn": exactly(16),
    "seam_attributes": exactly(8),
    "td_attributes": NUMBERS,
    "xfam": NUMBERS,
    **{name: exactly(48) for name in (*WIDE, "rtmr0", "rtmr1", "rtmr2", "rtmr3")},
}
ADDED = {"tee_tcb_svn2": exactly(16), "mr_service_td": exactly(48)}


@given(st.fixed_dictionaries(FIELDS), exactly(64))
def test_a_report_of_tdx_1_0_has_584_bytes_and_every_field(fields, report_data):
    packed = TdReport(**fields).pack(report_data)
    assert len(packed) == 584
    assert packed[520:] == report_data
    assert packed[120:136] == b"".join(
        fields[name].to_bytes(8, "little") for name in ("td_attributes", "xfam")
    )
    rtmrs = b"".join(fields[f"rtmr{number}"] for number in range(4))
    assert packed[328:520] == rtmrs
    assert packed[136:184] == fields["mr_td"]


@given(st.fixed_dictionaries(FIELDS), st.fixed_dictionaries(ADDED), exactly(64))
def test_a_report_of_tdx_1_5_is_one_of_1_0_and_64_bytes(fields, added, report_data):
    older = TdReport(**fields).pack(report_data)
    newer = TdReport(**fields, **added).pack(report_data)
    assert newer == older + added["tee_tcb_svn2"] + added["mr_service_td"]
