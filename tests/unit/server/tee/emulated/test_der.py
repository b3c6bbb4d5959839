"""The DER writer against `cryptography`, and against a reader that knows nothing of the writer."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.server.tee.emulated import der

ANY_INTEGER = st.integers(-(1 << 300), 1 << 300)
ARCS = st.lists(st.integers(0, 1 << 70), max_size=8)


def read(data: bytes) -> tuple[int, bytes, bytes]:
    """Split one element off: tag, content, rest; refuses lengths that are not the shortest."""
    tag, first, rest = data[0], data[1], data[2:]
    if first < 0x80:
        size = first
    else:
        digits = rest[: first & 0x7F]
        rest = rest[len(digits) :]
        size = int.from_bytes(digits, "big")
        assert digits[0] != 0
        assert size >= 0x80
    assert len(rest) >= size
    return tag, rest[:size], rest[size:]


@given(ANY_INTEGER)
def test_an_integer_is_read_back_and_has_no_superfluous_byte(value):
    tag, content, rest = read(der.integer(value))
    assert (tag, rest) == (0x02, b"")
    assert int.from_bytes(content, "big", signed=True) == value
    if len(content) > 1:
        # X.690, 8.3.2: the first nine bits are neither all ones nor all zeros.
        assert int.from_bytes(content[:2], "big") >> 7 not in (0, 0x1FF)


@given(ANY_INTEGER)
def test_an_enumerated_has_the_content_of_an_integer(value):
    assert read(der.enumerated(value))[:2] == (0x0A, read(der.integer(value))[1])


@given(st.integers(0, 1 << 300), st.integers(0, 1 << 300))
def test_a_sequence_of_integers_is_what_cryptography_writes(r, s):
    assert der.sequence(der.integer(r), der.integer(s)) == encode_dss_signature(r, s)


@given(st.binary(max_size=300) | st.sampled_from([127, 128, 255, 256, 65535, 65536]).map(bytes))
def test_an_octet_string_is_what_cryptography_writes(value):
    assert der.octet_string(value) == x509.SubjectKeyIdentifier(value).public_bytes()


@given(st.integers(0, 2), st.integers(0, 39), ARCS)
def test_an_object_identifier_is_read_back(first, second, arcs):
    tag, content, rest = read(der.object_identifier(".".join(map(str, (first, second, *arcs)))))
    assert (tag, rest) == (0x06, b"")
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    assert numbers == [40 * first + second, *arcs]
    assert content[-1] < 0x80


@pytest.mark.parametrize(
    "dotted", ["1.2.840.113741.1.13.1", "1.2.840.113741.1.13.1.2.17", "2.5.29.21", "2.999.1"]
)
def test_an_object_identifier_is_what_cryptography_writes(dotted):
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(dotted), "x")])
    assert der.object_identifier(dotted) in name.public_bytes()


@pytest.mark.parametrize("dotted", ["3.1", "1.40", "0.40.1", "1", "", "1.x", "1.2.-3"])
def test_what_is_no_object_identifier_is_refused(dotted):
    with pytest.raises(ValueError, match=r"."):
        der.object_identifier(dotted)


def test_booleans_are_what_cryptography_writes():
    flagged = x509.BasicConstraints(ca=True, path_length=None)
    assert der.sequence(der.boolean(True)) == flagged.public_bytes()
    assert der.boolean(False) == b"\x01\x01\x00"


@given(st.lists(st.binary(max_size=200).map(der.octet_string), max_size=6))
def test_a_sequence_holds_its_elements_in_order(elements):
    tag, content, rest = read(der.sequence(*elements))
    assert (tag, content, rest) == (0x30, b"".join(elements), b"")
