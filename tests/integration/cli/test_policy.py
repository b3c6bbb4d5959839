"""`policy from-sigstruct`: a policy of what was built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sigstruct_builder import MR_ENCLAVE, sigstruct

from blindai_async.attestation import Policy, SgxPolicy
from blindai_async.attestation.sigstruct import SigStruct

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return write(tmp_path / "server.sig", sigstruct())


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def test_the_policy_is_printed(cli: Any, built: Path) -> None:
    ran = await cli("policy", "from-sigstruct", built)
    assert ran.code == 0
    policy = Policy.from_str(ran.out)
    assert isinstance(policy, SgxPolicy)
    assert policy.mr_enclave == MR_ENCLAVE
    assert policy.min_isv_svn == 3
    assert not policy.allow_debug
    assert "signed on 2026-11-24" in ran.err


async def test_the_policy_is_written(cli: Any, built: Path, tmp_path: Path) -> None:
    ran = await cli("policy", "from-sigstruct", built, "--output", tmp_path / "policy.toml")
    assert ran.code == 0
    assert Policy.from_file(tmp_path / "policy.toml").to_toml() == sigstruct_policy(built)


def sigstruct_policy(path: Path) -> str:
    return SigStruct.from_bytes(path.read_bytes()).policy().to_toml()


async def test_another_file_says_what_was_wrong(cli: Any, tmp_path: Path) -> None:
    short = write(tmp_path / "short.sig", sigstruct()[:-1])
    ran = await cli("policy", "from-sigstruct", short)
    assert ran.code == 1
    assert ran.out == ""
    assert "1808 bytes, not 1807" in ran.err


async def test_a_changed_measurement_is_no_policy(cli: Any, tmp_path: Path) -> None:
    content = bytearray(sigstruct())
    content[960] ^= 1
    ran = await cli("policy", "from-sigstruct", write(tmp_path / "changed.sig", content))
    assert ran.code == 1
    assert "signature does not hold" in ran.err


async def test_a_debug_build_needs_a_word(cli: Any, tmp_path: Path) -> None:
    built = write(tmp_path / "debug.sig", sigstruct(flags=0x6))
    ran = await cli("policy", "from-sigstruct", built)
    assert ran.code == 1
    assert "--allow-debug" in ran.err
    ran = await cli("policy", "from-sigstruct", built, "--allow-debug")
    assert ran.code == 0
    assert Policy.from_str(ran.out).entries[0].allow_debug
    assert "DEBUG enclave" in ran.err


async def test_a_file_that_is_not_there_is_named(cli: Any, tmp_path: Path) -> None:
    ran = await cli("policy", "from-sigstruct", tmp_path / "none.sig")
    assert ran.code == 1
    assert "none.sig" in ran.err
