"""The checks, each in an environment of its own. `nox` runs those that every change must pass."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "contract", "docs", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """What a dependency group of pyproject.toml asks for."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the mistakes that a linter can see."""
    session.install("-q", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types: ours, and the public ones as a client's type checker sees them."""
    session.install("-q", "-e", ".[local,progress]", *group("types"))
    session.run("mypy")
    session.run("mypy", "--config-file", "tests/typing/mypy.ini", "tests/typing/api.py")


@nox.session
def contract(session: nox.Session) -> None:
    """Imports run one way."""
    session.install("-q", "-e", ".[local,progress]", *group("contract"))
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, warnings as errors."""
    session.install("-q", "-e", ".[local,progress]", *group("docs"))
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the terminal pictures of the docs anew; look at them before they are committed."""
    session.install("-q", "-e", ".[local,progress]", *group("test"))
    session.run("python", "docs/pictures.py")


@nox.session
def reference(session: nox.Session) -> None:
    """Write the page of the commands anew, from their help."""
    session.install("-q", "-e", ".")
    session.run("python", "docs/commands.py")


@nox.session
def changelog(session: nox.Session) -> None:
    """Show what the files in `changelog.d` will say in CHANGELOG.md; `-- --yes --version V` moves them there."""
    session.install("-q", "towncrier>=25.8")
    session.run("towncrier", "build", *(session.posargs or ["--draft", "--version", "next"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Every ring; last, so that its closing lines close the whole."""
    session.install("-q", "-e", ".[local,progress]", *group("test"))
    session.run("pytest", "-n", "4", "--dist", "worksteal", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the packages, install the wheel where nothing else is, and read the tutorial there."""
    session.install("-q", "build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, ".", silent=True)
        (wheel,) = Path(folder).glob("*.whl")
        clean = Path(folder, "clean")
        python = str(clean / "bin" / "python")
        session.run("python", "-m", "venv", str(clean))

        def run(*words: str) -> None:
            session.run(*words, external=True)

        with session.chdir(folder):  # away from the sources, so that it is the wheel that is imported
            run(python, "-m", "pip", "install", "-q", f"{wheel}[local,progress]")
            run(python, "-m", "pip", "check")
            run(str(clean / "bin" / "ecs-block"), "run", "--local", "--", "echo", "hello from the wheel")
            _copy_pages(Path(__file__).parent, Path(folder))
            run(python, "-m", "pip", "install", "-q", "pytest", "sybil")
            run(python, "-m", "pytest", "-q", "-W", "error", "docs/tutorial.md")


def _copy_pages(source: Path, target: Path) -> None:
    """Copy the tutorial and what reads it, and nothing of the library."""
    for name in ("conftest.py", "tests/pages.py", "docs/tutorial.md"):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, target / name)


@nox.session
def coverage(session: nox.Session) -> None:
    """What the tests reach, in one process: slower, so it is not part of every change's checks."""
    session.install("-q", "-e", ".[local,progress]", *group("test"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "-q", silent=True)
    session.run("coverage", "report", "--skip-covered", silent=False)


@nox.session
def bench(session: nox.Session) -> None:
    """Ours beside a hand-written client: ratios, in one run. `nox -s bench -- --quick` is the short form."""
    session.install("-q", "-e", ".[local,progress]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """A thousand runs over a bad wire, then a run killed at two hundred moments. `nox -s soak -- --runs 5000` for more."""
    session.install("-q", "-e", ".[local,progress]", *group("test"))
    session.run("python", "tests/soak.py", *session.posargs)
    moments = "tests/acceptance/test_crash.py::test_killed_at_any_moment"
    session.run("python", "-m", "pytest", "-q", "-s", moments, env={"ECS_BLOCK_KILLS": "200"})


@nox.session
def jobs(session: nox.Session) -> None:
    """The agent's tests in their long form: 500 jobs while agents are killed, then 1,000 jobs, at most 200 at once."""
    session.install("-q", "-e", ".[local,progress]", *group("test"))
    for count, file in (("500", "test_agent_once.py"), ("1000", "test_agent_process.py")):
        session.run("python", "-m", "pytest", "-q", f"tests/acceptance/{file}", env={"ECS_BLOCK_JOBS": count})


@nox.session
def prefect(session: nox.Session) -> None:
    """The Prefect worker: its types, and its tests with Prefect's own server and worker."""
    session.install("-q", "-e", ".[local,prefect]", *group("prefect"))
    session.run("mypy", "--config-file", "tests/prefect_worker/mypy.ini")
    session.run("pytest", "tests/prefect_worker", *session.posargs)
