"""The SGX extension of a PCK certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation.dcap.pck import parse_pck_extension
from blindai_async.attestation.dcap.tcb import PlatformTcb
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.server.tee.emulated import SgxExtension
from blindai_async.server.tee.emulated import der as writer

if TYPE_CHECKING:
    from collections.abc import Callable

SOUND = SgxExtension(
    ppid=bytes(range(16)),
    component_svns=(0, 1, 127, 128, 255, *range(11)),
    pce_svn=0x1234,
    cpu_svn=bytes(16),
    pce_id=b"\x01\x02",
    fmspc=b"\x30\x60\x6a\0\0\0",
)


@given(
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=2, max_size=2),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 65535),
    st.booleans(),
)
def test_what_is_written_is_read(
    fmspc: bytes, pce_id: bytes, components: bytes, pce_svn: int, of_platform_ca: bool
) -> None:
    written = SgxExtension(
        ppid=bytes(16),
        component_svns=tuple(components),
        pce_svn=pce_svn,
        cpu_svn=bytes(16),
        pce_id=pce_id,
        fmspc=fmspc,
        platform_instance_id=bytes(16) if of_platform_ca else None,
        configuration=(True, False, True) if of_platform_ca else None,
    ).encode()
    parsed = parse_pck_extension(written, of_platform_ca=of_platform_ca)
    assert (parsed.fmspc, parsed.pce_id) == (fmspc, pce_id)
    assert parsed.tcb == PlatformTcb(components, pce_svn)
    assert parse_pck_extension(written, of_platform_ca=True) == parsed
    if of_platform_ca:
        with pytest.raises(EvidenceError, match="only the platform CA"):
            parse_pck_extension(written, of_platform_ca=False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"\0",
        lambda data: data[:-1],
        lambda _: b"",
        lambda _: writer.sequence(),
        lambda _: writer.octet_string(b""),
        lambda _: writer.sequence(writer.octet_string(b"")),
        lambda _: writer.sequence(writer.sequence()),
        lambda data: writer.sequence(data),
        lambda data: writer.sequence(
            writer.sequence(writer.object_identifier("1.2.3"), writer.integer(1))
        ),
        lambda data: data.replace(bytes.fromhex("0a0101"), bytes.fromhex("020101")),
        lambda data: data.replace(bytes.fromhex("0a0101"), bytes.fromhex("0a0181")),
    ],
)
def test_other_forms_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    parse_pck_extension(SOUND.encode(), of_platform_ca=False)
    with pytest.raises(EvidenceError):
        parse_pck_extension(spoil(SOUND.encode()), of_platform_ca=False)


@given(st.binary(max_size=100), st.integers(0, 600), st.integers(1, 255))
def test_arbitrary_bytes_raise_nothing_else(data: bytes, position: int, mask: int) -> None:
    damaged = bytearray(SOUND.encode())
    damaged[position % len(damaged)] ^= mask
    for candidate in (data, bytes(damaged), bytes(damaged[:position]) + data):
        try:
            parse_pck_extension(candidate, of_platform_ca=True)
        except EvidenceError:
            continue
