"""A platform over a restart: the same identity, readable by its owner alone."""

from __future__ import annotations

import json
import os
import stat
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from blindai_async.server.tee.emulated import EmulatedPlatform, PckCa, PlatformIdentity
from blindai_async.server.tee.emulated.storage import FILE_NAME

RSA_KEY = (
    rsa.generate_private_key(65537, 1024)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def public_keys(platform):
    pki = platform.blueprint.pki
    return [t.key.public_key() for t in (pki.root, pki.intermediate, pki.pck, pki.tcb_signer)]


def test_a_loaded_platform_is_the_saved_one(tmp_path, now):
    identity = PlatformIdentity(isv_prod_id=3, isv_svn=4, pck_ca=PckCa.PROCESSOR)
    saved = EmulatedPlatform(identity=identity, now=now)
    saved.save(tmp_path)
    loaded = EmulatedPlatform.load(tmp_path, now=now + timedelta(days=1))
    assert loaded.root_pem == saved.root_pem
    assert public_keys(loaded) == public_keys(saved)
    assert loaded.policy_toml == saved.policy_toml
    assert (loaded.mr_enclave, loaded.mr_signer) == (saved.mr_enclave, saved.mr_signer)
    for name in ("isv_prod_id", "isv_svn", "pck_ca"):
        assert getattr(loaded.identity, name) == getattr(identity, name)
    held = slice(500, 564)  # the attestation key
    assert loaded.evidence(b"x").quote[held] == saved.evidence(b"x").quote[held]


def test_what_would_expire_is_issued_anew(tmp_path, now):
    EmulatedPlatform(now=now).save(tmp_path)
    later = now + timedelta(days=10 * 365)
    loaded = EmulatedPlatform.load(tmp_path, now=later)
    for name in ("pck", "intermediate", "tcb_signer", "root"):
        cert = x509.load_pem_x509_certificate(loaded.blueprint.pki.pem(name).encode())
        assert cert.not_valid_before_utc < later < cert.not_valid_after_utc
    assert loaded.blueprint.tcb_info.issue_date < later < loaded.blueprint.tcb_info.next_update


def test_a_root_that_expires_is_issued_anew_with_its_key(tmp_path, now):
    saved = EmulatedPlatform(now=now)
    saved.save(tmp_path)
    root = saved.blueprint.pki.root
    for moment in (root.not_after - timedelta(days=1), root.not_before - timedelta(days=1)):
        loaded = EmulatedPlatform.load(tmp_path, now=moment)
        assert loaded.root_pem != saved.root_pem
        assert public_keys(loaded) == public_keys(saved)


def test_a_second_restart_keeps_the_root_too(tmp_path, now):
    first = EmulatedPlatform(now=now)
    first.save(tmp_path)
    second = EmulatedPlatform.load(tmp_path, now=now + timedelta(days=2))
    second.save(tmp_path)
    assert EmulatedPlatform.load(tmp_path).root_pem == first.root_pem


def test_only_the_owner_may_read(tmp_path, platform):
    directory = tmp_path / "new" / "state"
    old_umask = os.umask(0)
    try:
        path = platform.save(directory)
    finally:
        os.umask(old_umask)
    assert path == directory / FILE_NAME
    assert (mode(directory), mode(path)) == (0o700, 0o600)


def test_an_existing_directory_is_closed_to_others(tmp_path, platform):
    tmp_path.chmod(0o755)
    platform.save(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path, platform, monkeypatch):
    platform.save(tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes()

    def full(_descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        EmulatedPlatform().save(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_changed_platform_is_not_saved(tmp_path, platform):
    with pytest.raises(ValueError, match="not for keeping"):
        platform.with_changes({"pki.pck.ca": True}).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_saved_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        EmulatedPlatform.load(tmp_path)


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path, platform, wide):
    path = platform.save(tmp_path)
    path.chmod(wide)
    with pytest.raises(PermissionError, match="others may read"):
        EmulatedPlatform.load(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda saved: None,
        lambda saved: [],
        lambda saved: {**saved, "format": 1},
        lambda saved: {**saved, "keys": []},
        lambda saved: {**saved, "keys": {**saved["keys"], "another": saved["keys"]["pck"]}},
        lambda saved: {**saved, "keys": {**saved["keys"], "root": "SECRET"}},
        lambda saved: {**saved, "keys": {"root": saved["keys"]["root"]}},
        lambda saved: {**saved, "keys": {**saved["keys"], "pck": RSA_KEY}},
        lambda saved: {**saved, "mr_enclave": "00"},
        lambda saved: {**saved, "mr_signer": 7},
        lambda saved: {**saved, "tee": "sev"},
        lambda saved: {**saved, "mr_td": "00"},
        lambda saved: {**saved, "rtmrs": saved["rtmrs"][:3]},
        lambda saved: {**saved, "rtmrs": ["00"] * 4},
        lambda saved: {**saved, "rtmrs": "0000"},
        lambda saved: {**saved, "pck_ca": "other"},
        lambda saved: {**saved, "root_certificate": "AAAA"},
        lambda saved: {key: value for key, value in saved.items() if key != "isv_svn"},
    ],
)
def test_a_spoiled_file_is_refused_without_showing_it(tmp_path, platform, spoil):
    path = platform.save(tmp_path)
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match="does not hold a saved platform") as caught:
        EmulatedPlatform.load(tmp_path)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 40_000])
def test_text_that_is_no_json_is_refused(tmp_path, platform, text):
    path = platform.save(tmp_path)
    path.write_text(text)
    with pytest.raises(ValueError, match="does not hold a saved platform"):
        EmulatedPlatform.load(tmp_path)


def test_a_certificate_of_another_root_is_refused(tmp_path, platform):
    path = platform.save(tmp_path)
    saved = json.loads(path.read_text())
    other = json.loads(EmulatedPlatform().save(tmp_path / "other").read_text())
    saved["root_certificate"] = other["root_certificate"]
    path.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="does not hold a saved platform"):
        EmulatedPlatform.load(tmp_path)
