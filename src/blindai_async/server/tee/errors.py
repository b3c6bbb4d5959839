"""The one error of the hardware: it gives no quote, and what to do about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from blindai_async._base_errors import BlindAIError

if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Reason", "TeeError"]

Reason: TypeAlias = Literal["missing", "permission", "unsupported", "busy", "conflict", "failed"]


class TeeError(BlindAIError):
    """The machine gives no quote. The message says why, and what to do.

    Attributes:
        reason: "missing" where there is no interface; "permission" where this user may not ask it;
            "unsupported" where it is of another kind, or switched off; "busy" where it has not
            answered within the attempts; "conflict" where others have used the same request each
            time; "failed" for every other failure.
        tee: the kind of hardware, as far as it is known; None where it is not.
    """

    def __init__(
        self, message: str, *, reason: Reason, tee: Literal["sgx", "tdx"] | None = None
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.tee = tee
