"""Fixtures for tests of code that runs tasks; pytest finds them by itself where this library is installed.

Nothing is started, and nothing heavy imported, until a test asks for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ecs_block.local import LocalCloud


@pytest.fixture(scope="session")
def ecs_block_cloud() -> Iterator[LocalCloud]:
    """Give a LocalCloud that lives as long as the tests. Nothing leads to it; see `local_cloud`."""
    from ecs_block.local import LocalCloud

    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def local_cloud(ecs_block_cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """Lead every AWS client of the test to a LocalCloud, and keep its blocks and its journal in a folder of its own.

    `AWS_*` of the machine is out of reach, also for the processes that the test starts. `local_cloud.calls` is empty at first;
    `local_cloud.tasks` holds the tasks of earlier tests, too.
    """
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # one of an earlier test keeps its keys
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ecs_block_cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ECS_BLOCK_HOME", str(tmp_path / "ecs-block"))
    ecs_block_cloud.calls.clear()
    return ecs_block_cloud
