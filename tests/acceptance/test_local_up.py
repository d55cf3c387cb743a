"""`ecs-block local up`: a cloud for any AWS client."""

from __future__ import annotations

import shlex
import signal
import subprocess
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

NAMES = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"}


def exports(started: Any) -> dict[str, str]:
    """Read the lines up to the endpoint's, and evaluate them as a shell does."""
    started.read_until("AWS_ENDPOINT_URL")
    script = started.stdout + "\nenv -0"
    shown = subprocess.run(
        ["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    found = dict(item.split("=", 1) for item in shown.stdout.split("\0") if "=" in item)
    assert all(shlex.split(line)[0] == "export" for line in started.stdout.splitlines())
    return {name: value for name, value in found.items() if name.startswith("AWS_")}


def ecs(variables: dict[str, str], **changes: str) -> Any:
    given = variables | changes
    return boto3.client(
        "ecs",
        region_name=given["AWS_DEFAULT_REGION"],
        endpoint_url=given["AWS_ENDPOINT_URL"],
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def test_cloud_for_any_client(ecs_block: Any) -> None:
    """The printed exports lead boto3 and ecs-block itself there; its key is needed; Ctrl-C ends it with 130."""
    started = ecs_block.start("local", "up", "--region", "eu-west-1")
    variables = exports(started)
    assert set(variables) == NAMES
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert variables["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert ecs(variables).list_clusters()["clusterArns"]
    with pytest.raises(ClientError):
        ecs(variables, AWS_SECRET_ACCESS_KEY="x" * 40).list_clusters()
    done = ecs_block("run", "--no-logs", "sh", "-c", "exit 8", **variables)
    assert done.returncode == 8
    started.signal(signal.SIGINT)
    ended = started.end()
    assert ended.returncode == 130
    assert "until Ctrl-C" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_key_is_random(ecs_block: Any) -> None:
    """Each start makes a key of its own; SIGTERM ends the cloud with 143, and its tasks with it."""
    found = []
    for _ in range(2):
        started = ecs_block.start("local", "up")
        found.append(exports(started))
        started.signal(signal.SIGTERM)
        assert started.end().returncode == 143
    assert found[0]["AWS_ACCESS_KEY_ID"] != found[1]["AWS_ACCESS_KEY_ID"]
    assert found[0]["AWS_SECRET_ACCESS_KEY"] != found[1]["AWS_SECRET_ACCESS_KEY"]
