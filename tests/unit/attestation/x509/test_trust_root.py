"""Trust roots: Intel's is pinned, any other one is named in a warning."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from blindai_async.attestation import INTEL_SGX_ROOT, TrustRoot
from blindai_async.errors import PolicyFormatError, UntrustedRootWarning
from blindai_async.server.tee.emulated import LEAF_USAGE, EmulatedPlatform, new_key


def test_intels_root_is_the_documented_key() -> None:
    assert INTEL_SGX_ROOT.point.hex() == (
        "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f567918e2edc88e40d860bd0"
        "cc4ee26aacc988e505a953558c453f6b0904ae7394"
    )
    assert INTEL_SGX_ROOT.fingerprint.hex() == (
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
    )
    assert INTEL_SGX_ROOT.common_name == "Intel SGX Root CA"


def test_another_root_is_named_in_a_warning(platform: EmulatedPlatform, tmp_path: Path) -> None:
    certificate = platform.blueprint.pki.root.issue()
    digest = hashlib.sha256(certificate)
    with pytest.warns(UntrustedRootWarning, match=digest.hexdigest()) as caught:
        root = TrustRoot.from_pem(platform.root_pem)
    assert Path(caught[0].filename) == Path(__file__)
    assert root.fingerprint == digest.digest()
    assert root.point != INTEL_SGX_ROOT.point
    assert root.digest != INTEL_SGX_ROOT.digest
    assert digest.hexdigest() in root.name
    path = tmp_path / "root.pem"
    path.write_bytes(platform.root_pem)
    with pytest.warns(UntrustedRootWarning) as caught:
        assert TrustRoot.from_file(path) == root
    assert Path(caught[0].filename) == Path(__file__)
    with pytest.warns(UntrustedRootWarning):
        assert TrustRoot.from_pem(platform.root_pem.decode()) == root
    assert pickle.loads(pickle.dumps(root)) == root


def test_the_warning_can_be_made_an_error(platform: EmulatedPlatform) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UntrustedRootWarning):
            TrustRoot.from_pem(platform.root_pem)


@pytest.mark.parametrize(
    "changes",
    [
        {"pki.root.signing_key": new_key()},
        {"pki.root.ca": False, "pki.root.path_length": None},
        {"pki.root.key_usage": LEAF_USAGE},
        {"pki.root.key_usage": None},
        {"pki.root.issuer": "Somebody else"},
        {"pki.root.hash_name": "sha384"},
    ],
    ids=["signed by another", "no CA", "key usage", "no key usage", "issuer", "SHA-384"],
)
def test_a_certificate_that_is_no_root_is_refused(
    platform: EmulatedPlatform, changes: dict[str, object]
) -> None:
    with pytest.raises(PolicyFormatError) as caught:
        TrustRoot.from_pem(platform.with_changes(changes).root_pem)
    assert caught.value.key == "trust_root"


def test_other_files_are_refused(platform: EmulatedPlatform, tmp_path: Path) -> None:
    pki = platform.blueprint.pki
    for pem in ("", "text", platform.root_pem * 2, pki.pem("intermediate"), b"\xff"):
        with pytest.raises(PolicyFormatError):
            TrustRoot.from_pem(pem)
    with pytest.raises(FileNotFoundError):
        TrustRoot.from_file(tmp_path / "missing.pem")


@given(st.binary(max_size=100), st.text(max_size=100))
def test_arbitrary_input_raises_nothing_else(data: bytes, text: str) -> None:
    for candidate in (data, text):
        with pytest.raises(PolicyFormatError):
            TrustRoot.from_pem(candidate)


def test_a_root_on_another_curve_is_refused(platform: EmulatedPlatform) -> None:
    certificate = x509.load_pem_x509_certificate(platform.root_pem)
    assert certificate.subject == certificate.issuer
    text = platform.root_pem.decode().replace("CERTIFICATE", "TRUSTED CERTIFICATE")
    with pytest.raises(PolicyFormatError):
        TrustRoot.from_pem(text)
