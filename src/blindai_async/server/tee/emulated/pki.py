"""The four certificates of a platform, and the chains that they form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindai_async.server.tee.emulated.certificates import CertificateTemplate

__all__ = ["Pki"]


@dataclass(frozen=True, kw_only=True)
class Pki:
    """Who certifies whom: root -> intermediate -> PCK, root -> TCB signer.

    Attributes:
        root: `Intel SGX Root CA`, self-signed.
        intermediate: `Intel SGX PCK Platform CA` or `Intel SGX PCK Processor CA`.
        pck: `Intel SGX PCK Certificate`, the leaf that certifies the quoting enclave.
        tcb_signer: `Intel SGX TCB Signing`, signs TCB info and QE identity.
    """

    root: CertificateTemplate
    intermediate: CertificateTemplate
    pck: CertificateTemplate
    tcb_signer: CertificateTemplate

    def pem(self, *names: str) -> str:
        """Join certificates in PEM by name, in the given order.

        Args:
            *names: of `root`, `intermediate`, `pck`, `tcb_signer`; any order, any number.
        """
        issuers = {"pck": self.intermediate, "intermediate": self.root, "tcb_signer": self.root}
        templates: list[tuple[CertificateTemplate, CertificateTemplate | None]] = [
            (getattr(self, name), issuers.get(name)) for name in names
        ]
        return "".join(template.pem(by) for template, by in templates)
