"""Draws the figures as one SVG: each ratio, its spread, and the bound it is held against."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Figure

_WIDTH, _ROW, _TOP, _LABEL, _RIGHT = 1000, 44, 60, 430, 60
_LEAST, _MOST = 0.01, 100.0
_FONT, _GREY = 'font-family="sans-serif" font-size="13"', "#666"


def draw(figures: Sequence[Figure], machine: str) -> str:
    """Plot the figures that are ratios, on a logarithmic axis."""
    shown = [figure for figure in figures if re.search(r"x$", figure.bound)]
    height = _TOP + _ROW * len(shown) + 40
    title = "Ratio to the opponent in the same run: median, lowest and highest round"
    note = f"{machine}; a bar marks the bound"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="20" y="26" font-size="17">{title}</text>',
        f'<text x="20" y="46" fill="{_GREY}">{escape(note)}</text>',
        *_grid(height),
    ]
    for index, figure in enumerate(shown):
        parts += _row(figure, _TOP + _ROW * index + _ROW // 2)
    return "\n".join([*parts, "</svg>\n"])


def _grid(height: int) -> list[str]:
    lines = []
    for value in (0.01, 0.1, 1, 10, 100):
        x = _x(value)
        label = f'text-anchor="middle" fill="{_GREY}">{value:g}x</text>'
        lines.append(_line(x, _TOP, x, height - 30, "#ddd", 1))
        lines.append(f'<text x="{x:.1f}" y="{height - 12}" {label}')
    return lines


def _row(figure: Figure, y: int) -> list[str]:
    bounds = [float(number) for number in re.findall(r"[\d.]+(?=x)", figure.bound)]
    colour = "#2a7d3f" if figure.holds else "#b3261e"
    small = f"against {figure.against}: {figure.value:.3g}x, asked {figure.bound}"
    return [
        f'<text x="20" y="{y - 2}">{escape(figure.what)}</text>',
        f'<text x="20" y="{y + 13}" fill="{_GREY}" font-size="11">{escape(small)}</text>',
        *(_line(_x(bound), y - 13, _x(bound), y + 13, "#333", 2) for bound in bounds),
        _line(_x(figure.low), y, _x(figure.high), y, colour, 3),
        f'<circle cx="{_x(figure.value):.1f}" cy="{y}" r="5" fill="{colour}"/>',
    ]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _x(value: float) -> float:
    share = math.log(max(value, _LEAST) / _LEAST) / math.log(_MOST / _LEAST)
    return _LABEL + share * (_WIDTH - _LABEL - _RIGHT)
