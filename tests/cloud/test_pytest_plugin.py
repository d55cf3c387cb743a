"""The pytest fixtures that the library ships, as a project that uses it has them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "ecs_block.local.pytest_plugin"
TESTS = """
import os, subprocess, sys
import boto3
import pytest
from ecs_block import ECSTask

def test_light():
    assert "moto" not in sys.modules
    assert boto3.Session().get_credentials() and boto3.client("sts", region_name="eu-west-1")  # boto3 remembers the keys

@pytest.mark.parametrize("turn", [1, 2])
def test_run(local_cloud, turn):
    assert not local_cloud.calls
    assert ECSTask.list() == []
    task = ECSTask(command=["sh", "-c", f"exit {turn}"])
    task.save("mine")
    assert task.run().status_code == turn
    assert local_cloud.calls["ecs:RunTask"] == 1
    assert boto3.client("sts").get_caller_identity()["Account"] == local_cloud.account_id
    assert os.environ["AWS_ACCESS_KEY_ID"] != "mine" and "AWS_SESSION_TOKEN" not in os.environ

def test_after():
    assert os.environ["AWS_ACCESS_KEY_ID"] == "mine"
"""


def test_the_fixtures(tmp_path: Path) -> None:
    """Each test of a user's has an empty home and talks to one cloud; the settings of the machine come back after it."""
    (tmp_path / "test_mine.py").write_text(TESTS)
    settings = {
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "mine",
        "AWS_SESSION_TOKEN": "old",
        "HOME": str(tmp_path),
    }
    words = ["-q", "-p", PLUGIN, "-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env={**settings, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_pytest_finds_them() -> None:
    """The distribution names the plugin to pytest, under its module's name, so that it is loaded once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
