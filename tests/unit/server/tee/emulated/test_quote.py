"""Quotes taken apart with `struct`, their signatures checked by `cryptography`."""

from __future__ import annotations

import hashlib
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from blindai_async.server.tee.emulated import EmulatedPlatform, new_key

HELD = b"the enclave's certificate"


def parts(quote):
    """Take a quote of well-formed lengths apart."""
    (size,) = struct.unpack_from("<I", quote, 432)
    data = quote[436:]
    assert len(data) == size
    (n,) = struct.unpack_from("<H", data, 576)
    kind, m = struct.unpack_from("<HI", data, 578 + n)
    assert len(data) == 584 + n + m
    return {
        "header": quote[:48],
        "report": quote[48:432],
        "signature": data[:64],
        "attestation_key": data[64:128],
        "qe_report": data[128:512],
        "qe_signature": data[512:576],
        "authentication_data": data[578 : 578 + n],
        "certification_type": kind,
        "certification_data": data[584 + n :],
    }


def verify(key, signature, message):
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def attestation_key(quote):
    point = b"\x04" + parts(quote)["attestation_key"]
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def check_chain_of_signatures(platform, quote):
    p = parts(quote)
    verify(platform.blueprint.pki.pck.key.public_key(), p["qe_signature"], p["qe_report"])
    digest = hashlib.sha256(p["attestation_key"] + p["authentication_data"]).digest()
    assert p["qe_report"][320:] == digest + bytes(32)
    verify(attestation_key(quote), p["signature"], p["header"] + p["report"])


def test_a_quote_is_signed_from_the_pck_key_down_to_the_held_data(platform):
    quote = platform.evidence(HELD).quote
    check_chain_of_signatures(platform, quote)
    assert parts(quote)["report"][320:] == hashlib.sha256(HELD).digest() + bytes(32)


def test_the_header_is_that_of_a_real_quote(platform, real_attestation):
    ours, real = platform.evidence(HELD).quote[:28], real_attestation.quote[:28]
    assert ours[:8] == real[:8]
    assert ours[12:] == real[12:]


def test_the_chain_stands_leaf_first_in_pem(platform):
    p = parts(platform.evidence(HELD).quote)
    chain = platform.blueprint.pki.pem("pck", "intermediate", "root")
    assert (p["certification_type"], p["certification_data"]) == (5, chain.encode())


def test_the_enclave_is_a_production_enclave_as_the_platform_says(platform):
    report = parts(platform.evidence(HELD).quote)["report"]
    flags, xfrm = struct.unpack_from("<QQ", report, 48)
    assert (flags, xfrm & 0x1B) == (0x5, 0x3)
    assert report[16:48] == bytes(32)
    assert report[64:96] == platform.mr_enclave
    assert report[128:160] == platform.mr_signer


def test_every_field_of_the_report_stands_at_its_offset(platform):
    changes = {
        "cpu_svn": b"c" * 16,
        "misc_select": 0x01020304,
        "attributes_flags": 0x1112131415161718,
        "attributes_xfrm": 0x2122232425262728,
        "mr_enclave": b"e" * 32,
        "mr_signer": b"s" * 32,
        "isv_prod_id": 0x3132,
        "isv_svn": 0x4142,
        "report_data": b"d" * 64,
    }
    spoiled = platform.with_changes({f"enclave.{name}": v for name, v in changes.items()})
    expected = (
        b"c" * 16
        + bytes.fromhex("04030201")
        + bytes(28)
        + bytes.fromhex("18171615141312112827262524232221")
        + b"e" * 32
        + bytes(32)
        + b"s" * 32
        + bytes(96)
        + bytes.fromhex("32314241")
        + bytes(60)
        + b"d" * 64
    )
    quote = spoiled.evidence(HELD).quote
    assert parts(quote)["report"] == expected
    check_chain_of_signatures(spoiled, quote)


