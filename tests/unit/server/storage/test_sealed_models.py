"""Sealed models: encrypted, bound to their id, and refused when changed."""

from __future__ import annotations

import logging
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindai_async.server.storage.sealed_models import SealedModels


@pytest.fixture
def sealed(tmp_path):
    return SealedModels(tmp_path)


def files(tmp_path):
    return sorted((tmp_path / "models").glob("*.model"))


def test_models_come_back(sealed, tmp_path):
    sealed.save("a", b"model a")
    sealed.save("é/../b", b"")
    assert dict(SealedModels(tmp_path)) == {"a": b"model a", "é/../b": b""}


def test_the_last_save_counts(sealed):
    sealed.save("a", b"old")
    sealed.save("a", b"new")
    assert dict(sealed) == {"a": b"new"}


def test_the_same_model_is_never_encrypted_alike(sealed, tmp_path):
    sealed.save("a", b"model" * 10)
    first = files(tmp_path)[0].read_bytes()
    sealed.save("a", b"model" * 10)
    assert files(tmp_path)[0].read_bytes()[8:20] != first[8:20]


def test_a_removed_model_is_gone(sealed, tmp_path):
    sealed.save("a", b"model")
    sealed.remove("a")
    sealed.remove("never there")
    assert files(tmp_path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_is_noticed(sealed, tmp_path, data):
    sealed.save("id", b"model" * 3)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert dict(sealed) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_file_content_is_skipped(sealed, tmp_path, content):
    (tmp_path / "models" / "x.model").write_bytes(content)
    (tmp_path / "models" / "y.model").write_bytes(b"BASEAL01" + content)
    assert dict(sealed) == {}


def test_a_model_under_another_ids_name_is_skipped(sealed, tmp_path, caplog):
    sealed.save("a", b"model a")
    (a,) = files(tmp_path)
    sealed.save("b", b"model b")
    (b,) = set(files(tmp_path)) - {a}
    b.write_bytes(a.read_bytes())
    with caplog.at_level(logging.WARNING):
        assert dict(sealed) == {"a": b"model a"}
    assert b.name in caplog.text


def test_another_key_opens_nothing(sealed, tmp_path):
    sealed.save("a", b"model")
    (tmp_path / "sealing.key").write_bytes(bytes(32))
    assert dict(SealedModels(tmp_path)) == {}


def test_the_key_is_private(sealed, tmp_path):
    key = tmp_path / "sealing.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o640)
    with pytest.raises(PermissionError, match="0600"):
        SealedModels(tmp_path)


def test_a_damaged_key_is_an_error(sealed, tmp_path):
    (tmp_path / "sealing.key").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"sealing\.key"):
        SealedModels(tmp_path)
