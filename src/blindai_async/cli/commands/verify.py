"""`blindai-async verify`: judge a saved proof, offline."""

import dataclasses
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blindai_async import PredictResponse, UploadModelResponse
from blindai_async.attestation import INTEL_SGX_ROOT, TrustRoot
from blindai_async.cli import arrays
from blindai_async.cli.answer import Answer
from blindai_async.cli.attestation_report import AttestationReport
from blindai_async.cli.profile import ProfileOption
from blindai_async.cli.report_output import AsJson, AsPage, publish
from blindai_async.cli.run_command import operation
from blindai_async.errors import ProofFormatError
from blindai_async.proofs import CheckOutcome, ProofAppraisal, ProofPolicy

__all__ = ["verify"]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("not a date or time like 2022-08-24T12:00:00+00:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise typer.BadParameter("not the 32 bytes of a key in hex")
    return key


@operation
async def verify(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A .proof file.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="What was predicted: .npy, .npz or JSON; repeatable."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Convert the inputs to it, as predict does.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="What was uploaded: the ONNX file.")
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--model-id", help="The model asked for; else the proof's own.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="What the enclave has to be; else built in.",
            envvar="BLINDAI_POLICY",
        ),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", parser=_moment, help="Judge at this time, not now; UTC if bare."
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Trust this root instead of Intel's, PEM.", envvar="BLINDAI_ROOT"
        ),
    ] = None,
    signing_key: Annotated[
        bytes | None,
        typer.Option("--signing-key", metavar="HEX", parser=_key, help="Who has to have signed."),
    ] = None,
    simulation: Annotated[
        bool, typer.Option("--simulation", help="Accept a proof without evidence.")
    ] = False,
    page: AsPage = None,
    as_json: AsJson = False,
    profile: ProfileOption = None,
) -> None:
    """Judge a saved proof: which enclave gave this answer to this input, and is that proven?"""
    del profile  # read when typer met it: its values are the options' defaults
    response = _load(proof)
    at = at or datetime.now(UTC)
    demands = ProofPolicy(
        policy_file=policy,
        enclave_signing_key=signing_key,
        allow_simulation_mode=simulation,
        trust_root=_trust_root(root),
        at=at,
    )
    if isinstance(response, PredictResponse):
        appraisal = _judge_prediction(response, inputs, dtype, model_id, demands)
    else:
        appraisal = _judge_upload(response, model, demands)
    report = AttestationReport(
        subject=str(proof),
        at=at,
        policy=str(policy or "built in"),
        claims=appraisal.claims,
        refusal=appraisal.error,
        checks=appraisal.checks,
        answer=Answer.of(response),
        collateral="the proof",
    )
    publish(report, page, as_json=as_json)


def _trust_root(path: Path | None) -> TrustRoot:
    if path is None:
        return INTEL_SGX_ROOT
    try:
        return TrustRoot.from_pem(path.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--root") from error


def _load(path: Path) -> PredictResponse | UploadModelResponse:
    try:
        return PredictResponse.from_file(path)
    except ProofFormatError as error:
        try:
            return UploadModelResponse.from_file(path)
        except ProofFormatError:
            raise error from None


def _judge_prediction(
    response: PredictResponse,
    inputs: list[Path] | None,
    dtype: str | None,
    model_id: str | None,
    demands: ProofPolicy,
) -> ProofAppraisal:
    if not inputs:
        raise typer.BadParameter(
            "this is the proof of a prediction: name what was predicted", param_hint="--input"
        )
    tensors = arrays.read_inputs(inputs, dtype)
    appraisal = response.appraise(model_id or response.model_id, tensors, demands=demands)
    return appraisal if model_id else _without_a_model_asked_for(appraisal)


def _without_a_model_asked_for(appraisal: ProofAppraisal) -> ProofAppraisal:
    """Say beside the model id that it is the proof's own: nobody named the one that was meant."""
    own = "; --model-id compares it with the one that was meant"
    checks = tuple(
        dataclasses.replace(check, detail=check.detail + own)
        if check.name == "model id" and check.outcome is CheckOutcome.PASSED
        else check
        for check in appraisal.checks
    )
    return dataclasses.replace(appraisal, checks=checks)


def _judge_upload(
    response: UploadModelResponse, model: Path | None, demands: ProofPolicy
) -> ProofAppraisal:
    if model is None:
        raise typer.BadParameter(
            "this is the proof of an upload: name the ONNX file", param_hint="--model"
        )
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return response.appraise(digest, demands=demands)
