"""`blindai-async verify`: judge a saved proof, offline."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from blindai_async import PredictResponse, UploadModelResponse
from blindai_async.attestation import INTEL_SGX_ROOT, Claims, TrustRoot
from blindai_async.cli import arrays
from blindai_async.cli.attestation_report import AttestationReport
from blindai_async.cli.report_output import AsJson, AsPage, publish
from blindai_async.cli.run_command import operation
from blindai_async.errors import AttestationError, ProofFormatError, SignatureError

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
        Path | None, typer.Option("--policy", help="What the enclave has to be; else built in.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", parser=_moment, help="Judge at this time, not now; UTC if bare."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Trust this root instead of Intel's, PEM.")
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
) -> None:
    """Judge a saved proof: which enclave gave this answer to this input, and is that proven?"""
    response = _load(proof)
    at = at or datetime.now(UTC)
    judged = f"{proof}, for model {response.model_id!r}", at, str(policy or "built in")
    demands = {
        "policy_file": policy,
        "enclave_signing_key": signing_key,
        "allow_simulation_mode": simulation,
        "trust_root": TrustRoot.from_pem(root.read_bytes()) if root else INTEL_SGX_ROOT,
        "at": at,
    }
    try:
        if isinstance(response, PredictResponse):
            claims = _judge_prediction(response, inputs, dtype, model_id, demands)
        else:
            claims = _judge_upload(response, model, demands)
        report = AttestationReport(*judged, claims)
    except (AttestationError, SignatureError) as refusal:
        report = AttestationReport.refused(*judged, refusal)
    publish(report, page, as_json=as_json)


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
    demands: dict[str, Any],
) -> Claims | None:
    if not inputs:
        raise typer.BadParameter(
            "this is the proof of a prediction: name what was predicted", param_hint="--input"
        )
    tensors = arrays.read_inputs(inputs, dtype)
    return response.validate(model_id or response.model_id, tensors, **demands)


def _judge_upload(
    response: UploadModelResponse, model: Path | None, demands: dict[str, Any]
) -> Claims | None:
    if model is None:
        raise typer.BadParameter(
            "this is the proof of an upload: name the ONNX file", param_hint="--model"
        )
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return response.validate(digest, **demands)
