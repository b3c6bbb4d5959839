"""The server of the extra `[server]`, and the platform that it can emulate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindai_async.cli.run_command import OperationError

if TYPE_CHECKING:
    from blindai_async.server import BlindAIServer
    from blindai_async.server.tee.emulated import EmulatedPlatform, Tee

__all__ = [
    "HOST_CERTIFICATE_FILE",
    "kept_platform",
    "make_server",
    "new_platform",
    "server_directory",
    "write_client_files",
]

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


def server_directory(directory: Path) -> Path:
    """Where a server keeps what is its own, beside the files for its clients."""
    return directory / "server"


def write_client_files(
    directory: Path, platform: "EmulatedPlatform", server: "BlindAIServer"
) -> None:
    """Write what clients of a server on this platform have to be given, each file atomically.

    Raises:
        OSError: a file cannot be written.
    """
    from blindai_async.server.storage.private_files import write_public  # noqa: PLC0415 # an extra

    write_public(directory / POLICY_FILE, platform.policy_toml.encode())
    write_public(directory / ROOT_FILE, platform.root_pem)
    write_public(directory / HOST_CERTIFICATE_FILE, server.host_certificate_pem)
