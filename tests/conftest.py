"""What every ring of tests stands on: a machine without AWS settings and without anybody's blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calls
import models
import pytest
from hypothesis import HealthCheck, settings

models.keep()

settings.register_profile("here", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
# A failure in CI must not depend on luck, and must be the same failure when it is run again.
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, database=None)
settings.register_profile("hunt", settings.get_profile("here"), max_examples=2000)  # pytest --hypothesis-profile=hunt
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's AWS settings, home and blocks out of the tests, and the tests out of them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("ECS_BLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # boto3 would look for an instance's role over the network


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each of the event loops that the engine runs on."""
    return str(request.param)


# --- each AWS call of the tests is one that a policy of `iam-policy` allows, and each that it allows is called ---------

_heard: calls.Heard | None = None
_called: set[str] = set()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Listen before the first cloud is made, if there will be one."""
    global _heard
    if any(calls.in_a_ring(item.path) for item in session.items):
        _heard = calls.Heard()


@pytest.fixture(autouse=True)
def _permitted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which our library calls what no policy of ours allows."""
    if _heard is None or not calls.in_a_ring(request.path):
        yield
        return
    monkeypatch.setenv(calls.VARIABLE, str(tmp_path / "aws-calls"))
    yield
    refused = _heard.refused(tmp_path / "aws-calls")
    _called.update(_heard.all)
    assert not refused, f"ecs_block.plan.policy allows nobody {', '.join(sorted(refused))}"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a process of `pytest -n` has heard."""
    _called.update(getattr(node, "workeroutput", {}).get("aws_calls", ()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a whole suite that never called what a policy allows: then it allows too much."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["aws_calls"] = sorted(_called)
    elif exitstatus == 0 and _is_whole(session.config) and calls.uncalled(_called):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Say what a policy allows in vain."""
    if _is_whole(config) and (left := calls.uncalled(_called)):
        terminalreporter.section("AWS calls")
        terminalreporter.line(f"ecs_block.plan.policy allows what no test calls: {', '.join(sorted(left))}", red=True)


def _is_whole(config: pytest.Config) -> bool:
    """Tell whether all tests of the rings were to run."""
    option = config.option
    part = option.keyword or option.markexpr or option.collectonly or getattr(option, "lf", False)
    part = part or any(getattr(option, name, None) for name in ("deselect", "ignore", "ignore_glob"))
    folders = [config.invocation_params.dir / argument for argument in config.args]
    return not part and all(any(ring.is_relative_to(folder) for folder in folders) for ring in calls.RINGS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser, to look at pages with."""
    from browser import Browser  # it is looked for, or fetched, only where a test needs it

    with Browser() as browser:
        yield browser
