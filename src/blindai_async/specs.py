"""What a caller states about a model and about itself: TensorSpec, ModelSpec, ClientInfo."""

from __future__ import annotations

import hashlib
import platform
import socket
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from blindai_async._version import __version__
from blindai_async.errors import TensorError
from blindai_async.tensors.dtypes import ModelDatumType, dtype_to_numpy, translate_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ClientInfo", "ModelSpec", "TensorSpec", "model_spec"]

_Dim = Annotated[int, Field(ge=0, le=2**31 - 1)]
# In JSON by its name: a number is not taken for a datum type on the way back.
_Dtype = Annotated[
    ModelDatumType,
    BeforeValidator(translate_dtype),
    PlainSerializer(dtype_to_numpy, return_type=str, when_used="json"),
]


class TensorSpec(BaseModel):
    """The shape and element type of one input or output of a model.

    Attributes:
        dtype: a `ModelDatumType`, or anything that names one (see `translate_dtype`).
        dims: the shape; empty for an output whose shape is not stated.
        name: its name in the model, or "".
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    dtype: _Dtype = ModelDatumType.F32
    dims: tuple[_Dim, ...] = ()
    name: str = ""


class ModelSpec(BaseModel):
    """What a model takes and gives, where the ONNX file itself does not tell."""

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


class ClientInfo(BaseModel):
    """What the client tells the server about itself with each request.

    Attributes:
        uid: a hash of host and user name; empty unless the caller asked to send it.
        platform_name: the operating system.
        platform_arch: the processor architecture.
        platform_version: the operating system's version.
        platform_release: the operating system's release.
        user_agent: this package's name.
        user_agent_version: this package's version.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    uid: str = ""
    platform_name: str = ""
    platform_arch: str = ""
    platform_version: str = ""
    platform_release: str = ""
    user_agent: str = "blindai_async"
    user_agent_version: str = __version__

    @classmethod
    def collect(cls, *, send_uid: bool = False) -> ClientInfo:
        """Describe this process's platform; with `send_uid`, also its machine and user, hashed."""
        return cls(
            uid=_machine_and_user() if send_uid else "",
            platform_name=platform.system(),
            platform_arch=platform.machine(),
            platform_version=platform.version(),
            platform_release=platform.release(),
        )


@cache
def _machine_and_user() -> str:
    import getpass  # noqa: PLC0415 - drags in the terminal's modules, for what few ask for

    return hashlib.sha256(f"{socket.gethostname()}-{getpass.getuser()}".encode()).hexdigest()


def model_spec(
    input_specs: ModelSpec | Sequence[Any] | None,
    output_specs: Sequence[Any] | None,
    shape: Sequence[int] | None,
    dtype: Any,
    dtype_out: Any,
) -> ModelSpec:
    """Gather what an upload states about its model, in whichever of the API's forms it came.

    `shape`, `dtype` (float32 where only a shape is given) and `dtype_out` speak of a model with one
    input and one output; `input_specs` and `output_specs`, where given, take their place.

    Raises:
        TensorError: an entry that is not a spec; it names the entry.
    """
    if isinstance(input_specs, ModelSpec):
        if output_specs is not None:
            raise TensorError(
                "output_specs: a ModelSpec came as input_specs, and speaks of outputs"
            )
        return input_specs
    if input_specs is not None:
        inputs = [
            _input_spec(entry, f"input_specs[{i}]") for i, entry in enumerate(_listed(input_specs))
        ]
    elif shape is not None:
        inputs = [
            _spec("shape, dtype", dtype=ModelDatumType.F32 if dtype is None else dtype, dims=shape)
        ]
    else:
        inputs = []
    if output_specs is not None:
        outputs = [
            _output_spec(entry, f"output_specs[{i}]")
            for i, entry in enumerate(_sequence(output_specs))
        ]
    else:
        outputs = [] if dtype_out is None else [_spec("dtype_out", dtype=dtype_out)]
    return ModelSpec(inputs=tuple(inputs), outputs=tuple(outputs))


def _sequence(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else [given]


def _listed(input_specs: Any) -> Sequence[Any]:
    """A single ``[dims, dtype]`` stands for a list of one."""
    entries = _sequence(input_specs)
    if (
        len(entries) == 2
        and _is_dims(entries[0])
        and not isinstance(entries[1], list | tuple | TensorSpec)
    ):
        return [entries]
    return entries


def _is_dims(thing: Any) -> bool:
    return isinstance(thing, list | tuple) and all(isinstance(dim, int) for dim in thing)


def _input_spec(entry: Any, where: str) -> TensorSpec:
    if isinstance(entry, TensorSpec):
        return entry
    if isinstance(entry, list | tuple) and len(entry) == 2:
        return _spec(where, dims=entry[0], dtype=entry[1])
    raise TensorError(f"{where}: {entry!r} is not a TensorSpec or a pair of dims and dtype")


def _output_spec(entry: Any, where: str) -> TensorSpec:
    if isinstance(entry, TensorSpec):
        return entry
    return _spec(where, dtype=entry[0] if isinstance(entry, list | tuple) and entry else entry)


def _spec(where: str, **facts: Any) -> TensorSpec:
    try:
        return TensorSpec(**facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise TensorError(f"{where}: {field}: {first['msg']}") from error
