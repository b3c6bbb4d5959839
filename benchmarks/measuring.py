"""Interleaved rounds, medians and spreads: the machines that run this are noisy."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


class Figure(NamedTuple):
    """One line of the table.

    Attributes:
        what: what was measured.
        against: the opponent.
        value: the ratio, or the amount.
        low: the smallest over the rounds.
        high: the largest.
        bound: what was asked for, as text.
        holds: whether the value keeps to the bound.
        detail: the absolute figures behind it.
    """

    what: str
    against: str
    value: float
    low: float
    high: float
    bound: str
    holds: bool
    detail: str


async def interleaved(
    contestants: Mapping[str, Callable[[], Awaitable[float]]], rounds: int
) -> dict[str, list[float]]:
    """Run every contestant once a round, in turns, after one round that does not count."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for counted in range(rounds + 1):
        names = list(contestants)
        if counted % 2:
            names.reverse()
        for name in names:
            gc.collect()
            value = await contestants[name]()
            if counted:
                results[name].append(value)
    return results


def at_least(
    what: str, against: str, ours: list[float], theirs: list[float], bound: float, unit: str
) -> Figure:
    """A figure whose ratio is to be `bound` or more."""
    value, low, high = ratios(ours, theirs)
    return Figure(
        what, against, value, low, high, f">= {bound:g}x", value >= bound, _both(ours, theirs, unit)
    )


def at_most(
    what: str, against: str, ours: list[float], theirs: list[float], bound: float, unit: str
) -> Figure:
    """A figure whose ratio is to be `bound` or less."""
    value, low, high = ratios(ours, theirs)
    return Figure(
        what, against, value, low, high, f"<= {bound:g}x", value <= bound, _both(ours, theirs, unit)
    )


def _both(ours: list[float], theirs: list[float], unit: str) -> str:
    return f"{statistics.median(ours):.4g} against {statistics.median(theirs):.4g} {unit}"


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The ratio round by round: median, lowest, highest."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(each), min(each), max(each)


async def calls_per_second(
    call: Callable[[int], Awaitable[object]], callers: int, calls: int
) -> float:
    """How many calls a second `callers` concurrent callers get, `calls` each."""

    async def caller(number: int) -> None:
        for _ in range(calls):
            await call(number)

    start = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return callers * calls / (time.perf_counter() - start)
