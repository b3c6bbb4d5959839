"""What a probe holds: callers' rows as they came, and rows made of them that show dependence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import numpy.typing as npt

    from blindai_async.tensors.inputs import InputTensor

# A neighbour that is so much larger moves what a batch has in common: a quantisation's scale, a
# mean, a largest value, a threshold. One that is so much smaller moves a least value.
_OUTLIERS = (1e4, -1e4, 1e12, 1e-6, -1e8, 0.0)
# And smaller ones show what large rows hide: attention that looks at nothing but itself.
_GENTLE = (0.3, 1e-2, 1e-4, -0.3, 3.0)
_SMALL_RANGE = 1  # bytes of an integer whose whole range may be sent: larger ones may be sizes


class Block(NamedTuple):
    """One caller's rows, or rows made of them, which stay together.

    Attributes:
        inputs: ready for the wire, never changed again.
        rows: how many.
        answer: of each output, what these rows got alone; None where nobody asked.
        factor: how large the rows are beside those that they were made of.
    """

    inputs: Sequence[InputTensor]
    rows: int
    answer: list[npt.NDArray[Any]] | None = None
    factor: float = 1.0

    @property
    def content(self) -> bytes:
        """The inputs' bytes: equal for equal rows."""
        return b"".join(tensor.array.tobytes() for tensor in self.inputs)


def own_copies(inputs: Iterable[InputTensor]) -> list[InputTensor]:
    """Copy inputs: a caller may change its arrays once it has its answer."""
    return [tensor._replace(array=tensor.array.copy()) for tensor in inputs]


def distinct(blocks: Iterable[Block]) -> list[Block]:
    """Leave out blocks whose bytes came before."""
    return list({block.content: block for block in reversed(list(blocks))}.values())[::-1]


def repeated(blocks: Sequence[Block], rows: int, generator: np.random.Generator) -> list[Block]:
    """Repeat blocks in a random order, each equally often, as long as they fit into `rows`."""
    sequence: list[Block] = []
    left = rows
    while True:
        before = left
        for index in generator.permutation(len(blocks)):
            if blocks[index].rows <= left:
                sequence.append(blocks[index])
                left -= blocks[index].rows
        if left == before:
            return sequence


def outlier(block: Block, number: int, shared: Collection[int]) -> Block:
    """Make a neighbour that stands out of a block; of the same rows and shapes.

    Args:
        block: the caller's rows.
        number: which kind of outlier; they repeat.
        shared: inputs that all rows have in common: they stay.
    """
    factor = _OUTLIERS[number % len(_OUTLIERS)]

    def change(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if array.dtype.kind == "f":
            return _scaled(array, factor)
        if array.dtype.kind == "b":
            return ~array
        if array.dtype.itemsize <= _SMALL_RANGE:
            limits = np.iinfo(array.dtype)
            return np.full_like(array, limits.max if factor > 0 else limits.min)
        # Nothing but elements that a caller sent: another might be no index of a table, or ask the
        # server for a tensor of any size.
        extreme = array.max() if factor > 0 else array.min()
        return np.full_like(array, extreme)

    return Block(_changed(block.inputs, shared, change), block.rows, factor=abs(factor))


def gentle_variants(
    blocks: Sequence[Block], count: int, shared: Collection[int], generator: np.random.Generator
) -> list[Block]:
    """Make rows near the callers' own, whose answers alone are worth asking for.

    Args:
        blocks: the callers' rows.
        count: how many variants.
        shared: inputs that all rows have in common: they stay.
        generator: chooses.
    """
    variants = []
    for number in range(count):
        block = blocks[number % len(blocks)]
        if number % 2:
            factor = _GENTLE[number // 2 % len(_GENTLE)] * (0.7 ** (number // 10))
            inputs = _changed(block.inputs, shared, lambda a, f=factor: _scaled(a, f))  # type: ignore[misc]  # mypy cannot type the default
        else:
            factor = 1.0
            inputs = _changed(block.inputs, shared, lambda a: _rearranged(a, generator))
        variants.append(Block(inputs, block.rows, factor=min(1.0, abs(factor))))
    return distinct(variants)


def _changed(
    inputs: Sequence[InputTensor],
    shared: Collection[int],
    change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> list[InputTensor]:
    return [
        tensor
        if index in shared or not tensor.array.size
        else tensor._replace(array=np.ascontiguousarray(change(tensor.array)))
        for index, tensor in enumerate(inputs)
    ]


def _scaled(array: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """Scale floats, and leave others as they are; a row of zeros becomes one of the factor."""
    if array.dtype.kind != "f":
        return array
    if not np.any(array):
        return np.full_like(array, factor)
    limit = np.finfo(array.dtype).max
    with np.errstate(all="ignore"):
        scaled = np.clip(array.astype(np.float64) * factor, -limit, limit)
    return scaled.astype(array.dtype)


def _rearranged(array: npt.NDArray[Any], generator: np.random.Generator) -> npt.NDArray[Any]:
    """Put the elements of each row into another order."""
    flat = array.reshape(array.shape[0], -1)
    return flat[:, generator.permutation(flat.shape[1])].reshape(array.shape)
