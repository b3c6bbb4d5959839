"""A tensor as it came from the wire: its bytes, and the facts needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from blindai_async._base_errors import TensorError
from blindai_async.tensors.dtypes import TABLE, ModelDatumType

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Tensor", "TensorInfo", "dtype_name"]

_MAX_RANK: int = getattr(np, "MAXDIMS", 64)  # NumPy's own: 32 before 2.0; a model has a handful
_MAX_BYTES = 2**63 - 1
_MOST_HELD = 4  # times its own bytes, by a part of a reply

_SHOWN_VALUES = 6
# From this version on, NumPy can tell a consumer that memory must not be written (DLPack 1.0).
_EXPORTS_READ_ONLY = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


@dataclass(slots=True)
class TensorInfo:
    """The facts about a tensor that travel beside its bytes.

    Attributes:
        dims: its shape; ``[]`` is a scalar.
        datum_type: its element type.
        index: its position among the inputs or outputs.
        index_name: its name, or "".
    """

    dims: list[int]
    datum_type: ModelDatumType
    index: int = 0
    index_name: str = ""


class Tensor:
    """One output of a prediction.

    Args:
        info: shape, dtype, position, name.
        bytes_data: the elements, little-endian and in C order, a Bool in one byte each. Any buffer
            of bytes; it is kept, not copied.

    Raises:
        TensorError: the bytes are not what `info` says (a forged or truncated reply).
    """

    __slots__ = ("_data", "info")

    def __init__(self, info: TensorInfo, bytes_data: bytes | bytearray | memoryview) -> None:
        view = memoryview(bytes_data)
        check_byte_length(info.dims, info.datum_type, view.nbytes, f"output {info.index}")
        self.info: TensorInfo = info
        self._data = view.cast("B").toreadonly() if view.nbytes else memoryview(b"")

    @property
    def bytes_data(self) -> bytes:
        """The elements as bytes (a copy where the tensor is a view into a larger reply)."""
        return bytes(self._data)

    @property
    def datum_type(self) -> ModelDatumType:
        """The element type."""
        return self.info.datum_type

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; ``()`` for a scalar."""
        return tuple(self.info.dims)

    def as_numpy(self, *, copy: bool = False) -> npt.NDArray[Any]:
        """View the elements as a read-only NumPy array; with `copy`, as a new, writable one.

        Args:
            copy: give the array memory of its own. A view shares the reply's memory and keeps all
                of it alive: copy what is kept for long from a large reply.

        Returns:
            An array of `shape` and `datum_type` (little-endian).
        """
        row = TABLE[self.info.datum_type]
        view = np.frombuffer(self._data, dtype=row.numpy).reshape(self.info.dims)
        return view.copy() if copy else view

    def as_torch(self) -> Any:
        """Copy the elements into a new ``torch.Tensor`` of the same shape and dtype.

        Raises:
            ImportError: torch is not installed.
            TensorError: this torch has no such dtype (unsigned ones came with torch 2.3).
        """
        import torch  # noqa: PLC0415 - an optional dependency, and seconds to import

        name = TABLE[self.info.datum_type].name
        if not hasattr(torch, name):
            raise TensorError(f"torch {torch.__version__} has no dtype {name}; as_numpy() reads it")
        return torch.from_numpy(self.as_numpy().astype(name))  # its own memory, writable

    def as_flat(self) -> list[Any]:
        """List the elements as Python numbers, in C order."""
        flat: list[Any] = self.as_numpy().ravel().tolist()
        return flat

    def split(self, rows: Sequence[int]) -> list[Tensor]:
        """Cut the tensor along axis 0 into parts of so many rows each.

        Parts that are small beside the reply that the tensor lies in are copied out, so that one
        that is kept does not hold all of it: a part holds at most four times its own bytes.

        Args:
            rows: of each part; together, those of the tensor.
        """
        info, data, tail = self.info, self._data, self.info.dims[1:]
        stride = data.nbytes // info.dims[0]
        datum_type, index, name = info.datum_type, info.index, info.index_name
        viewed = memoryview(data.obj).nbytes // _MOST_HELD
        copied = data.tobytes() if max(rows) * stride < viewed else None
        new, parts, stop = Tensor.__new__, [], 0
        for count in rows:
            start, stop = stop, stop + count * stride
            part = new(Tensor)  # a part of what was checked fits its facts
            part.info = TensorInfo([count, *tail], datum_type, index, name)
            if copied is not None:
                own = memoryview(copied[start:stop])
            else:
                own = data[start:stop]
                if own.nbytes < viewed:
                    own = memoryview(own.tobytes())
            part._data = own  # noqa: SLF001 - its own class
            parts.append(part)
        return parts

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Answer `np.asarray` and `np.array`: the real elements, copied only where they must be.

        Raises:
            ValueError: `copy` is False, and another dtype was asked for.
        """
        view = self.as_numpy()
        if dtype is not None and np.dtype(dtype) != view.dtype:
            if copy is False:
                raise ValueError(f"{view.dtype} elements cannot be {np.dtype(dtype)} uncopied")
            return view.astype(dtype)
        return view.copy() if copy else view

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Hand the elements to another library: ``numpy.from_dlpack(tensor)``, torch, JAX.

        The memory is shared where the consumer knows read-only memory (DLPack 1.0). An older
        consumer gets a copy: it could write into the bytes that the enclave signed.

        Raises:
            BufferError: `copy` is False, and the consumer does not know read-only memory.
        """
        knows_read_only = max_version is not None and max_version >= (1, 0)
        if knows_read_only and _EXPORTS_READ_ONLY:
            return self.as_numpy().__dlpack__(
                stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
            )
        if copy is False:
            raise BufferError("the tensor is read-only, which only DLPack 1.0 can say; copy it")
        return self.as_numpy(copy=True).__dlpack__(stream=stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Tell where the elements are: in main memory (``(1, 0)``, kDLCPU)."""
        return 1, 0

    def __len__(self) -> int:
        if not self.info.dims:
            raise TypeError("a scalar tensor has no length")
        return self.info.dims[0]

    def __bool__(self) -> bool:
        return True  # also without rows: a length must not make an output look absent

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        return self.info == other.info and self._data == other._data

    # `info` is mutable, and equality looks at it.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # how Python says unhashable

    def __repr__(self) -> str:
        name = f", {self.info.index_name!r}" if self.info.index_name else ""
        flat = self.as_numpy().reshape(-1)
        values = ", ".join(str(value) for value in flat[:_SHOWN_VALUES])
        more = ", …" if flat.size > _SHOWN_VALUES else ""
        facts = f"{dtype_name(self.info.datum_type)}{list(self.info.dims)}{name}"
        return f"Tensor({facts}: {values}{more})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensor, (self.info, self.bytes_data)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from blindai_async.tensors.schema import tensor_schema  # noqa: PLC0415 - for models only

        def build(fields: dict[str, Any]) -> Tensor:
            data = fields.pop("bytes_data")
            return cls(TensorInfo(**fields), data)

        return tensor_schema(cls, build)


def dtype_name(datum_type: ModelDatumType) -> str:
    """Name a datum type as NumPy does, for people to read."""
    return TABLE[datum_type].name


def check_byte_length(
    dims: Sequence[int], datum_type: ModelDatumType, nbytes: int, where: str
) -> None:
    """Refuse a tensor whose bytes do not fit its shape and dtype.

    A peer may declare any dims: nothing is allocated for them, they are only multiplied.

    Raises:
        TensorError: a negative dimension, too many of them, or another number of bytes.
    """
    if len(dims) > _MAX_RANK:
        raise TensorError(f"{where}: {len(dims)} dimensions; at most {_MAX_RANK} can be")
    if dims and min(dims) < 0:
        raise TensorError(f"{where}: a negative dimension in {list(dims)}")
    expected = prod(dims) * TABLE[datum_type].size
    if not expected and prod(filter(None, dims)) * TABLE[datum_type].size > _MAX_BYTES:
        # NumPy refuses such a shape, though a 0 beside it leaves no element: not when it is read.
        raise TensorError(f"{where}: the dimensions {list(dims)} are too large")
    if expected != nbytes:
        raise TensorError(
            f"{where}: {nbytes} bytes came, "
            f"but {dtype_name(datum_type)}{list(dims)} takes {expected}"
        )
