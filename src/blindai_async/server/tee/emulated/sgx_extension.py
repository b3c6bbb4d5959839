"""The SGX extension of a PCK certificate: what the certified processor is, and how far patched.

Layout: Intel SGX PCK Certificate and CRL Profile, section 1.3.5. A SEQUENCE of
``SEQUENCE { OID, value }``, every OID below 1.2.840.113741.1.13.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blindai_async.server.tee.emulated import der

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SGX_EXTENSION_OID", "SgxExtension"]

SGX_EXTENSION_OID = "1.2.840.113741.1.13.1"

_CONFIGURATION_NAMES = ("dynamic_platform", "cached_keys", "smt_enabled")


@dataclass(frozen=True, kw_only=True)
class SgxExtension:
    """The extension's values, and how to spoil its encoding.

    Members are named, for the three knobs at the end: ``ppid``, ``tcb``, ``component01`` to
    ``component16``, ``pce_svn``, ``cpu_svn``, ``pce_id``, ``fmspc``, ``sgx_type``,
    ``platform_instance_id``, ``configuration``, ``dynamic_platform``, ``cached_keys``,
    ``smt_enabled``. No value is checked for its length or range: a wrong one is a mutation.

    Attributes:
        ppid: id of the processor, 16 bytes.
        component_svns: the 16 security version numbers of the platform's components.
        pce_svn: security version number of the provisioning certification enclave.
        cpu_svn: the raw CPUSVN, 16 bytes.
        pce_id: id of the provisioning certification enclave, 2 bytes.
        fmspc: family, model, stepping, platform and custom SKU, 6 bytes.
        sgx_type: 0 standard, 1 scalable, 2 scalable with integrity.
        platform_instance_id: 16 bytes; None leaves it out, as the processor CA does.
        configuration: dynamic platform, cached keys, SMT enabled; None leaves it out.
        omitted: names of members to leave out.
        repeated: names of members to write twice.
        values: pairs (name, DER element) written in place of the member's own value.
        trailing: bytes written after the extension's SEQUENCE.
    """

    ppid: bytes
    component_svns: tuple[int, ...]
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: int = 1
    platform_instance_id: bytes | None = None
    configuration: tuple[bool, ...] | None = None
    omitted: frozenset[str] = field(default=frozenset())
    repeated: frozenset[str] = field(default=frozenset())
    values: tuple[tuple[str, bytes], ...] = ()
    trailing: bytes = b""

    def encode(self) -> bytes:
        """Write the extension's content in DER."""
        top = {
            "ppid": der.octet_string(self.ppid),
            "tcb": self._nested(2, self._tcb()),
            "pce_id": der.octet_string(self.pce_id),
            "fmspc": der.octet_string(self.fmspc),
            "sgx_type": der.enumerated(self.sgx_type),
        }
        if self.platform_instance_id is not None:
            top["platform_instance_id"] = der.octet_string(self.platform_instance_id)
        if self.configuration is not None:
            flags = zip(_CONFIGURATION_NAMES, map(der.boolean, self.configuration), strict=False)
            top["configuration"] = self._nested(7, dict(flags))
        return self._pairs(SGX_EXTENSION_OID, top) + self.trailing

    def _tcb(self) -> dict[str, bytes]:
        svns = {f"component{i:02}": der.integer(n) for i, n in enumerate(self.component_svns, 1)}
        return svns | {
            "pce_svn": der.integer(self.pce_svn),
            "cpu_svn": der.octet_string(self.cpu_svn),
        }

    def _nested(self, arc: int, members: Mapping[str, bytes]) -> bytes:
        return self._pairs(f"{SGX_EXTENSION_OID}.{arc}", members)

    def _pairs(self, parent: str, members: Mapping[str, bytes]) -> bytes:
        """Write a SEQUENCE of (OID, value): the n-th member's OID is ``parent.n``."""
        spoiled = dict(self.values)
        return der.sequence(
            *(
                der.sequence(der.object_identifier(f"{parent}.{arc}"), spoiled.get(name, value))
                * (2 if name in self.repeated else 1)
                for arc, (name, value) in enumerate(members.items(), 1)
                if name not in self.omitted
            )
        )
