"""TDX evidence made to measure: an emulated platform's certificates below documents of our own.

Written from Intel's layouts, apart from the verifier and from the server's emulated platform (of
which it takes keys, certificates and revocation lists). Whatever a test changes is signed anew by
the right key, so that nothing but the one check can find it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from blindai_async.attestation import SgxCollateral, TrustRoot, verify_dcap_attestation
from blindai_async.errors import UntrustedRootWarning
from blindai_async.server.tee.emulated import EmulatedPlatform
from blindai_async.server.tee.emulated.keys import raw_public_key, raw_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindai_async.attestation import Claims

__all__ = ["ATTRIBUTES", "HELD", "NOW", "SgxBuilder", "TdxBuilder", "level", "module_level"]

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
HELD = b"the trust domain's certificate"
ATTRIBUTES = 1 << 28

_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_DATES = {
    "issueDate": f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    "nextUpdate": f"{NOW + timedelta(days=29):%Y-%m-%dT%H:%M:%SZ}",
}
_ORDER = (
    ("tee_tcb_svn", 16),
    ("mr_seam", 48),
    ("mr_signer_seam", 48),
    ("seam_attributes", 8),
    ("td_attributes", 8),
    ("xfam", 8),
    ("mr_td", 48),
    ("mr_config_id", 48),
    ("mr_owner", 48),
    ("mr_owner_config", 48),
    ("rtmr0", 48),
    ("rtmr1", 48),
    ("rtmr2", 48),
    ("rtmr3", 48),
    ("report_data", 64),
    ("tee_tcb_svn2", 16),
    ("mr_service_td", 48),
)


def level(status: str, date: str, *, tdx: list[int], svns: int = 0, pce: int = 0) -> dict[str, Any]:
    return {
        "tcb": {
            "sgxtcbcomponents": [{"svn": svns}] * 16,
            "pcesvn": pce,
            "tdxtcbcomponents": [{"svn": svn} for svn in (tdx + [0] * 16)[:16]],
        },
        "tcbDate": f"{date}T00:00:00Z",
        "tcbStatus": status,
    }


def module_level(svn: int, status: str, date: str = "2024-03-13") -> dict[str, Any]:
    return {"tcb": {"isvsvn": svn}, "tcbDate": f"{date}T00:00:00Z", "tcbStatus": status}


class TdxBuilder:
    """Sound TDX evidence; change its parts, then ask for quote and collateral.

    Attributes:
        tcb_info: the content of the TCB info.
        qe_identity: the content of the TD_QE identity.
        report: the TD report's fields by name; None leaves those of TDX 1.5 out.
        version: of the quote, 4 or 5.
        quote_edit: changes the finished quote.
        certification_type: of the wrapper.
        body_type: of version 5; None for the true one.
        nonce: what the quote is made for.
    """

    def __init__(self, platform: EmulatedPlatform | None = None, *, version: int = 4) -> None:
        self.platform = platform or _PLATFORM
        blueprint = self.platform.blueprint
        self.version = version
        self.body_type: int | None = None
        self.certification_type = 6
        self.nonce = b""
        self.quote_edit: Callable[[bytes], bytes] = lambda quote: quote
        self.header = {"key_type": 2, "tee_type": 0x81, "vendor": _VENDOR}
        self.report: dict[str, bytes | None] = {
            name: hashlib.sha512(name.encode()).digest()[:size] for name, size in _ORDER
        }
        self.report.update(
            tee_tcb_svn=bytes([5, 1, 3, *[0] * 13]),
            mr_signer_seam=bytes(48),
            seam_attributes=bytes(8),
            td_attributes=ATTRIBUTES.to_bytes(8, "little"),
            report_data=None,
            tee_tcb_svn2=None,
            mr_service_td=None,
        )
        if version == 5:
            self.report.update(tee_tcb_svn2=bytes([5, 1, 3, *[0] * 13]), mr_service_td=bytes(48))
        extension = blueprint.pki.pck.sgx_extension
        zero = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        self.tcb_info: dict[str, Any] = {
            "id": "TDX",
            "version": 3,
            **_DATES,
            "fmspc": extension.fmspc.hex().upper(),
            "pceId": extension.pce_id.hex().upper(),
            "tcbType": 0,
            "tcbEvaluationDataNumber": 18,
            "tdxModule": dict(zero),
            "tdxModuleIdentities": [
                {"id": "TDX_03", **zero, "tcbLevels": [module_level(3, "UpToDate")]},
                {
                    "id": "TDX_01",
                    **zero,
                    "tcbLevels": [module_level(5, "UpToDate"), module_level(2, "OutOfDate")],
                },
            ],
            "tcbLevels": [
                level("UpToDate", "2024-03-13", tdx=[5, 0, 3], pce=12),
                level("OutOfDate", "2023-01-01", tdx=[0, 0, 1], pce=5),
            ],
        }
        self.qe_identity: dict[str, Any] = {
            "id": "TD_QE",
            "version": 2,
            **_DATES,
            "tcbEvaluationDataNumber": 17,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": blueprint.qe_identity.mr_signer.hex().upper(),
            "isvprodid": blueprint.quoting_enclave.report.isv_prod_id,
            "tcbLevels": [module_level(5, "UpToDate"), module_level(1, "OutOfDate")],
        }

    @property
    def root(self) -> TrustRoot:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UntrustedRootWarning)
            return TrustRoot.from_pem(self.platform.root_pem)

    @property
    def module(self) -> dict[str, Any]:
        """The identity of module version 1, which the TD runs under."""
        return next(one for one in self.tcb_info["tdxModuleIdentities"] if one["id"] == "TDX_01")

    def but(self, **attributes: Any) -> TdxBuilder:
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        return other

    def with_report(self, **fields: bytes | None) -> TdxBuilder:
        return self.but(report={**self.report, **fields})

    def body(self) -> bytes:
        data = hashlib.sha256(HELD).digest()
        data += hashlib.sha256(self.nonce).digest() if self.nonce else bytes(32)
        fields = [self.report[name] if name != "report_data" else data for name, _ in _ORDER]
        return b"".join(field for field in fields if field is not None)

    def quote(self) -> bytes:
        blueprint = self.platform.blueprint
        body = self.body()
        header = struct.pack(
            "<HHII16s20s",
            self.version,
            self.header["key_type"],
            self.header["tee_type"],
            0,
            self.header["vendor"],
            bytes(20),
        )
        if self.version == 5:
            body_type = self.body_type or {384: 1, 584: 2, 648: 3}[len(body)]
            header += struct.pack("<HI", body_type, len(body))
        signed = header + body
        enclave = blueprint.quoting_enclave
        key = raw_public_key(enclave.attestation_key)
        vouched = hashlib.sha256(key + enclave.authentication_data).digest()
        qe_report = enclave.report.pack(report_data=vouched)
        chain = blueprint.pki.pem("pck", "intermediate", "root").encode()
        inner = (
            qe_report
            + raw_signature(blueprint.pki.pck.key, qe_report)
            + struct.pack("<H", len(enclave.authentication_data))
            + enclave.authentication_data
            + struct.pack("<HI", 5, len(chain))
            + chain
        )
        data = (
            raw_signature(enclave.attestation_key, signed)
            + key
            + struct.pack("<HI", self.certification_type, len(inner))
            + inner
        )
        return self.quote_edit(signed + struct.pack("<I", len(data)) + data)

    def collateral(self) -> SgxCollateral:
        fields = dict(self.platform.collateral())
        fields["tcb_info"] = self._signed("tcbInfo", self.tcb_info)
        fields["qe_identity"] = self._signed("enclaveIdentity", self.qe_identity)
        return SgxCollateral(**fields)

    def verify(self, **terms: Any) -> Claims:
        arguments = {"trust_root": self.root, "at": NOW, **terms}
        return verify_dcap_attestation(self.quote(), self.collateral(), HELD, **arguments)

    def _signed(self, member: str, content: dict[str, Any]) -> str:
        inner = json.dumps(content, separators=(",", ":"))
        signature = raw_signature(self.platform.blueprint.pki.tcb_signer.key, inner.encode())
        return f'{{"{member}":{inner},"signature":"{signature.hex()}"}}'


class SgxBuilder(TdxBuilder):
    """SGX evidence of version 4 or 5: the emulated platform's enclave and collateral."""

    def __init__(self, *, version: int) -> None:
        super().__init__(version=version)
        self.header = {**self.header, "tee_type": 0}

    def body(self) -> bytes:
        return self.platform.blueprint.enclave.pack(hashlib.sha256(HELD).digest())

    def collateral(self) -> SgxCollateral:
        return SgxCollateral(**self.platform.collateral())


_PLATFORM = EmulatedPlatform(now=NOW, tcb_info_version=3)
