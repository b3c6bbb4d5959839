"""The URLs that a service of collateral is asked at."""

from __future__ import annotations

import pytest

from blindai_async.collateral.platforms import UncertifiedPlatform
from blindai_async.collateral.services import INTEL_PCS_URL, CollateralService, is_loopback

FMSPC = bytes.fromhex("00806f050000")


def test_intels_service_is_asked_as_its_reference_says():
    service = CollateralService(INTEL_PCS_URL)
    base = "https://api.trustedservices.intel.com"
    assert service.tcb_info("sgx", FMSPC).url == (
        f"{base}/sgx/certification/v4/tcb?fmspc=00806F050000"
    )
    assert service.tcb_info("tdx", FMSPC).url == (
        f"{base}/tdx/certification/v4/tcb?fmspc=00806F050000"
    )
    assert service.qe_identity("sgx").url == f"{base}/sgx/certification/v4/qe/identity"
    assert service.qe_identity("tdx").url == f"{base}/tdx/certification/v4/qe/identity"
    assert service.pck_crl("processor").url == (
        f"{base}/sgx/certification/v4/pckcrl?ca=processor&encoding=der"
    )
    assert service.root_crl().url == (
        "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
    )
    assert service.root_crl().chain_header is None


@pytest.mark.parametrize(
    "url",
    [
        "https://pccs.example",
        "https://pccs.example/",
        " https://pccs.example// ",
        "https://PCCS.example/sgx/certification/v4/",
        "https://pccs.example/tdx/certification/v4",
    ],
)
def test_a_pccs_has_one_base_however_it_is_written(url):
    service = CollateralService(url)
    assert service.base == "https://pccs.example"
    assert service.root_crl().url == "https://pccs.example/sgx/certification/v4/rootcacrl"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (
            "https://pccs.example:8081/inner/sgx/certification/v4/",
            "https://pccs.example:8081/inner",
        ),
        ("https://[2001:db8::1]:8081", "https://[2001:db8::1]:8081"),
        ("http://localhost:8081", "http://localhost:8081"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]/", "http://[::1]"),
    ],
)
def test_a_base_keeps_its_port_and_its_path(url, base):
    assert CollateralService(url).base == base


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not a URL"),
        ("pccs.example", "not a URL"),
        ("ftp://pccs.example", "not a URL"),
        ("https://", "not a URL"),
        ("https://pccs.example:port", "not a URL"),
        ("https://[::1", "not a URL"),
        ("http://pccs.example", "plain http"),
        ("http://127.0.0.1.example", "plain http"),
        ("http://localhost.example", "plain http"),
        ("http://10.0.0.1", "plain http"),
        ("https://user:secret@pccs.example", "more than host, port and path"),
        ("https://pccs.example/?key=secret", "more than host, port and path"),
        ("https://pccs.example/#there", "more than host, port and path"),
        ("https://pccs.example/sgx/certification/v3/", "version 3"),
    ],
)
def test_what_cannot_be_asked_is_refused_without_telling_secrets(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        CollateralService(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [None, b"https://pccs.example", 7])
def test_what_is_no_text_is_no_url(url):
    with pytest.raises(TypeError, match="is a str"):
        CollateralService(url)


def test_an_update_goes_where_it_counts():
    early = CollateralService("https://p.example", update="early")
    assert early.tcb_info("tdx", FMSPC).url.endswith("tcb?fmspc=00806F050000&update=early")
    assert early.qe_identity("sgx").url.endswith("qe/identity?update=early")
    assert "update" not in early.pck_crl("platform").url + early.root_crl().url
    numbered = CollateralService("https://p.example", tcb_evaluation_data_number=19)
    assert numbered.tcb_info("sgx", FMSPC).url.endswith("&tcbEvaluationDataNumber=19")
    assert numbered.qe_identity("tdx").url.endswith("?tcbEvaluationDataNumber=19")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"update": "late"}, ValueError),
        ({"update": None}, ValueError),
        ({"tcb_evaluation_data_number": 0}, ValueError),
        ({"tcb_evaluation_data_number": True}, TypeError),
        ({"tcb_evaluation_data_number": "17"}, TypeError),
        ({"tcb_evaluation_data_number": 17, "update": "early"}, ValueError),
    ],
)
def test_a_choice_that_is_none_is_refused(options, error):
    with pytest.raises(error, match=r"update|number"):
        CollateralService("https://p.example", **options)


def test_a_pck_certificate_is_asked_for_by_what_the_quote_tells():
    platform = UncertifiedPlatform("sgx", b"\xab" * 384, bytes(16), 13, b"\x00\x01", b"\x07" * 16)
    ours = CollateralService("https://p.example").pck_certificate(platform)
    assert f"encrypted_ppid={'ab' * 384}&cpusvn={'00' * 16}&pcesvn=0d00&pceid=0001" in ours.url
    assert ours.url.endswith(f"&qeid={'07' * 16}")
    assert ours.shown == "https://p.example/sgx/certification/v4/pckcert?…"
    assert "qeid" not in CollateralService(INTEL_PCS_URL).pck_certificate(platform).url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine_is_known_by_its_names(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.", "example", "0.0.0.0", "::", "::2", "128.0.0.1"])
def test_no_other_is(host):
    assert not is_loopback(host)
