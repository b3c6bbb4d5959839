"""The DER reader: what it reads, and that nothing but its own error comes out."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509 import der
from blindai_async.server.tee.emulated import der as writer


@given(st.binary(max_size=70_000))
@example(bytes(127))
@example(bytes(128))
@example(bytes(65_536))
def test_an_element_of_any_length_is_read_back(content: bytes) -> None:
    encoded = writer.octet_string(content)
    start, end = der.expect(encoded, 0, len(encoded), der.OCTET_STRING)
    assert encoded[start:end] == content
    assert der.children(encoded, 0, len(encoded)) == [(der.OCTET_STRING, 0, start, end)]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_children_are_listed_in_order(contents: list[bytes]) -> None:
    elements = [writer.octet_string(content) for content in contents]
    encoded = b"".join(elements)
    found = der.children(encoded, 0, len(encoded))
    assert [encoded[start:end] for _, _, start, end in found] == contents
    assert [encoded[begin:end] for _, begin, _, end in found] == elements


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "04",
        "0401",
        "0480",  # indefinite
        "048000",
        "048100",  # not the shortest form
        "04817f" + "00" * 127,
        "0482007f" + "00" * 127,
        "048200ff" + "00" * 255,
        "0485000000000100",  # five length bytes
        "0484ffffffff",
        "04ff",
        "1f0100",  # a multi-byte tag
        "3f8101",
        "0402ff",
    ],
)
def test_what_a_correct_encoder_would_not_write_is_refused(encoded: str) -> None:
    data = bytes.fromhex(encoded)
    with pytest.raises(EvidenceError):
        der.read(data, 0, len(data))
    if data:
        with pytest.raises(EvidenceError):
            der.children(data, 0, len(data))


def test_an_element_must_not_run_over_its_container() -> None:
    data = writer.octet_string(b"1234") + b"more"
    with pytest.raises(EvidenceError, match="runs over"):
        der.read(data, 0, 5)
    with pytest.raises(EvidenceError, match="runs over"):
        der.children(data, 0, 5)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        elements = der.children(data, 0, len(data))
    except EvidenceError:
        return
    assert (elements[-1][3] if elements else 0) == len(data)
    for tag, begin, start, end in elements:
        assert der.read(data, begin, len(data)) == (tag, start, end)


@given(st.integers(0, 2**160 - 1))
def test_integers_are_read_back(value: int) -> None:
    encoded = writer.integer(value)
    start, end = der.expect(encoded, 0, len(encoded), der.INTEGER)
    assert der.integer(encoded[start:end], 2**160 - 1) == value


@pytest.mark.parametrize("content", ["", "80", "ff01", "0001", "007f", "0100"])
def test_integers_of_another_form_or_size_are_refused(content: str) -> None:
    with pytest.raises(EvidenceError):
        der.integer(bytes.fromhex(content), 255)


@pytest.mark.parametrize("dotted", ["1.2.840.113741.1.13.1", "2.5.29.19", "1.3.6.1.3.2", "2.999.1"])
def test_object_identifiers_are_encoded(dotted: str) -> None:
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), b"")
    encoded = writer.object_identifier(extension.oid.dotted_string)
    assert encoded == writer.element(der.OID, der.oid_bytes(dotted))
