"""The SGX extension against a real one, byte for byte, and its knobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from blindai_async.server.tee.emulated import SgxExtension, der
from blindai_async.server.tee.emulated.sgx_extension import SGX_EXTENSION_OID


@pytest.fixture(scope="module")
def extension():
    return SgxExtension(
        ppid=bytes(range(16)),
        component_svns=tuple(range(16)),
        pce_svn=11,
        cpu_svn=bytes(range(16)),
        pce_id=b"\x00\x00",
        fmspc=b"\x30\x60\x6a\x00\x00\x00",
        platform_instance_id=bytes(range(16, 32)),
        configuration=(True, False, True),
    )


def test_the_writer_reproduces_the_extension_of_a_real_pck_certificate(real_attestation):
    pem = real_attestation.collateral.pck_certificate.encode()
    oid = x509.ObjectIdentifier(SGX_EXTENSION_OID)
    real: Any = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_oid(oid).value
    ours = SgxExtension(
        ppid=bytes.fromhex("6927e80315e0c4f12ab58f3936af5d02"),
        component_svns=(4, 4, 3, 3, 255, 255, *([0] * 10)),
        pce_svn=11,
        cpu_svn=bytes((4, 4, 3, 3, 255, 255, *([0] * 10))),
        pce_id=bytes(2),
        fmspc=bytes.fromhex("30606a000000"),
        sgx_type=1,
        platform_instance_id=bytes.fromhex("0c6279b3bb4add976bc4d1f81ae3861a"),
        configuration=(True, True, True),
    )
    assert ours.encode() == real.value


def member(dotted: str, value: bytes) -> bytes:
    return der.sequence(der.object_identifier(f"{SGX_EXTENSION_OID}.{dotted}"), value)


MEMBERS = {
    "ppid": member("1", der.octet_string(bytes(range(16)))),
    "component01": member("2.1", der.integer(0)),
    "component16": member("2.16", der.integer(15)),
    "pce_svn": member("2.17", der.integer(11)),
    "cpu_svn": member("2.18", der.octet_string(bytes(range(16)))),
    "pce_id": member("3", der.octet_string(bytes(2))),
    "fmspc": member("4", der.octet_string(b"\x30\x60\x6a\x00\x00\x00")),
    "sgx_type": member("5", der.enumerated(1)),
    "platform_instance_id": member("6", der.octet_string(bytes(range(16, 32)))),
    "dynamic_platform": member("7.1", der.boolean(True)),
    "cached_keys": member("7.2", der.boolean(False)),
    "smt_enabled": member("7.3", der.boolean(True)),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_each_member_can_be_left_out_written_twice_or_given_another_value(extension, name):
    written = MEMBERS[name]
    assert extension.encode().count(written) == 1
    assert written not in replace(extension, omitted=frozenset({name})).encode()
    assert written * 2 in replace(extension, repeated=frozenset({name})).encode()
    wrong = der.element(0x0C, b"text")
    spoiled = replace(extension, values=((name, wrong),)).encode()
    assert written not in spoiled
    assert wrong in spoiled


@pytest.mark.parametrize("name", ["tcb", "configuration"])
def test_whole_sequences_can_be_left_out(extension, name):
    shorter = replace(extension, omitted=frozenset({name})).encode()
    assert len(shorter) < len(extension.encode()) - 50


def test_what_the_processor_ca_does_not_certify_is_left_out(extension):
    bare = replace(extension, platform_instance_id=None, configuration=None).encode()
    assert MEMBERS["platform_instance_id"] not in bare
    assert MEMBERS["cached_keys"] not in bare


def test_bytes_can_follow_the_sequence(extension):
    assert replace(extension, trailing=b"\x05\x00").encode() == extension.encode() + b"\x05\x00"
