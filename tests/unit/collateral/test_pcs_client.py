"""What PcsClient is made with; what it does stands in tests/integration/collateral."""

from __future__ import annotations

import importlib.util

import pytest

from blindai_async import connect
from blindai_async.collateral import INTEL_PCS_URL, PcsClient
from blindai_async.collateral.sources import collateral_source


def test_intels_service_is_asked_where_none_is_named():
    assert PcsClient().url == INTEL_PCS_URL == "https://api.trustedservices.intel.com"


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout):
    with pytest.raises(ValueError, match="timeout"):
        PcsClient(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, "10", True])
def test_a_timeout_of_another_kind_is_refused(timeout):
    with pytest.raises(TypeError, match="timeout"):
        PcsClient(timeout=timeout)


@pytest.mark.parametrize("proxy", ["", "proxy.example", "ftp://proxy", "http:user:secret"])
def test_a_proxy_that_is_none_is_refused_without_telling_secrets(proxy):
    with pytest.raises(ValueError, match="proxy is not a URL") as caught:
        PcsClient(proxy=proxy)
    assert "secret" not in str(caught.value)


def test_connections_to_one_service_share_a_client():
    assert collateral_source("pcs") is collateral_source("pcs")
    assert collateral_source("https://a.example") is collateral_source("https://a.example")
    assert collateral_source("https://a.example") is not collateral_source("https://b.example")


def test_no_text_is_no_directory():
    with pytest.raises(ValueError, match='"server" takes what the server sends'):
        collateral_source("")


def test_a_missing_extra_is_named_before_anything_is_sent(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "httpx2" else find_spec(name, *more),
    )
    for make in (PcsClient, lambda: connect("127.0.0.1", collateral="https://c.example")):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'blindai-async\[collateral\]'"):
            make()
