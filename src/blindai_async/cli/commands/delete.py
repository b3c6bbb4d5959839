"""`blindai-async delete`: a model off a server."""

from typing import Annotated

import typer

from blindai_async.cli import console
from blindai_async.cli.run_command import operation
from blindai_async.cli.server_options import Server, with_server

__all__ = ["delete"]


@with_server()
@operation
async def delete(
    server: Server,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID", help="As upload printed it.")],
) -> None:
    """Delete a model. A server does not tell whether it had it."""
    async with server.connect() as connection:
        await connection.delete_model(model_id)
    console.line(f"deleted {model_id}")
