"""Quotes of version 4 and 5 taken apart with `struct`, their signatures checked."""

from __future__ import annotations

import hashlib
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blindai_async.server.tee.emulated import EmulatedPlatform, new_key
from blindai_async.server.tee.platform import report_data_for

FORMS = {
    "sgx-4": ({"tee": "sgx", "quote_version": 4}, None, 384),
    "sgx-5": ({"tee": "sgx", "quote_version": 5}, 1, 384),
    "tdx-4": ({"tee": "tdx", "quote_version": 4}, None, 584),
    "tdx-5-1.0": ({"tee": "tdx", "quote_version": 5, "td_report": "1.0"}, 2, 584),
    "tdx-5-1.5": ({"tee": "tdx", "quote_version": 5}, 3, 648),
}


@pytest.fixture(scope="module", params=FORMS)
def form(request, now):
    arguments, body_type, size = FORMS[request.param]
    return EmulatedPlatform(**arguments, now=now), body_type, size


@pytest.fixture(scope="module")
def tdx(now):
    return EmulatedPlatform("tdx", now=now, quote_version=5)


def take(data, size):
    assert len(data) >= size
    return data[:size], data[size:]


def certified(data):
    """The key's certificate: QE report, its signature, authentication data, PCK chain."""
    qe_report, data = take(data, 384)
    qe_signature, data = take(data, 64)
    size, data = take(data, 2)
    authentication, data = take(data, *struct.unpack("<H", size))
    head, data = take(data, 6)
    kind, length = struct.unpack("<HI", head)
    assert (kind, length) == (5, len(data))
    return qe_report, qe_signature, authentication, data


def verify(key, signature, message):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def check(platform, quote, signed):
    """Follow the signatures from the PCK key to the report, by the layout of versions 4 and 5."""
    (length,) = struct.unpack_from("<I", quote, signed)
    data = quote[signed + 4 :]
    assert len(data) == length
    signature, data = take(data, 64)
    key, data = take(data, 64)
    head, data = take(data, 6)
    assert struct.unpack("<HI", head) == (6, len(data))
    qe_report, qe_signature, authentication, chain = certified(data)
    assert chain == platform.blueprint.pki.pem("pck", "intermediate", "root").encode()
    verify(platform.blueprint.pki.pck.key.public_key(), qe_signature, qe_report)
    assert qe_report[320:] == hashlib.sha256(key + authentication).digest() + bytes(32)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key)
    verify(point, signature, quote[:signed])


def test_the_layout_and_the_signatures_are_those_of_the_version(form):
    platform, body_type, size = form
    quote = platform.evidence(b"held").quote
    version, key_type, tee_type, reserved = struct.unpack_from("<HHII", quote)
    assert version == platform.blueprint.quote.version
    assert (key_type, reserved) == (2, 0)
    assert tee_type == (0x81 if platform.tee == "tdx" else 0)
    body = 48
    if body_type is not None:
        assert struct.unpack_from("<HI", quote, 48) == (body_type, size)
        body = 54
    report = quote[body : body + size]
    data_offset = 320 if platform.tee == "sgx" else 520
    assert report[data_offset : data_offset + 64] == report_data_for(b"held")
    check(platform, quote, body + size)


def test_every_field_of_a_td_report_stands_at_its_offset(tdx):
    fields = {
        "tee_tcb_svn": (0, b"0" * 16),
        "mr_seam": (16, b"1" * 48),
        "mr_signer_seam": (64, b"2" * 48),
        "seam_attributes": (112, b"3" * 8),
        "td_attributes": (120, 0x4142434445464748),
        "xfam": (128, 0x5152535455565758),
        "mr_td": (136, b"6" * 48),
        "mr_config_id": (184, b"7" * 48),
        "mr_owner": (232, b"8" * 48),
        "mr_owner_config": (280, b"9" * 48),
        "rtmr0": (328, b"a" * 48),
        "rtmr1": (376, b"b" * 48),
        "rtmr2": (424, b"c" * 48),
        "rtmr3": (472, b"d" * 48),
        "report_data": (520, b"e" * 64),
        "tee_tcb_svn2": (584, b"f" * 16),
        "mr_service_td": (600, b"g" * 48),
    }
    quote = tdx.with_changes({f"td.{name}": value for name, (_, value) in fields.items()}).quote(
        bytes(64)
    )
    report, position = quote[54 : 54 + 648], 0
    for name, (offset, value) in fields.items():
        written = value if isinstance(value, bytes) else value.to_bytes(8, "little")
        assert offset == position, name
        assert report[offset : offset + len(written)] == written, name
        position += len(written)
    assert position == 648


@pytest.mark.parametrize(
    ("knob", "value", "offset", "layout"),
    [
        ("body_type", 4, 48, "<H"),
        ("body_size", 584, 50, "<I"),
        ("signature_length", 5, 54 + 648, "<I"),
        ("wrapper_type", 5, 54 + 648 + 4 + 128, "<H"),
        ("wrapper_length", 7, 54 + 648 + 4 + 130, "<I"),
        ("authentication_length", 31, 54 + 648 + 4 + 134 + 448, "<H"),
        ("certification_length", 9, 54 + 648 + 4 + 134 + 448 + 2 + 32 + 2, "<I"),
    ],
)
def test_types_and_announced_lengths_can_lie(tdx, knob, value, offset, layout):
    true = tdx.quote(bytes(64))
    spoiled = tdx.with_changes({f"quote.{knob}": value}).quote(bytes(64))
    assert struct.unpack_from(layout, spoiled, offset) == (value,)
    assert len(spoiled) == len(true)


def test_bytes_can_follow_inside_each_of_the_three_lengths(tdx):
    true = len(tdx.quote(bytes(64)))
    ends = {
        "quote.extra_wrapped_data": (b"xyz", 3, 3),
        "quote.extra_signature_data": (b"xyz", 0, 3),
        "quote.after_signing": (lambda quote: quote + b"xyz", 0, 0),
    }
    for path, (value, wrapped, signature) in ends.items():
        quote = tdx.with_changes({path: value}).quote(bytes(64))
        assert len(quote) == true + 3
        assert quote.endswith(b"xyz")
        (data,) = struct.unpack_from("<I", quote, 54 + 648)
        (inner,) = struct.unpack_from("<I", quote, 54 + 648 + 4 + 130)
        assert data == true - 54 - 648 - 4 + signature, path
        assert inner == true - 54 - 648 - 4 - 134 + wrapped, path


def test_the_body_s_type_is_signed(tdx):
    flipped = bytearray(tdx.quote(bytes(64)))
    flipped[48] ^= 1
    with pytest.raises(InvalidSignature):
        check(tdx, bytes(flipped), 54 + 648)


def test_a_reserved_bit_can_be_set_before_signing(tdx):
    spoiled = tdx.with_changes({"td.overwrites": ((120, b"\x02"),)})
    quote = spoiled.quote(bytes(64))
    assert quote[54 + 120] == 2
    check(spoiled, quote, 54 + 648)


@pytest.mark.parametrize("knob", ["report_signing_key", "quote_signing_key"])
def test_forged_signatures_do_not_verify(form, knob):
    platform, body_type, size = form
    spoiled = platform.with_changes({f"quoting_enclave.{knob}": new_key()})
    with pytest.raises(InvalidSignature):
        check(spoiled, spoiled.quote(bytes(64)), (48 if body_type is None else 54) + size)
