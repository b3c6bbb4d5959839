"""Whether the built wheel and sdist hold what they should, and nothing else.

`nox -s build` runs it: `python tests/api/check_distributions.py dist/*`.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

IN_THE_WHEEL = re.compile(
    r"blindai_async/(?:[\w/]+\.py|_pb/\w+_pb2\.pyi|py\.typed|cli/digits/(?:README\.md|[\w.]+\.(?:onnx|npz)))"
    r"|blindai_async-[^/]+\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
)
IN_THE_SDIST = re.compile(
    r"(?:src|tests|benchmarks|examples|docs|proto)/.+"
    r"|(?:PKG-INFO|LICENSE|README\.md|CHANGELOG\.md|CONTRIBUTING\.md|SECURITY\.md|noxfile\.py"
    r"|pyproject\.toml|\.gitignore)"
)
STRAY = re.compile(
    r"(?:^|/)(?:__pycache__|_build|generated|\.\w+_cache|\.nox|\.hypothesis|\.coverage[^/]*)(?:/|$)"
    r"|\.(?:pyc|pyo|proof|pem|key|log|orig|rej|swp)$|~$"
)
SOURCES = frozenset({".py", ".pyi", ".typed", ".onnx", ".npz", ".md"})


def main(paths: list[str]) -> int:
    """Check each distribution; print what is wrong."""
    problems = [f"{path}: {problem}" for path in paths for problem in problems_of(Path(path))]
    if {Path(path).suffix for path in paths} != {".whl", ".gz"}:
        problems.append(f"one wheel and one sdist are expected, not {paths}")
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def problems_of(path: Path) -> list[str]:
    """What one distribution has that it should not, and lacks that it should have."""
    if path.suffix == ".whl":
        names = zipfile.ZipFile(path).namelist()
        expected = {f"blindai_async/{name}" for name in sources(ROOT / "src" / "blindai_async")}
        return problems(names, IN_THE_WHEEL, expected)
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    expected = {f"{top}/{name}" for top in ("src", "tests") for name in sources(ROOT / top)}
    return problems(names, IN_THE_SDIST, expected)


def problems(names: list[str], allowed: re.Pattern[str], expected: set[str]) -> list[str]:
    """What is wrong with a distribution of these names."""
    stray = [name for name in names if not allowed.fullmatch(name) or STRAY.search(name)]
    missing = sorted(expected - set(names))
    return [f"{name} is stray" for name in stray] + [f"{name} is missing" for name in missing]


def sources(folder: Path) -> set[str]:
    """The source files below a folder, by their paths from there."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix in SOURCES and "__pycache__" not in path.parts
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
