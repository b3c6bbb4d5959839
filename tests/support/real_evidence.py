"""Real evidence from a folder: quotes that genuine platforms made, and what they are known to say.

The folder is named by ``BLINDAI_ASYNC_EVIDENCE_DIR``; where that is unset, ``shared/fixtures/
evidence`` beside the repository is used if it exists. It holds ``NAME.quote`` (the raw file),
``NAME.collateral.json`` (the fields of `SgxCollateral`), ``NAME.root.pem`` where the evidence leads
to another root than Intel's, and ``expected.json``: a list of objects with ``name``, ``at`` and
whatever the evidence is known to say, in the fields that `test_evidence_folder.py` compares. A
stranger's own evidence needs nothing else.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from blindai_async.attestation import (
    INTEL_SGX_ROOT,
    Binding,
    Claims,
    SgxCollateral,
    TrustRoot,
    verify_dcap_attestation,
)
from blindai_async.errors import UntrustedRootWarning

_BESIDE = Path(__file__).parents[3] / "shared" / "fixtures" / "evidence"
FOLDER = Path(os.environ.get("BLINDAI_ASYNC_EVIDENCE_DIR", _BESIDE))


@dataclass(frozen=True)
class RealEvidence:
    """One piece of real evidence, and the terms on which it is judged."""

    name: str
    expected: dict[str, Any]
    quote: bytes
    collateral: SgxCollateral | None
    trust_root: TrustRoot
    at: datetime | None

    @property
    def report_data(self) -> bytes:
        return bytes.fromhex(self.expected["report_data"])

    @property
    def tdx(self) -> bool:
        return self.expected["kind"].startswith("TDX")

    def verify(self, **terms: Any) -> Claims:
        """Judge it; what it was made for is not known, so it is bound by its own report data."""
        assert self.collateral is not None
        return verify_dcap_attestation(
            self.quote,
            self.collateral,
            self.report_data,
            **{
                "trust_root": self.trust_root,
                "at": self.at,
                "binding": Binding.RAW_64,
                **terms,
            },
        )

    def but(self, **fields: Any) -> RealEvidence:
        """The same with another quote, or with other fields of the collateral."""
        own = {name: fields.pop(name) for name in list(fields) if hasattr(self, name)}
        if fields:
            assert self.collateral is not None
            own["collateral"] = self.collateral.model_copy(update=fields)
        return replace(self, **own)


def _root(path: Path) -> TrustRoot:
    if not path.is_file():
        return INTEL_SGX_ROOT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrustedRootWarning)
        return TrustRoot.from_file(path)


def _collateral(path: Path) -> SgxCollateral | None:
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return SgxCollateral(**{k: v for k, v in content.items() if k in SgxCollateral.model_fields})


def load_all() -> list[RealEvidence]:
    """Everything that the folder holds; nothing where there is no folder."""
    index = FOLDER / "expected.json"
    if not index.is_file():
        return []
    return [
        RealEvidence(
            name=entry["name"],
            expected=entry,
            quote=(FOLDER / f"{entry['name']}.quote").read_bytes(),
            collateral=_collateral(FOLDER / f"{entry['name']}.collateral.json"),
            trust_root=_root(FOLDER / f"{entry['name']}.root.pem"),
            at=datetime.fromisoformat(entry["at"]) if "at" in entry else None,
        )
        for entry in json.loads(index.read_text())
    ]


EVIDENCE = load_all()
COMPLETE = [one for one in EVIDENCE if one.collateral is not None]
TDX = [one for one in COMPLETE if one.tdx]
