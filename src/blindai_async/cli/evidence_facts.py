"""What evidence says of an enclave or trust domain and its platform, as labels and values."""

import hashlib
from typing import Final

from blindai_async.attestation import Claims, SgxClaims, TdxClaims

__all__ = ["evidence_facts", "platform_facts"]

# What each register of a TD usually covers; it is the TD's own choice.
_RTMRS: Final = (
    "usually the firmware's configuration",
    "usually boot loader and kernel",
    "usually command line and initial file system",
    "what the application decides",
)


def evidence_facts(claims: Claims, collateral: str) -> list[tuple[str, str]]:
    """What the evidence says, without what identifies a machine.

    Args:
        claims: proven, or only read: then what only a platform's collateral tells is left out.
        collateral: where the collateral came from, in words; "" where that is not known.
    """
    facts = [
        ("kind", claims.tee.upper()),
        *_measurements(claims),
        ("debug", "YES: its host reads its memory" if claims.debug else "no"),
        ("certificate", f"SHA-256 {hashlib.sha256(claims.enclave_held_data).hexdigest()}"),
        ("trust root", claims.trust_root),
    ]
    if not claims.verified:
        return facts
    facts += [
        ("FMSPC", claims.fmspc.hex()),
        ("TCB status", f"{claims.tcb_status}, patch level of {claims.tcb_date:%Y-%m-%d}"),
        ("evaluation", f"TCB evaluation data number {claims.tcb_evaluation_data_number}"),
        ("advisories", ", ".join(claims.advisory_ids) or "none"),
        ("fresh", "yes: made for a nonce of this client" if claims.fresh else "not proven"),
    ]
    if claims.matched is not None:
        name = f", {claims.matched.name}" if claims.matched.name else ""
        facts.append(("matched", f"entry {claims.matched.index + 1} of the policy{name}"))
    if collateral:
        facts.append(("collateral", f"from {collateral}"))
    return [
        *facts,
        ("valid from", f"{claims.valid_from:%Y-%m-%d %H:%M:%S} UTC"),
        ("expires", f"{claims.valid_until:%Y-%m-%d %H:%M:%S} UTC"),
    ]


def platform_facts(claims: Claims) -> list[tuple[str, str]]:
    """What identifies the machine: only for who asked for it."""
    facts = [("PPID", claims.ppid.hex())] if claims.ppid else []
    if claims.platform is not None and claims.platform.instance_id is not None:
        facts.append(("instance", claims.platform.instance_id.hex()))
    return facts


def _measurements(claims: Claims) -> list[tuple[str, str]]:
    if isinstance(claims, SgxClaims):
        return [
            ("MRENCLAVE", claims.mr_enclave.hex()),
            ("MRSIGNER", claims.mr_signer.hex()),
            ("product", f"{claims.isv_prod_id}, security version {claims.isv_svn}"),
            ("attributes", claims.attributes.hex()),
            ("misc select", f"{claims.misc_select:#x}"),
        ]
    if isinstance(claims, TdxClaims):
        covers = zip(claims.rtmrs, _RTMRS, strict=False)  # empty where the quote was not read
        return [
            ("MRTD", f"{claims.mr_td.hex()} (initial contents, usually the firmware)"),
            *(
                (f"RTMR{number}", f"{rtmr.hex()} ({covered})")
                for number, (rtmr, covered) in enumerate(covers)
            ),
            ("attributes", claims.td_attributes.hex()),
            ("module", f"MRSEAM {claims.mr_seam.hex()}"),
        ]
    return []
