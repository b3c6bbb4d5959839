"""The entry point: version, usage, and a missing extra."""

from __future__ import annotations

import subprocess
import sys

from blindai_async._version import __version__

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from blindai_async.cli import main
sys.exit(main())
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False
    )


def test_version() -> None:
    ran = run("-m", "blindai_async.cli", "--version")
    assert (ran.returncode, ran.stdout) == (0, f"blindai-async {__version__}\n")


def test_help_names_every_command() -> None:
    ran = run("-m", "blindai_async.cli", "--help")
    assert ran.returncode == 0
    for command in ("demo", "serve", "upload", "predict", "delete", "attest", "verify", "policy"):
        assert f" {command} " in ran.stdout


def test_a_wrong_command_line_is_usage() -> None:
    for wrong in (["predikt"], ["delete"], ["upload", "m.onnx", "--attested-port", "x"]):
        ran = run("-m", "blindai_async.cli", *wrong)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "Usage" in ran.stderr


def test_options_that_contradict_each_other_are_usage() -> None:
    ran = run("-m", "blindai_async.cli", "delete", "m", "--simulation", "--policy", "p.toml")
    assert ran.returncode == 2
    assert "--simulation" in ran.stderr


def test_without_the_extra_one_line_says_what_to_install() -> None:
    for package in ("typer", "rich"):
        ran = run("-c", WITHOUT.format(package=package))
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr.count("\n") == 1
        assert "pip install 'blindai-async[cli]'" in ran.stderr


def test_without_onnx_runtime_one_line_says_what_to_install() -> None:
    ran = run("-c", WITHOUT.format(package="onnxruntime"), "demo")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
    assert "pip install 'blindai-async[server]'" in ran.stderr
