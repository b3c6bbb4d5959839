"""The SGX extension of a PCK certificate: which platform this is, at which patch level.

Source: Intel's "SGX PCK Certificate and CRL Profile Specification", 1.3.5. Every field that the
profile names must stand exactly once, in its exact size; a field that it does not name is refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from blindai_async.attestation.dcap.tcb import COMPONENTS, PlatformTcb
from blindai_async.attestation.parsing import EvidenceError
from blindai_async.attestation.x509 import der

__all__ = ["PckExtension", "parse_pck_extension"]

_ROOT: Final = "1.2.840.113741.1.13.1"
_FIELDS: Final = {
    der.oid_bytes(f"{_ROOT}.{number}"): name
    for number, name in enumerate(
        ("ppid", "tcb", "pce_id", "fmspc", "sgx_type", "instance_id", "configuration"), start=1
    )
}
_REQUIRED: Final = frozenset({"ppid", "tcb", "pce_id", "fmspc", "sgx_type"})
_PLATFORM_CA_ONLY: Final = frozenset({"instance_id", "configuration"})
_OCTET_SIZES: Final = {"ppid": 16, "pce_id": 2, "fmspc": 6, "instance_id": 16}

_PCE_SVN: Final = COMPONENTS
_CPU_SVN: Final = COMPONENTS + 1
_TCB_LAYOUT: Final = tuple(
    bytes([der.OID, len(oid)]) + oid + bytes([der.OCTET_STRING if n > COMPONENTS else der.INTEGER])
    for n, oid in enumerate(der.oid_bytes(f"{_ROOT}.2.{n}") for n in range(1, COMPONENTS + 3))
)
"""How each of the TCB's fields begins, in their order: 16 components, PCE SVN, CPUSVN."""
_CPU_SVN_BYTES: Final = 16
_MAX_COMPONENT_SVN: Final = 0xFF
_MAX_PCE_SVN: Final = 0xFFFF
_MAX_SGX_TYPE: Final = 2
_CONFIGURATION: Final = {
    der.oid_bytes(f"{_ROOT}.7.{number}"): name
    for number, name in enumerate(("dynamic", "cached_keys", "smt"), start=1)
}
_BOOLEANS: Final = {b"\0": False, b"\xff": True}


class PckExtension(NamedTuple):
    """What Intel certifies of one platform.

    Attributes:
        ppid: which processor package this is, 16 bytes.
        fmspc: family, model, stepping, platform type and custom SKU, 6 bytes.
        pce_id: which provisioning enclave, 2 bytes.
        tcb: the platform's security versions.
        sgx_type: 0 standard, 1 scalable, 2 scalable with integrity.
        instance_id: which platform this is, 16 bytes; None where the processor CA certified it.
        configuration: by name, what the platform CA says of the platform's setup.
    """

    ppid: bytes
    fmspc: bytes
    pce_id: bytes
    tcb: PlatformTcb
    sgx_type: int
    instance_id: bytes | None
    configuration: dict[str, bool]


def parse_pck_extension(data: bytes, *, of_platform_ca: bool) -> PckExtension:
    """Parse the value of the SGX extension.

    Args:
        data: the DER value.
        of_platform_ca: whether the platform CA issued the certificate: only its certificates may
            have an instance id and a configuration.

    Raises:
        EvidenceError: it is malformed.
    """
    fields: dict[str, bytes] = {}
    for oid, tag, value in _pairs(data):
        name = _FIELDS.get(oid)
        if name is None or name in fields:
            raise EvidenceError("the SGX extension has an unknown field, or one twice")
        fields[name] = _checked(name, tag, value)
    if not fields.keys() >= _REQUIRED:
        raise EvidenceError("the SGX extension lacks a field")
    extra = fields.keys() & _PLATFORM_CA_ONLY
    if extra and not of_platform_ca:
        raise EvidenceError("the SGX extension has fields that only the platform CA writes")
    if extra and extra != _PLATFORM_CA_ONLY:
        raise EvidenceError("the SGX extension has neither five fields nor seven")
    return PckExtension(
        ppid=fields["ppid"],
        fmspc=fields["fmspc"],
        pce_id=fields["pce_id"],
        tcb=_parse_tcb(fields["tcb"]),
        sgx_type=der.integer(fields["sgx_type"], _MAX_SGX_TYPE),
        instance_id=fields.get("instance_id"),
        configuration=_parse_configuration(fields["configuration"]) if extra else {},
    )


def _pairs(data: bytes) -> list[tuple[bytes, int, bytes]]:
    """Read a SEQUENCE of SEQUENCE { OID, value }: the OIDs, and the tags and contents of values.

    A value that is a SEQUENCE itself is given whole, header included.
    """
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if end != len(data):
        raise EvidenceError("bytes follow a part of the SGX extension")
    found: list[tuple[bytes, int, bytes]] = []
    for pair_tag, _, content, stop in der.children(data, start, end):
        pair = der.children(data, content, stop)
        if pair_tag != der.SEQUENCE or len(pair) != 2 or pair[0][0] != der.OID:
            raise EvidenceError("a field of the SGX extension is malformed")
        (_, _, oid_start, oid_end), (tag, value, value_content, value_end) = pair
        value_start = value if tag == der.SEQUENCE else value_content
        found.append((data[oid_start:oid_end], tag, data[value_start:value_end]))
    return found


def _checked(name: str, tag: int, value: bytes) -> bytes:
    if name == "tcb":
        well_formed = tag == der.SEQUENCE
    elif name == "sgx_type":
        well_formed = tag == der.ENUMERATED
    elif name == "configuration":
        well_formed = tag == der.SEQUENCE
    else:
        well_formed = tag == der.OCTET_STRING and len(value) == _OCTET_SIZES[name]
    if not well_formed:
        raise EvidenceError(f"the SGX extension's {name} is malformed")
    return value


def _parse_configuration(data: bytes) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for oid, tag, value in _pairs(data):
        name = _CONFIGURATION.get(oid)
        if name is None or name in found or tag != der.BOOLEAN or value not in _BOOLEANS:
            raise EvidenceError("the SGX extension's configuration is malformed")
        found[name] = _BOOLEANS[value]
    return found


def _parse_tcb(data: bytes) -> PlatformTcb:
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    pairs = der.children(data, start, end)
    if end != len(data) or len(pairs) != len(_TCB_LAYOUT):
        raise EvidenceError("the platform's TCB does not have its 18 fields")
    values = []
    for (tag, _, start, end), header in zip(pairs, _TCB_LAYOUT, strict=True):
        # Identifier and type of a field are always the same bytes; then length and value follow.
        length = start + len(header)
        value = data[length + 1 : end]
        if tag != der.SEQUENCE or data[start:length] != header or data[length] != len(value):
            raise EvidenceError("a field of the platform's TCB is malformed, or another one")
        values.append(value)
    if len(values[_CPU_SVN]) != _CPU_SVN_BYTES:
        raise EvidenceError(f"the CPUSVN does not have {_CPU_SVN_BYTES} bytes")
    components = bytes([der.integer(value, _MAX_COMPONENT_SVN) for value in values[:COMPONENTS]])
    return PlatformTcb(components, der.integer(values[_PCE_SVN], _MAX_PCE_SVN))
