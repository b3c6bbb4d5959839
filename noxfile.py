"""Every command of the daily work: `nox -l` lists them, `nox -s NAME` runs one.

What a session installs stands in `[dependency-groups]` of pyproject.toml. The sessions that run
the package install it as a user gets it, so a file that is missing from the wheel is noticed.
"""

from __future__ import annotations

import filecmp
import os
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
# All that the package can do, but for torch, which is too large for every day.
EXTRAS = sorted(PYPROJECT["project"]["optional-dependencies"].keys() - {"torch"})
GENERATED = Path("src", "blindai_async", "_pb")

nox.options.sessions = ["tests", "lint", "types", "api", "protos", "imports", "docs", "build"]
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


def _install(session: nox.Session, *groups: str, first: tuple[str, ...] = ()) -> None:
    """Install the package's wheel with all that it can do, and what these groups name.

    The wheel, not the source tree: a file that is missing from it is noticed.
    """
    wheel = _wheel(session)
    wanted = f"blindai-async[{','.join(EXTRAS)}] @ {wheel.as_uri()}"
    session.install(*first, wanted, *_group(*groups))
    # pip takes a wheel of the same version for the same.
    session.install("--quiet", "--force-reinstall", "--no-deps", str(wheel))


_made: list[Path] = []


def _wheel(session: nox.Session) -> Path:
    """The one wheel of this run of nox, whatever the sessions and interpreters."""
    if not _made:
        folder = Path(session.create_tmp()) / "wheel"
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), ".")
        _made.extend(folder.glob("*.whl"))
    return _made[0].resolve()


@nox.session
def demo(session: nox.Session) -> None:
    """The whole client against a local server: `nox -s demo [-- --json]`."""
    session.install(".[server,cli]")
    session.run("blindai-async", "demo", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite, on each supported interpreter found: `nox -s tests [-- PYTEST ARGUMENTS]`.

    `-- --coverage` before other arguments also measures which branches of the package run, and
    fails where they are fewer than pyproject.toml demands.
    """
    _install(session, "test", "docs", "coverage")
    if "--coverage" not in session.posargs:
        session.run("pytest", *session.posargs)
        return
    arguments = [argument for argument in session.posargs if argument != "--coverage"]
    data = Path(session.create_tmp()).resolve() / "coverage"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    measured = {"COVERAGE_FILE": str(data / "data")}
    session.run("coverage", "run", "-m", "pytest", *arguments, env=measured)
    session.run("coverage", "combine", "--quiet", env=measured)
    session.run("coverage", "report", env=measured)


@nox.session(python=OLDEST if OLDEST in PYTHONS else PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The test suite with the oldest version allowed of every dependency."""
    if session.python != OLDEST:
        session.skip(f"needs Python {OLDEST}")
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(_lower_bounds()) + "\n")
    session.log("with %s", ", ".join(_lower_bounds()))
    _install(session, "test", first=("--constraint", str(constraints)))
    # Old grpcio's destructors complain of loops and interceptors that are gone.
    quiet = "ignore::pytest.PytestUnraisableExceptionWarning"
    # The documents are tested with today's versions, which their examples are type-checked with;
    # and so is the API on file, which shows what today's versions of dependencies show.
    ignored = ("--ignore=tests/docs", "--ignore=tests/api/test_public_api.py")
    session.run("pytest", "-m", "not slow", "-W", quiet, *ignored, *session.posargs)


def _lower_bounds() -> list[str]:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    ours = project["dependencies"], *(extras[name] for name in EXTRAS)
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
    _install(session, "test")
    session.install("torch")
    session.run("pytest", "-k", "torch", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting: `nox -s lint [-- --fix]`."""
    session.install(*_group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Static types: the package, its tests and examples, and what a user's checker sees."""
    _install(session, "types", "test", "docs")
    session.run("mypy", *session.posargs)
    session.run("basedpyright", "--verifytypes", "blindai_async", "--ignoreexternal")


@nox.session
def api(session: nox.Session) -> None:
    """Whether the public API is the one on file; `-- --write` renews the file."""
    _install(session)
    session.run("python", "tests/api/describe_api.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into docs/_build/html; each warning is an error."""
    _install(session, "docs")
    output = Path("docs", "_build")
    shutil.rmtree(output, ignore_errors=True)
    strict = ("-n", "-W", "--keep-going", "-d", str(output / "doctrees"))
    session.run("python", "-m", "sphinx", "-b", "html", *strict, "docs", str(output / "html"))
    session.log("open %s", (output / "html" / "index.html").resolve())


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist into dist/, built twice and compared byte by byte, and checked."""
    session.install(*_group("build"))
    # The date of the files inside: that of the commit, so that anybody gets the same bytes.
    date = {"SOURCE_DATE_EPOCH": _commit_date()}
    folders = [Path("dist"), Path(session.create_tmp()) / "again"]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "build", "--no-isolation", "-o", str(folder), env=date)
    names = sorted(path.name for path in folders[0].iterdir())
    _, differing, missing = filecmp.cmpfiles(*folders, names, shallow=False)
    if differing or missing:
        session.error(f"not reproducible: {', '.join(differing + missing)}")
    built = [str(folders[0] / name) for name in names]
    session.run("twine", "check", "--strict", *built)
    session.run("python", "tests/api/check_distributions.py", *built)


def _commit_date() -> str:
    asked = ["git", "log", "-1", "--format=%ct"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return told.stdout.strip() or os.environ.get("SOURCE_DATE_EPOCH", "1767225600")


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

    for path in output.rglob("*.pyi"):
        # The compiler names bare mappings, which a user's type checker takes for unknown types.
        path.write_text(path.read_text().replace("_Mapping]", "_Mapping[str, object]]"))
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
    _install(session, "test")
    session.run(
        "pytest", "tests/conformance", *session.posargs, env={"BLINDAI_ASYNC_ALL_FLIPS": "1"}
    )


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Faults and restarts under calls, ten minutes or as said: `nox -s soak [-- SECONDS]`."""
    _install(session, "test")
    seconds, *arguments = session.posargs or ["600"]
    times = {"BLINDAI_ASYNC_SOAK_SECONDS": seconds, "BLINDAI_ASYNC_RESTARTS": "20"}
    tests = ("tests/soak", "tests/integration/faults/test_restarts.py")
    session.run("pytest", "-s", *tests, *arguments, env=times)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Spoilt bytes into every parser, each for a minute or as said: `nox -s fuzz [-- SECONDS]`."""
    _install(session, "test")
    seconds, *arguments = session.posargs or ["60"]
    session.run("pytest", "tests/fuzz", *arguments, env={"BLINDAI_ASYNC_FUZZ_SECONDS": seconds})


@nox.session(default=False)
def exactness(session: nox.Session) -> None:
    """Batched answers against ONNX Runtime's, 100,000 calls or as said: `-- [CALLS]`."""
    _install(session, "test")
    calls, *arguments = session.posargs or ["100000"]
    test = "tests/integration/batching/test_exactness.py"
    session.run("pytest", test, *arguments, env={"BLINDAI_ASYNC_BATCHED_CALLS": calls})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The figures of benchmarks/README.md, measured here: `nox -s bench [-- NAME ...]`."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def digits(session: nox.Session) -> None:
    """Train the demo's model anew: `nox -s digits [-- DIRECTORY]`."""
    session.install(*_group("digits"))
    session.run("python", "examples/train_digits.py", *session.posargs)
