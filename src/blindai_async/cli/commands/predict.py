"""`blindai-async predict`: a model's answer for tensors in files."""

import json
from pathlib import Path
from typing import Annotated

import typer

from blindai_async.cli import arrays, console
from blindai_async.cli.run_command import operation
from blindai_async.cli.server_options import Server, with_server

__all__ = ["predict"]


@with_server()
@operation
async def predict(
    server: Server,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID", help="As upload printed it.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="The inputs in order: .npy, .npz or JSON; - is JSON on stdin."
        ),
    ],
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="Convert the inputs to it; JSON is float32 by default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write here: .json, .npy or .npz.")
    ] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Have the enclave sign its answer, and verify it.")
    ] = False,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Keep the signed answer here; implies --sign.")
    ] = None,
) -> None:
    """Predict, and print the outputs as JSON or write them to a file."""
    if output is not None and output.suffix not in {".json", ".npy", ".npz"}:
        raise typer.BadParameter("outputs are .json, .npy or .npz", param_hint="--output")
    tensors = arrays.read_inputs(inputs, dtype)
    async with server.connect() as connection:
        answer = await connection.predict(model_id, tensors, sign=sign or proof is not None)
    if proof is not None:
        answer.save_to_file(proof)
    result = {
        "model_id": model_id,
        "signed": answer.is_signed(),
        "inference_time": answer.inference_time,
        "outputs": [arrays.tensor_as_json(tensor) for tensor in answer.output],
    }
    if output is None:
        console.json_line(result)
    elif output.suffix == ".json":
        output.write_text(json.dumps(result) + "\n")
    else:
        arrays.write_outputs(output, answer.output)
