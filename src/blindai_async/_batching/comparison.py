"""Whether an answer in a batch is the answer alone, but for rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from blindai_async.options import Batching

# (relative, absolute) by the width of a float. A matrix product of one row and one of many rows
# round differently: in float32 by some 1e-6 of the sum's terms, a network of many layers by more.
_DEFAULTS = {4: (2e-5, 1e-6), 8: (1e-9, 1e-12)}


class Tolerance(NamedTuple):
    """The difference that is taken for rounding; None takes the dtype's own.

    Attributes:
        rtol: in relation to the answer alone.
        atol: added to it.
        share: the part of both that is allowed.
    """

    rtol: float | None
    atol: float | None
    share: float = 1.0

    @classmethod
    def of(cls, options: Batching) -> Tolerance:
        """Read what a user allowed."""
        return cls(options.rtol, options.atol)

    def for_dtype(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """The relative and the absolute tolerance for elements of a type."""
        if dtype.kind != "f":
            return 0.0, 0.0
        rtol, atol = _DEFAULTS[dtype.itemsize]
        rtol = rtol if self.rtol is None else self.rtol
        atol = atol if self.atol is None else self.atol
        return rtol * self.share, atol * self.share


def typical_magnitudes(
    answers: Sequence[Sequence[npt.NDArray[Any]]],
) -> list[npt.NDArray[np.float64]]:
    """Of each output, how large each element of a row usually is (the median over the rows).

    A sum that nearly cancels out is small, but its rounding error is that of its terms. Each
    element has a magnitude of its own: an output may hold a probability beside a price.
    """
    magnitudes = []
    for outputs in zip(*answers, strict=True):
        rows = np.abs(np.concatenate(outputs).astype(np.float64))
        magnitudes.append(np.median(np.nan_to_num(rows, posinf=0.0), axis=0))
    return magnitudes


def largest_difference(
    got: Sequence[npt.NDArray[Any]],
    wanted: Sequence[npt.NDArray[Any]],
    tolerance: Tolerance,
    typical: Sequence[npt.NDArray[np.float64]],
    factor: float = 1.0,
) -> tuple[float, bool]:
    """Compare the outputs of some rows with those that the rows got alone.

    Args:
        got: of each output, the rows as they came in a batch.
        wanted: the same rows, alone.
        tolerance: what is taken for rounding.
        typical: see `typical_magnitudes`.
        factor: how the magnitude of these rows relates to that of the typical ones.

    Returns:
        The largest difference relative to the answer's magnitude, and whether one is too large.
        Equal bits, and two NaN, do not differ.
    """
    largest, too_large = 0.0, False
    for one, other, magnitude in zip(got, wanted, typical, strict=True):
        same = (one == other) | ((one != one) & (other != other))  # noqa: PLR0124 - NaN
        if np.all(same):
            continue
        rtol, atol = tolerance.for_dtype(other.dtype)
        with np.errstate(all="ignore"):
            reference = other.astype(np.float64)
            difference = np.where(same, 0.0, np.abs(one.astype(np.float64) - reference))
            scale = np.maximum(np.abs(reference), factor * magnitude)
            # NaN is not within anything, and everything would be within a share of infinity.
            within = same | (np.isfinite(scale) & (difference <= atol + rtol * scale))
            relative = np.where(same, 0.0, difference / np.maximum(scale, atol or 1.0))
        worst = float(np.max(np.nan_to_num(relative, nan=np.inf)))
        largest = max(largest, worst)
        too_large = too_large or not bool(np.all(within))
    return largest, too_large
