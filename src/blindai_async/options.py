"""What a user tunes about a connection, as frozen pydantic models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveFloat

__all__ = ["Timeouts"]


class Timeouts(BaseModel):
    """Deadlines of a connection's calls, in seconds.

    Attributes:
        connect: for the whole handshake: lookup, host certificate, version, evidence.
        call: for one `predict` or `delete_model`.
        upload: for one `upload_model`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect: PositiveFloat = 15.0
    call: PositiveFloat = 60.0
    upload: PositiveFloat = 600.0
