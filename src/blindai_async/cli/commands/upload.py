"""`blindai-async upload`: a model to a server."""

from pathlib import Path
from typing import Annotated

import typer

from blindai_async.cli import console
from blindai_async.cli.run_command import operation
from blindai_async.cli.server_options import Server, with_server

__all__ = ["upload"]


@with_server()
@operation
async def upload(
    server: Server,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.")],
    model_id: Annotated[
        str | None, typer.Option("--model-id", help="Its id; else the server makes one.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Keep it on the server's disk, encrypted.")
    ] = True,
    sign: Annotated[
        bool, typer.Option("--sign", help="Have the enclave sign what it received.")
    ] = False,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Keep the signed answer here; implies --sign.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Upload an ONNX model and print its id."""
    async with server.connect() as connection:
        with console.progress(f"uploading {model.name}") as advance:
            answer = await connection.upload_model(
                model,
                sign=sign or proof is not None,
                model_id=model_id,
                save_model=save,
                on_progress=advance,
            )
    if proof is not None:
        answer.save_to_file(proof)
    if as_json:
        console.json_line({"model_id": answer.model_id, "signed": answer.is_signed()})
    else:
        console.line(answer.model_id)
