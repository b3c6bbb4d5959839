"""`blindai-async demo`: the whole client, against a server that it starts itself."""

import asyncio
import contextlib
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import typer

from blindai_async import AsyncConnection, Batching, PredictResponse, connect
from blindai_async.attestation import Policy, TrustRoot
from blindai_async.cli import console
from blindai_async.cli.demo_report import DemoReport
from blindai_async.cli.local_server import HOST_CERTIFICATE_FILE, make_server, new_platform
from blindai_async.cli.run_command import OperationError, operation
from blindai_async.errors import SecurityWarning, SignatureError

__all__ = ["demo"]

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

MOST_PROBING_ROUNDS = 10
HOST = "127.0.0.1"
DIGITS = resources.files("blindai_async.cli") / "digits"


class Tee(StrEnum):
    """What the demo emulates."""

    SGX = "sgx"
    TDX = "tdx"


@operation
async def demo(
    tee: Annotated[
        Tee | None, typer.Option("--tee", help="What to emulate: an SGX enclave, or a TDX guest.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Keep the proof of one prediction here.")
    ] = None,
    simulation: Annotated[
        bool, typer.Option("--simulation", help="Without attestation, in simulation mode.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Recognise handwritten digits on a local server, and verify the proof of one answer."""
    if simulation and tee is not None:
        raise typer.BadParameter("--simulation emulates no hardware", param_hint="--tee")
    emulated = None if simulation else tee or Tee.SGX
    with (
        tempfile.TemporaryDirectory(prefix="blindai-async-demo-") as directory,
        warnings.catch_warnings(),
    ):
        # What they say, the report says in words that fit a demo.
        warnings.simplefilter("ignore", SecurityWarning)
        scratch = Path(directory)
        report = DemoReport(spoken=not as_json)
        async with _stage(scratch, emulated) as stage:
            report.connected(stage.connection, emulated)
            await _play(stage, proof or scratch / "digit.proof", report)
        report.ended(proof)
    if as_json:
        console.json_line(report.figures)


class Stage(NamedTuple):
    """A connection, and what its proofs have to withstand: arguments of `validate`."""

    connection: AsyncConnection
    demands: dict[str, Any]


@contextlib.asynccontextmanager
async def _stage(scratch: Path, tee: Tee | None) -> AsyncIterator[Stage]:
    """A server on free ports, and a connection to it; None for simulation mode."""
    platform = None if tee is None else new_platform(tee.value)
    server = make_server(
        host=HOST,
        attested_port=0,
        untrusted_port=0,
        directory=scratch / "server",
        hardware=platform,
    )
    async with server:
        certificate = scratch / HOST_CERTIFICATE_FILE
        certificate.write_bytes(server.host_certificate_pem)
        demands: dict[str, Any] = {}
        if platform is not None:
            demands["policy"] = Policy.from_str(platform.policy_toml)
            demands["trust_root"] = TrustRoot.from_pem(platform.root_pem)
        async with connect(
            HOST,
            certificate=certificate,
            simulation=platform is None,
            untrusted_port=server.untrusted_port,
            attested_port=server.attested_port,
            batching=Batching(),
            **demands,
        ) as connection:
            if platform is None:
                demands["allow_simulation_mode"] = True
                demands["enclave_signing_key"] = connection.enclave_signing_key
            yield Stage(connection, demands)


async def _play(stage: Stage, proof: Path, report: DemoReport) -> None:
    """Upload, predict, prove, delete."""
    connection = stage.connection
    images, labels = _held_back_images()

    with resources.as_file(DIGITS / "digits.onnx") as path, console.progress("upload") as advance:
        model = await connection.upload_model(path, sign=True, on_progress=advance)
        report.uploaded(path)

    answers, latencies, seconds = await _predict_all(connection, model.model_id, images)
    report.predicted(answers == labels, latencies, seconds)
    await _probe(connection, model.model_id, images)
    joined, _, seconds = await _predict_all(connection, model.model_id, images, batch=True)
    if not np.array_equal(joined, answers):
        raise OperationError("calls that were joined into batches were answered differently")
    report.batched(len(images), seconds)

    signed = await connection.predict(model.model_id, images[:1], sign=True)
    signed.save_to_file(proof)
    report.signed(int(labels[0]), int(signed.output[0].as_numpy().argmax()), proof)

    kept = PredictResponse.from_file(proof)
    kept.validate(model.model_id, images[:1], **stage.demands)
    try:
        kept.validate(model.model_id, images[1:2], **stage.demands)
    except SignatureError:
        report.validated()
    else:
        raise OperationError("a proof was accepted for another image than its own")

    await connection.delete_model(model.model_id)
    report.deleted()


async def _probe(connection: AsyncConnection, model_id: str, images: Pixels) -> None:
    """Make calls until probes have shown whether the model's rows may be joined: see `Batching`."""
    for _ in range(MOST_PROBING_ROUNDS):
        await _predict_all(connection, model_id, images, batch=True)
        if connection.stats.models[model_id].state != "probing":
            return


async def _predict_all(
    connection: AsyncConnection, model_id: str, images: Pixels, *, batch: bool = False
) -> tuple[Labels, list[float], float]:
    """One prediction an image, all at once: the digits, the seconds of each, and of all."""
    latencies = []
    done = 0

    async def predict(image: Pixels) -> int:
        nonlocal done
        began = time.perf_counter()
        answer = await connection.predict(model_id, image, batch=batch)
        latencies.append(time.perf_counter() - began)
        done += 1
        advance(done, len(images))
        return int(answer.output[0].as_numpy().argmax())

    with console.progress("predict") as advance:
        began = time.perf_counter()
        digits = await asyncio.gather(*(predict(image) for image in np.split(images, len(images))))
        seconds = time.perf_counter() - began
    return np.array(digits, np.uint8), latencies, seconds


def _held_back_images() -> tuple[Pixels, Labels]:
    with (DIGITS / "held_back.npz").open("rb") as file, np.load(file) as held_back:
        return held_back["images"].astype(np.float32), held_back["labels"]
