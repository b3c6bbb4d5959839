"""Draws the layers of the package from the import contracts of pyproject.toml, as SVG."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

__all__ = ["layers", "write_layer_picture"]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "blindai_async"

WIDTH, ROW, GAP, PAD = 720, 52, 14, 12

LIGHT = "--ink: #1f2933; --soft: #52606d; --box: #f3f6fa; --edge: #9fb3c8;"
DARK = "--ink: #e4e7eb; --soft: #b8c4d0; --box: #1f2a36; --edge: #52667a;"

# By the system's setting, and over it by what the reader chose on the page.
STYLE = f"""
.layers {{ {LIGHT} }}
@media (prefers-color-scheme: dark) {{ .layers {{ {DARK} }} }}
body[data-theme="light"] .layers {{ {LIGHT} }}
body[data-theme="dark"] .layers {{ {DARK} }}
"""
STYLE += """
.layers rect { fill: var(--box); stroke: var(--edge); }
.layers text { fill: var(--ink); font: 14px system-ui, sans-serif; text-anchor: middle; }
.layers .name { font: 600 15px ui-monospace, monospace; }
.layers .what { fill: var(--soft); font-size: 12.5px; }
.layers path { stroke: var(--soft); fill: none; }
"""

NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
LABEL = 'aria-label="The layers of the package; imports go down. The table says the same."'


def layers() -> list[list[str]]:
    """The layers from the top down; in each, the modules that may not import each other."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    return [[_bare(name) for name in layer.split("|")] for layer in contract["layers"]]


def _bare(name: str) -> str:
    return name.strip().strip("()")  # brackets mark a layer that need not exist


def write_layer_picture(folder: Path) -> None:
    """Write the picture, and the same as a table for those who do not see it."""
    rows = layers()
    (folder / "layers.svg").write_text(_draw(rows), encoding="utf-8")
    lines = ["| layer | modules, from the top down |", "| --- | --- |"]
    for number, row in enumerate(rows, 1):
        described = "; ".join(f"`{name}`: {_summary(name)}" for name in row)
        lines.append(f"| {number} | {described} |")
    (folder / "layers.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _summary(module: str) -> str:
    """The first line of a module's docstring."""
    paths = (SOURCE / module / "__init__.py", (SOURCE / module).with_suffix(".py"))
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return ""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".").replace("|", "\\|")


def _draw(rows: list[list[str]]) -> str:
    height = len(rows) * (ROW + GAP) + GAP
    parts = [
        f'<svg class="layers" viewBox="0 0 {WIDTH} {height}" role="img" {NAMESPACE} {LABEL}>',
        f"<style>{STYLE}</style>",
    ]
    for number, row in enumerate(rows):
        top = GAP + number * (ROW + GAP)
        parts += _boxes(row, top)
        if number + 1 < len(rows):
            middle, end = WIDTH // 2, top + ROW + GAP - 2
            parts.append(f'<path d="M{middle} {end - GAP + 4}V{end}m-4 -5l4 5l4 -5"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _boxes(row: list[str], top: int) -> list[str]:
    # The share of a module grows with its name and its description, within limits.
    width = (WIDTH - 2 * PAD - GAP * (len(row) - 1)) / len(row)
    drawn = []
    for index, name in enumerate(row):
        left = PAD + index * (width + GAP)
        middle = left + width / 2
        what = _shortened(_summary(name).replace("`", ""), int(width / 6.4))
        name_at = top + (22 if what else 31)
        drawn.append(
            f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" rx="7"/>'
            f'<text class="name" x="{middle:.1f}" y="{name_at}">{escape(name)}</text>'
        )
        if what:
            drawn.append(
                f'<text class="what" x="{middle:.1f}" y="{top + 40}">{escape(what)}</text>'
            )
    return drawn


def _shortened(text: str, longest: int) -> str:
    if longest < 22:  # no room for words beside the name
        return ""
    if len(text) <= longest:
        return text
    for mark in (": ", "; ", " (", ", "):
        head = text.partition(mark)[0]
        if len(head) <= longest:
            return head
    return text[:longest].rpartition(" ")[0] + " …"
