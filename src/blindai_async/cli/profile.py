"""Profiles: what a server's clients need to know about it, in a TOML file.

::

    host = "inference.example.org"
    policy = "policy.toml"            # relative to the profile
    certificate = "host_server.pem"
    root = "root.pem"

An option counts before an environment variable, and that before a profile.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

__all__ = ["ProfileOption"]

_PATHS: Final = ("policy", "certificate", "root")
_KINDS: Final[dict[str, type]] = {
    "host": str,
    **dict.fromkeys(_PATHS, str),
    "attested_port": int,
    "untrusted_port": int,
    "server_name": str,
}


def _apply(context: typer.Context, path: Path | None) -> Path | None:
    """Make a profile's values the defaults of the command's options."""
    if path is not None:
        known = {parameter.name for parameter in context.command.params}
        values = {key: value for key, value in _read(path).items() if key in known}
        context.default_map = {**(context.default_map or {}), **values}
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise typer.BadParameter(f"{path} is not a TOML file: {error}") from error
    for key, value in content.items():
        kind = _KINDS.get(key)
        if kind is None:
            raise typer.BadParameter(
                f"{path}: unknown key {key!r}; a profile has {', '.join(_KINDS)}"
            )
        if type(value) is not kind:
            raise typer.BadParameter(
                f"{path}: {key} is {value!r}; it has to be {'text' if kind is str else 'a number'}"
            )
        if key in _PATHS:
            content[key] = str(path.parent / str(value))
    return content


ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="Take host, policy, certificate, root and ports from this TOML file; options and "
        "environment variables count before it.",
        envvar="BLINDAI_PROFILE",
        show_default=False,
        is_eager=True,
        callback=_apply,
        rich_help_panel="Server",
    ),
]