@pytest.mark.parametrize(
    ("knob", "value", "offset", "written"),
    [
        ("version", 4, 0, "0400"),
        ("key_type", 3, 2, "0300"),
        ("tee_type", 0x81, 4, "81000000"),
        ("qe_svn", 0x0102, 8, "0201"),
        ("pce_svn", 0x0304, 10, "0403"),
        ("vendor_id", bytes(16), 12, "00" * 16),
        ("user_data", b"\xff" * 20, 28, "ff" * 20),
    ],
)
def test_header_fields_can_be_wrong_and_are_signed_as_they_are(
    platform, knob, value, offset, written
):
    spoiled = platform.with_changes({f"quote.{knob}": value})
    quote = spoiled.evidence(HELD).quote
    assert quote[offset : offset + len(written) // 2].hex() == written
    check_chain_of_signatures(spoiled, quote)


def test_reserved_bytes_can_be_overwritten_before_signing(platform):
    changes = {
        "enclave.overwrites": ((20, b"\x01"),),
        "quoting_enclave.report.overwrites": ((352, b"\x01"),),
    }
    quote = platform.with_changes(changes).evidence(HELD).quote
    p = parts(quote)
    assert (p["report"][20], p["qe_report"][352]) == (1, 1)
    verify(platform.blueprint.pki.pck.key.public_key(), p["qe_signature"], p["qe_report"])
    verify(attestation_key(quote), p["signature"], p["header"] + p["report"])


@pytest.mark.parametrize("patch", [(384, b"x"), (-1, b"x"), (383, b"xx"), (20, b"\x00")])
def test_an_overwrite_outside_the_report_or_without_effect_is_refused(platform, patch):
    with pytest.raises(ValueError, match="change nothing"):
        platform.with_changes({"enclave.overwrites": (patch,)}).evidence(HELD)


@pytest.mark.parametrize("knob", ["report_signing_key", "quote_signing_key"])
def test_forged_signatures_do_not_verify(platform, knob):
    spoiled = platform.with_changes({f"quoting_enclave.{knob}": new_key()})
    with pytest.raises(InvalidSignature):
        check_chain_of_signatures(spoiled, spoiled.evidence(HELD).quote)


def test_the_attestation_key_can_be_one_that_does_not_sign(platform):
    spoiled = platform.with_changes({"quoting_enclave.announced_key": b"\x01" * 64})
    assert parts(spoiled.evidence(HELD).quote)["attestation_key"] == b"\x01" * 64


def test_authentication_and_certification_data_can_be_others(platform):
    spoiled = platform.with_changes(
        {
            "quoting_enclave.authentication_data": b"",
            "quote.certification_type": 6,
            "quote.certification_data": b"",
        }
    )
    quote = spoiled.evidence(HELD).quote
    p = parts(quote)
    assert (p["authentication_data"], p["certification_type"], p["certification_data"]) == (
        b"",
        6,
        b"",
    )
    check_chain_of_signatures(spoiled, quote)


@pytest.mark.parametrize(
    ("knob", "offset", "layout"),
    [
        ("signature_length", 432, "<I"),
        ("authentication_length", 1012, "<H"),
        ("certification_length", 1048, "<I"),
    ],
)
def test_announced_lengths_can_lie(platform, knob, offset, layout):
    true = platform.evidence(HELD).quote
    spoiled = platform.with_changes({f"quote.{knob}": 5}).evidence(HELD).quote
    assert struct.unpack_from(layout, spoiled, offset) == (5,)
    assert len(spoiled) == len(true)


def test_bytes_can_follow_within_and_after_the_announced_length(platform):
    true = platform.evidence(HELD).quote
    within = platform.with_changes({"quote.extra_signature_data": b"xyz"}).evidence(HELD).quote
    assert struct.unpack_from("<I", within, 432) == (len(true) - 436 + 3,)
    assert within.endswith(b"xyz")
    after = (
        platform.with_changes({"quote.after_signing": lambda quote: quote + b"x"})
        .evidence(HELD)
        .quote
    )
    assert struct.unpack_from("<I", after, 432) == (len(true) - 436,)
    assert len(after) == len(true) + 1


def test_a_quote_can_be_cut_anywhere(platform):
    cut = platform.with_changes({"quote.after_signing": lambda quote: quote[:100]})
    assert len(cut.evidence(HELD).quote) == 100


def test_two_platforms_share_no_key():
    one, other = EmulatedPlatform().evidence(HELD).quote, EmulatedPlatform().evidence(HELD).quote
    assert parts(one)["attestation_key"] != parts(other)["attestation_key"]
