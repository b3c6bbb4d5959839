"""The server of the extra `[server]`, and the platform that it can emulate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindai_async.cli.run_command import OperationError

if TYPE_CHECKING:
    from blindai_async.server import BlindAIServer
    from blindai_async.server.tee.emulated import EmulatedPlatform, Tee

__all__ = ["kept_platform", "make_server", "new_platform", "write_client_files"]

EXTRA = "pip install 'blindai-async[server]'"
POLICY_FILE = "policy.toml"
ROOT_FILE = "root.pem"
HOST_CERTIFICATE_FILE = "host_server.pem"


def make_server(**options: Any) -> "BlindAIServer":
    """A server with these options, not started yet.

    Raises:
        OperationError: the extra is not installed, or an option is none.
    """
    try:
        from blindai_async.server import BlindAIServer  # noqa: PLC0415 # an extra

        return BlindAIServer(**options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blindai_async"):
            raise
        raise OperationError(f"a server needs {error.name}; run: {EXTRA}") from error
    except ValueError as error:
        raise OperationError(f"the server refuses its options: {error}") from error


def new_platform(tee: "Tee") -> "EmulatedPlatform":
    """An emulated platform with new keys."""
    from blindai_async.server.tee.emulated import EmulatedPlatform  # noqa: PLC0415 # an extra

    return EmulatedPlatform(tee)


def kept_platform(directory: Path, tee: "Tee") -> "EmulatedPlatform":
    """The emulated platform whose keys the directory keeps, or a new one that it keeps from now.

    Raises:
        OperationError: what the directory keeps is not one, or is one of the other kind.
        OSError: the directory cannot be read or written.
    """
    from blindai_async.server.tee.emulated import EmulatedPlatform  # noqa: PLC0415 # an extra

    secrets = directory / "platform"
    try:
        platform = EmulatedPlatform.load(secrets)
    except FileNotFoundError:
        platform = EmulatedPlatform(tee)
        platform.save(secrets)
    except ValueError as error:
        raise OperationError(f"{secrets}: no emulated platform: {error}") from error
    if platform.tee != tee:
        # Clients hold its policy: it is not replaced by a platform of another kind.
        raise OperationError(
            f"{directory} keeps an emulated {platform.tee.upper()} platform; "
            f"use --emulate-{platform.tee}, or another directory"
        )
    return platform


def write_client_files(
    directory: Path, platform: "EmulatedPlatform", server: "BlindAIServer"
) -> None:
    """Write what clients of a server on this platform have to be given.

    Raises:
        OSError: a file cannot be written.
    """
    (directory / POLICY_FILE).write_text(platform.policy_toml)
    (directory / ROOT_FILE).write_bytes(platform.root_pem)
    (directory / HOST_CERTIFICATE_FILE).write_bytes(server.host_certificate_pem)
