"""What the demo says: a line after each step, and the same as figures for machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blindai_async import AsyncConnection
from blindai_async.attestation import SgxClaims
from blindai_async.cli import console

__all__ = ["DemoReport"]

SIMULATION = "simulation: nothing proves that an enclave answers, and nothing is protected"
EMULATED = (
    "hardware, EMULATED: the evidence is verified in full, but under a root that this demo "
    "made itself; nothing is protected"
)


class DemoReport:
    """Collects the demo's figures, and speaks as they come.

    Args:
        spoken: whether to print a line after each step.

    Attributes:
        figures: for machines; times in seconds or, where the name says so, milliseconds.
    """

    def __init__(self, *, spoken: bool) -> None:
        self._spoken = spoken
        self.figures: dict[str, Any] = {}

    def _say(self, step: str, text: str) -> None:
        if self._spoken:
            console.line(f"{step:<10} {text}")

    def connected(self, connection: AsyncConnection) -> None:
        """The server runs, and the connection is open."""
        simulation = connection.simulation_mode
        self.figures["mode"] = "simulation" if simulation else "hardware (emulated)"
        self.figures["server_version"] = connection.server_version
        self._say("server", f"BlindAI {connection.server_version}, in this process, for this demo")
        self._say("mode", SIMULATION if simulation else EMULATED)
        if isinstance(connection.claims, SgxClaims):
            self.figures["mr_enclave"] = connection.claims.mr_enclave.hex()
            self.figures["tcb_status"] = str(connection.claims.tcb_status)
            self._say(
                "attested",
                f"{len(connection.claims.steps)} steps passed, "
                f"platform {connection.claims.tcb_status}, "
                f"enclave {connection.claims.mr_enclave.hex()[:16]}…",
            )

    def uploaded(self, model: Path) -> None:
        """The model is on the server, and its signed answer was verified."""
        size = model.stat().st_size
        self.figures["model_bytes"] = size
        self._say("uploaded", f"{model.name}, {size / 1024:.0f} KiB; signature verified")

    def predicted(
        self, right: npt.NDArray[np.bool_], latencies: Sequence[float], seconds: float
    ) -> None:
        """All images were predicted."""
        count = len(right)
        p50, p95, p99 = (float(value) * 1000 for value in np.percentile(latencies, (50, 95, 99)))
        self.figures |= {
            "predictions": count,
            "correct": int(right.sum()),
            "accuracy": float(right.mean()),
            "seconds": seconds,
            "predictions_per_second": count / seconds,
            "latency_ms": {"p50": p50, "p95": p95, "p99": p99},
        }
        self._say("predicted", f"{count} images that the model never saw, one call each")
        self._say("accuracy", f"{right.mean():.1%} ({right.sum()} of {count})")
        self._say("speed", f"{count / seconds:,.0f} predictions per second")
        self._say(
            "latency",
            f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, "
            f"with all {count} calls in flight at once",
        )

    def batched(self, count: int, seconds: float) -> None:
        """All images were predicted again, calls at the same moment joined into batches."""
        self.figures["batched_predictions_per_second"] = count / seconds
        self._say("batching", f"{count / seconds:,.0f} predictions per second, the same answers")

    def signed(self, label: int, digit: int, proof: Path) -> None:
        """One prediction was signed, verified and saved."""
        self.figures["signed_prediction"] = {"label": label, "predicted": digit}
        self.figures["proof_bytes"] = proof.stat().st_size
        self._say(
            "signed", f"a {label} was recognised as {digit}; signature, model and input verified"
        )

    def validated(self) -> None:
        """The proof was read from its file and held; for another image it did not."""
        self.figures["proof_validated"] = True
        size = self.figures["proof_bytes"]
        self._say("proof", f"validated from its file of {size:,} bytes")
        self._say("", "for another image the same proof is refused")

    def deleted(self) -> None:
        """The model is off the server."""
        self.figures["model_deleted"] = True
        self._say("deleted", "the model")

    def ended(self, proof: Path | None) -> None:
        """Everything is closed; the proof is kept where a place was named."""
        self.figures["proof_file"] = None if proof is None else str(proof)
        if proof is not None:
            self._say("kept", f"the proof, in {proof}")
