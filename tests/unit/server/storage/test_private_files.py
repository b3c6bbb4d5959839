"""Files of secrets: whole, or as they were; never open to others."""

from __future__ import annotations

import os
import stat

import pytest

from blindai_async.server.storage.private_files import check_private, write_private, write_public


@pytest.fixture(params=[0o000, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_modes_do_not_depend_on_the_umask(tmp_path, umask):
    write_private(tmp_path / "secret", b"a", b"b")
    write_public(tmp_path / "public", b"c")
    assert (tmp_path / "secret").read_bytes() == b"ab"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "secret"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, b"new", None)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused(tmp_path, mode):
    write_private(tmp_path / "secret", b"x")
    check_private(tmp_path / "secret")
    (tmp_path / "secret").chmod(mode)
    with pytest.raises(PermissionError, match=f"{mode:04o}"):
        check_private(tmp_path / "secret")
