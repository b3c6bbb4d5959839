"""Options before environment variables before profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from blindai_async.cli.run_command import operation
from blindai_async.cli.server_options import Server, with_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command with server options, and tells which `Server` it got."""
    for name in ("HOST", "POLICY", "CERTIFICATE", "ROOT", "PROFILE", "ATTESTED_PORT"):
        monkeypatch.delenv(f"BLINDAI_{name}", raising=False)
    got: list[Server] = []
    app = typer.Typer()

    @app.command()
    @with_server()
    @operation
    async def command(
        server: Server, fail: Annotated[bool, typer.Option("--fail")] = False
    ) -> None:
        got.append(server)

    def run(*arguments: str, **env: str) -> Any:
        result = CliRunner().invoke(app, list(arguments), env=env)
        return got.pop() if result.exit_code == 0 else (result.exit_code, result.output)

    return run


@pytest.fixture
def profile(tmp_path: Path) -> str:
    path = tmp_path / "server.toml"
    path.write_text('host = "of-profile"\npolicy = "p.toml"\nroot = "/r.pem"\nattested_port = 7\n')
    return str(path)


def test_a_profile_fills_in_what_is_not_said(ask: Any, profile: str, tmp_path: Path) -> None:
    server = ask("--profile", profile)
    assert (server.host, server.attested_port) == ("of-profile", 7)
    assert server.policy == tmp_path / "p.toml"  # relative to the profile
    assert str(server.root) == "/r.pem"
    assert server.certificate is None
    assert ask(BLINDAI_PROFILE=profile).host == "of-profile"


def test_the_environment_counts_before_a_profile_and_an_option_before_both(
    ask: Any, profile: str
) -> None:
    env = {"BLINDAI_HOST": "of-env", "BLINDAI_POLICY": "env.toml"}
    assert ask("--profile", profile, **env).host == "of-env"
    assert str(ask("--profile", profile, **env).policy) == "env.toml"
    assert ask("--profile", profile, "--host", "of-option", **env).host == "of-option"
    assert ask("--host", "of-option", "--profile", profile).host == "of-option"
    assert ask("--attested-port=9", "--profile", profile).attested_port == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hots = 'x'", "unknown key 'hots'"),
        ("api_key = 'x'", "unknown key 'api_key'"),
        ("host = 7", "has to be text"),
        ("attested_port = true", "has to be a number"),
        ("host", "not a TOML file"),
        ("\udcff", "not a TOML file"),
    ],
)
def test_a_profile_that_cannot_be_read_is_usage(
    ask: Any, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    code, said = ask("--profile", str(path))
    assert code == 2
    assert words in " ".join(said.replace("│", " ").split())


def test_a_profile_that_is_missing_is_usage(ask: Any, tmp_path: Path) -> None:
    assert ask("--profile", str(tmp_path / "none.toml"))[0] == 2


def test_simulation_mode_is_refused_beside_a_typed_demand_only(ask: Any, profile: str) -> None:
    assert ask("--simulation", "--policy", "p.toml")[0] == 2
    assert ask("--simulation", "--profile", profile, BLINDAI_ROOT="r.pem").simulation is True
