"""Every command of the daily work: `nox -l` lists them, `nox -s NAME` runs one.

What a session installs stands in `[dependency-groups]` of pyproject.toml. The sessions that run
the package install it as a user gets it, so a file that is missing from the wheel is noticed.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import nox
from packaging.requirements import Requirement

PYPROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PYPROJECT)
OLDEST = SUPPORTED[0]
GENERATED = Path("src", "blindai_async", "_pb")

nox.options.sessions = ["tests", "lint", "types", "protos", "imports"]
nox.options.reuse_venv = "yes"


def _starts(version: str) -> bool:
    """Whether this interpreter is here; a version manager's placeholder is found and fails."""
    command = shutil.which(f"python{version}")
    if command is None:
        return False
    asked = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    return asked.returncode == 0 and asked.stdout.startswith(f"Python {version}.")


CURRENT = ".".join(map(str, sys.version_info[:2]))
PYTHONS = [version for version in SUPPORTED if version == CURRENT or _starts(version)] or [CURRENT]


def _group(*names: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, *names)


@nox.session
def demo(session: nox.Session) -> None:
    """The whole client against a local server: `nox -s demo [-- --json]`."""
    session.install(".[server,cli]")
    session.run("blindai-async", "demo", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite, on each supported interpreter found: `nox -s tests [-- PYTEST ARGUMENTS]`."""
    session.install(".[server,cli,collateral]", *_group("test"))
    session.run("pytest", *session.posargs)


@nox.session(python=OLDEST if OLDEST in PYTHONS else PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The test suite with the oldest version allowed of every dependency."""
    if session.python != OLDEST:
        session.skip(f"needs Python {OLDEST}")
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(_lower_bounds()) + "\n")
    session.log("with %s", ", ".join(_lower_bounds()))
    session.install("--constraint", str(constraints), ".[server,cli,collateral]", *_group("test"))
    # Old grpcio's destructors complain of loops and interceptors that are gone.
    quiet = "ignore::pytest.PytestUnraisableExceptionWarning"
    session.run("pytest", "-m", "not slow", "-W", quiet, *session.posargs)


def _lower_bounds() -> list[str]:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    ours = project["dependencies"], extras["server"], extras["cli"], extras["collateral"]
    requirements = map(Requirement, chain(*ours))
    return [
        f"{requirement.name}=={bound.version}"
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator == ">="
    ]


@nox.session(default=False)
def torch(session: nox.Session) -> None:
    """The tests that need torch, which is too large for the everyday session."""
    session.install(".[server,cli,collateral,torch]", *_group("test"))
    session.run("pytest", "-k", "torch", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting: `nox -s lint [-- --fix]`."""
    session.install(*_group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Static types of the package."""
    session.install(".[server,cli,collateral]", *_group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom: the contracts at the end of pyproject.toml."""
    session.install(*_group("imports"))
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def protos(session: nox.Session) -> None:
    """Whether the committed messages are what proto/ gives; `-- --write` renews them."""
    session.install(*_group("protos"))
    output = Path(session.create_tmp()) / "generated"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    sources = [str(path) for path in sorted(Path("proto").rglob("*.proto"))]
    compiler = ("python", "-m", "grpc_tools.protoc")
    session.run(*compiler, "-Iproto", f"--python_out={output}", f"--pyi_out={output}", *sources)

    fresh = {path.name: path for path in output.rglob("*_pb2.py*")}
    committed = {path.name: path for path in GENERATED.glob("*_pb2.py*")}
    differing = sorted(
        name
        for name in fresh.keys() | committed.keys()
        if name not in fresh
        or name not in committed
        or not filecmp.cmp(fresh[name], committed[name], shallow=False)
    )
    if "--write" in session.posargs:
        for name in differing:
            (GENERATED / name).unlink(missing_ok=True)
            if name in fresh:
                shutil.copy(fresh[name], GENERATED / name)
        session.log("renewed: %s", ", ".join(differing) or "nothing")
    elif differing:
        session.error(f"not what proto/ gives: {', '.join(differing)}; nox -s protos -- --write")


@nox.session(default=False)
def flips(session: nox.Session) -> None:
    """Every single byte of the evidence flipped, where the test suite flips a sample."""
    session.install(".[server,cli]", *_group("test"))
    session.run(
        "pytest", "tests/conformance", *session.posargs, env={"BLINDAI_ASYNC_ALL_FLIPS": "1"}
    )


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Faults and restarts under calls, ten minutes or as said: `nox -s soak [-- SECONDS]`."""
    session.install(".[server,cli]", *_group("test"))
    seconds, *arguments = session.posargs or ["600"]
    times = {"BLINDAI_ASYNC_SOAK_SECONDS": seconds, "BLINDAI_ASYNC_RESTARTS": "20"}
    tests = ("tests/soak", "tests/integration/faults/test_restarts.py")
    session.run("pytest", "-s", *tests, *arguments, env=times)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Spoilt bytes into every parser, each for a minute or as said: `nox -s fuzz [-- SECONDS]`."""
    session.install(".[server,cli]", *_group("test"))
    seconds, *arguments = session.posargs or ["60"]
    session.run("pytest", "tests/fuzz", *arguments, env={"BLINDAI_ASYNC_FUZZ_SECONDS": seconds})


@nox.session(default=False)
def exactness(session: nox.Session) -> None:
    """Batched answers against ONNX Runtime's, 100,000 calls or as said: `-- [CALLS]`."""
    session.install(".[server,cli]", *_group("test"))
    calls, *arguments = session.posargs or ["100000"]
    test = "tests/integration/batching/test_exactness.py"
    session.run("pytest", test, *arguments, env={"BLINDAI_ASYNC_BATCHED_CALLS": calls})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The figures of benchmarks/README.md, measured here: `nox -s bench [-- NAME ...]`."""
    session.install(".[server,cli]", *_group("test"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def digits(session: nox.Session) -> None:
    """Train the demo's model anew: `nox -s digits [-- DIRECTORY]`."""
    session.install(*_group("digits"))
    session.run("python", "examples/train_digits.py", *session.posargs)
