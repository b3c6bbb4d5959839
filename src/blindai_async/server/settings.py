"""The limits under which the server works."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

__all__ = ["ServerSettings"]

# AES-GCM seals at most 2^31 - 1 bytes at once, and gRPC counts a message's bytes in 31 bits.
_MAX_BYTES = 2**31 - 2**20


class ServerSettings(BaseModel):
    """What `BlindAIServer` was told; its documentation says what each means."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=()
    )

    version: str
    allow_uploads: bool
    max_model_size: int = Field(gt=0, le=_MAX_BYTES)
    max_input_size: int = Field(gt=0, le=_MAX_BYTES)
    max_message_size: int = Field(gt=0, le=_MAX_BYTES)
    max_pending_bytes: PositiveInt
    max_pending_quotes: PositiveInt
    inference_threads: PositiveInt
    inference_timeout: PositiveFloat
    stream_timeout: PositiveFloat
    grace: NonNegativeFloat
