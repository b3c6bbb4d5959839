"""Tells a forked child from its parent, without a system call in every prediction."""

from __future__ import annotations

import os

__all__ = ["generation"]

_generation = [0]


def generation() -> int:
    """The number of forks between this process and the one that imported the package first."""
    return _generation[0]


def _count() -> None:
    _generation[0] += 1


if hasattr(os, "register_at_fork"):  # where there is no fork, there is nothing to count
    os.register_at_fork(after_in_child=_count)
