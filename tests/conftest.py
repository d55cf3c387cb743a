"""What every ring of tests stands on: a machine without AWS settings and without anybody's blocks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
