"""A platform's identity on disk: one file, readable by its owner alone, replaced atomically."""

from __future__ import annotations

import base64
import json
import os
import stat
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindai_async.server.tee.emulated.identity import PckCa, PlatformIdentity, PlatformKeys

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.identity import Tee
    from blindai_async.server.tee.emulated.keys import PrivateKey

    _Rtmrs = tuple[bytes, bytes, bytes, bytes]

__all__ = ["FILE_NAME", "read", "write"]

FILE_NAME = "emulated-platform.json"

_FORMAT = 2
_OTHERS_MAY = stat.S_IRWXG | stat.S_IRWXO
# Ten times what is written; a file of another kind is not read into memory.
_LARGEST_FILE = 65536


def write(directory: Path, identity: PlatformIdentity, root_certificate: bytes) -> Path:
    """Write an identity; returns the file. Parents of the directory are made where they lack."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An existing directory, or a wide umask in reverse, would leave another mode.
    directory.chmod(0o700)
    text = json.dumps(_encode(identity, root_certificate), indent=1)
    # mkstemp makes the file with mode 0600 from the start: no moment in which others could read.
    descriptor, name = tempfile.mkstemp(dir=directory, prefix=FILE_NAME, suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return temporary.replace(directory / FILE_NAME)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(directory: Path) -> PlatformIdentity:
    """Read an identity that `write` wrote.

    Raises:
        FileNotFoundError: nothing was saved there.
        PermissionError: others than the owner may read the file, so its keys are no secret.
        ValueError: the file is not one that `write` wrote.
    """
    path = directory / FILE_NAME
    with path.open(encoding="utf-8") as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS_MAY:
            raise PermissionError(f"others may read the private keys in {path}: chmod 600 it")
        text = file.read(_LARGEST_FILE)
    try:
        return _decode(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The cause is not shown in the message: it could quote key material.
        raise ValueError(f"{path} does not hold a saved platform") from error


def _encode(identity: PlatformIdentity, root_certificate: bytes) -> dict[str, object]:
    keys = {key.name: _key_pem(getattr(identity.keys, key.name)) for key in fields(PlatformKeys)}
    return {
        "format": _FORMAT,
        "about": "An emulated platform. The private keys below protect nothing but it.",
        "tee": identity.tee,
        "mr_enclave": identity.mr_enclave.hex(),
        "mr_signer": identity.mr_signer.hex(),
        "isv_prod_id": identity.isv_prod_id,
        "isv_svn": identity.isv_svn,
        "mr_td": identity.mr_td.hex(),
        "rtmrs": [rtmr.hex() for rtmr in identity.rtmrs],
        "pck_ca": identity.pck_ca.value,
        "root_certificate": base64.b64encode(root_certificate).decode(),
        "keys": keys,
    }


def _decode(saved: dict[str, object]) -> PlatformIdentity:
    if saved["format"] != _FORMAT:
        raise ValueError("unknown format")
    keys, rtmrs = saved["keys"], saved["rtmrs"]
    # A key that lacks must not be made up: the platform would come back as another one.
    if not isinstance(keys, dict) or keys.keys() != {key.name for key in fields(PlatformKeys)}:
        raise ValueError("other keys than were written")
    if not isinstance(rtmrs, list):
        raise TypeError("no list of measurements")
    return PlatformIdentity(
        keys=PlatformKeys(**{name: _key_from_pem(pem) for name, pem in keys.items()}),
        tee=cast("Tee", saved["tee"]),  # another value is refused by the identity
        mr_enclave=bytes.fromhex(str(saved["mr_enclave"])),
        mr_signer=bytes.fromhex(str(saved["mr_signer"])),
        isv_prod_id=int(str(saved["isv_prod_id"])),
        isv_svn=int(str(saved["isv_svn"])),
        mr_td=bytes.fromhex(str(saved["mr_td"])),
        rtmrs=cast("_Rtmrs", tuple(bytes.fromhex(str(rtmr)) for rtmr in rtmrs)),
        pck_ca=PckCa(saved["pck_ca"]),
        root_certificate=base64.b64decode(str(saved["root_certificate"]), validate=True),
    )


def _key_pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _key_from_pem(text: str) -> PrivateKey:
    key = serialization.load_pem_private_key(text.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key on an elliptic curve")
    return key
