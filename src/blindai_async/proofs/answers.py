"""Does a signed payload answer what was asked, and does a response show what was signed?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blindai_async.errors import SignatureError
from blindai_async.tensors.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blindai_async._wire.run_model import RunModelPayload

__all__ = [
    "check_answers",
    "check_inputs",
    "check_model",
    "check_model_hash",
    "check_shown",
    "check_shown_outputs",
]


def check_answers(payload: RunModelPayload, model_id: str, input_hash: bytes) -> None:
    """Check that a signed payload answers the question that was asked.

    The signature alone stops nobody from handing out another of the enclave's signed answers.

    Raises:
        SignatureError: it is for another model or other inputs.
    """
    check_model(payload, model_id)
    check_inputs(payload, input_hash)


def check_model(payload: RunModelPayload, model_id: str) -> None:
    """Check that a signed payload is of the model that was asked for.

    Raises:
        SignatureError: it is of another one.
    """
    if payload.model_id != model_id:
        raise SignatureError(
            f"the response is signed, but for the model {payload.model_id[:100]!r}, "
            f"not {model_id!r}"
        )


def check_inputs(payload: RunModelPayload, input_hash: bytes) -> None:
    """Check that a signed payload is about the inputs that were sent.

    Raises:
        SignatureError: it is about other ones.
    """
    if payload.input_hash != input_hash:
        raise SignatureError("the response is signed, but for other inputs: their hash differs")


def check_model_hash(signed: bytes, model_hash: bytes) -> None:
    """Check that a signed payload is about the model that was sent.

    Raises:
        SignatureError: it is about another one.
    """
    if signed != bytes(model_hash):
        raise SignatureError("the response is signed, but for another model: the hash differs")


def check_shown(shown: object, signed: object) -> None:
    """Check that a response shows what was signed: a pickle could bring other fields beside it.

    Raises:
        SignatureError: it shows something else.
    """
    if shown != signed:
        raise SignatureError("the response's fields are not what its signed payload says")


def check_shown_outputs(shown: Sequence[Tensor], signed: Sequence[Tensor]) -> None:
    """Check that a response's outputs are the signed ones; a name may stand where none was signed.

    Raises:
        SignatureError: they are others.
    """
    check_shown(len(shown), len(signed))
    for mine, theirs in zip(shown, signed, strict=True):
        name = theirs.info.index_name or mine.info.index_name
        check_shown(mine, Tensor(replace(theirs.info, index_name=name), theirs.bytes_data))
