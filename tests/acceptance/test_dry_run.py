"""`ecs-block run --dry-run`: what this very run would send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_block.local import LocalCloud


def test_nothing_is_sent(on_aws: Any, role: str, cloud: LocalCloud) -> None:
    """It shows the request that the run then sends, and sends nothing itself."""
    words = ("--execution-role", role, "--run-id", "dry", "-e", "STAGE=test", "--", "echo", "hello")
    calls = sum(cloud.calls.values())
    done = on_aws("run", "--dry-run", *words)
    assert done.returncode == 0, done.stderr
    assert sum(cloud.calls.values()) == calls
    definition, request = yaml.safe_load_all(done.stdout)
    assert definition["containerDefinitions"][0]["logConfiguration"]["logDriver"] == "awslogs"
    on_aws("run", *words)
    task = next(task for task in cloud.tasks if task.get("startedBy") == "dry")
    assert request["startedBy"] == "dry"
    assert request["overrides"]["containerOverrides"] == task["overrides"]["containerOverrides"]
    names = {item["name"]: item["value"] for item in request["overrides"]["containerOverrides"][0]["environment"]}
    assert names == {"STAGE": "test", "ECS_BLOCK_RUN_ID": "dry", "ECS_BLOCK_ATTEMPT": "1"}


def test_json_is_masked(ecs_block: Any) -> None:
    """--output json gives both as one object, secrets masked, without credentials and without a region."""
    done = ecs_block("run", "--dry-run", "--no-logs", "-e", "DB_PASSWORD=hush-hush", "--output", "json", "true")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == {"task_definition", "run_request"}
    assert shown["run_request"]["startedBy"].startswith("cli-")
    assert "hush-hush" not in done.stdout + done.stderr


def test_map(ecs_block: Any, tmp_path: Path) -> None:
    """With --map it tells how many tasks there are, and shows the first of them."""
    (tmp_path / "items").write_text("a\nb\nc\n")
    words = ("run", "--dry-run", "--no-logs", "--map", str(tmp_path / "items"), "--run-id", "all")
    done = ecs_block(*words, "echo")
    assert done.stdout.startswith("# 3 tasks; this is the first of them\n---\n# Task definition\n")
    _, request = yaml.safe_load_all(done.stdout)
    assert request["startedBy"] == "all/0"
    assert request["overrides"]["containerOverrides"][0]["command"] == ["echo", "a"]
    assert json.loads(ecs_block(*words, "--query", "tasks", "echo").stdout) == 3


def test_local(ecs_block: Any) -> None:
    """With --local it shows what the local cloud would be sent."""
    done = ecs_block("run", "--local", "--dry-run", "true")
    assert done.returncode == 0, done.stderr
    assert "ecsTaskExecutionRole" in done.stdout


REFUSED = {
    "patch that does not apply": (("--patch", '[{"op": "remove", "path": "/nope"}]'), "/nope"),
    "patch of the identity": (("--run-id", "x", "--patch", '[{"op": "add", "path": "/startedBy", "value": "y"}]'), "run id"),
    "run id": (("--run-id", "no spaces"), "startedBy"),
    "secret that is not here": (("--set", 'env.X={"$secret": "env:NOT_SET"}'), "NOT_SET"),
    "size": (("--cpu", "256", "--memory", "8gb"), "nearest"),
    "request": (("--set", "task_run_request.count=20",), "count"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(ecs_block: Any, name: str) -> None:
    """What a run would refuse before its first call is refused, with 2."""
    words, told = REFUSED[name]
    done = ecs_block("run", "--dry-run", "--no-logs", *words, "true")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert told in done.stderr
