"""The official aws CLI works against `ecs-block local up`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def aws(request: pytest.FixtureRequest) -> str:
    """The aws CLI in an environment of its own (it brings another botocore); kept between runs of the tests."""
    folder = Path(request.config.cache.mkdir("awscli")) / "venv"
    program = folder / "bin" / "aws"
    if not program.exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "awscli"], check=True, timeout=300)
    return str(program)


@pytest.fixture
def cloud(tmp_path: Path):
    """`ecs-block local up`, and the environment that it prints."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ecs_block.cli", "local", "up"], env=clean, stdout=subprocess.PIPE, text=True
    )
    exports = {}
    while "AWS_ENDPOINT_URL" not in exports:
        line = process.stdout.readline()
        assert line.startswith("export "), line
        name, _, value = line.removeprefix("export ").strip().partition("=")
        exports[name] = value.strip("'\"")
    yield {**clean, **exports}
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (0, 130)
    process.stdout.close()


def test_the_aws_cli_registers_runs_describes_and_reads_logs(aws, cloud):
    """Four commands as a user would type them, and the output of the task at the end."""

    def call(*words: str):
        done = subprocess.run([aws, *words, "--output", "json"], env=cloud, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    containers = [
        {
            "name": "main",
            "image": "busybox",
            "command": ["echo", "seen by the aws CLI"],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "mine",
                    "awslogs-region": cloud["AWS_DEFAULT_REGION"],
                    "awslogs-stream-prefix": "job",
                    "awslogs-create-group": "true",
                },
            },
        }
    ]
    registered = call(
        "ecs", "register-task-definition", "--family", "mine", "--network-mode", "awsvpc", "--cpu", "256", "--memory", "512",
        "--requires-compatibilities", "FARGATE", "--execution-role-arn", "arn:aws:iam::123456789012:role/execution",
        "--container-definitions", json.dumps(containers),
    )  # fmt: skip
    assert registered["taskDefinition"]["revision"] == 1
    subnet = call("ec2", "describe-subnets")["Subnets"][0]["SubnetId"]
    network = f"awsvpcConfiguration={{subnets=[{subnet}],assignPublicIp=ENABLED}}"
    started = call(
        "ecs", "run-task", "--task-definition", "mine", "--launch-type", "FARGATE", "--network-configuration", network
    )
    [task] = started["tasks"]
    for _ in range(50):
        [described] = call("ecs", "describe-tasks", "--tasks", task["taskArn"])["tasks"]
        if described["lastStatus"] == "STOPPED":
            break
        time.sleep(0.1)
    assert described["containers"][0]["exitCode"] == 0
    stream = f"job/main/{task['taskArn'].rsplit('/', 1)[-1]}"
    events = call("logs", "get-log-events", "--log-group-name", "mine", "--log-stream-name", stream)["events"]
    assert [event["message"] for event in events] == ["seen by the aws CLI"]
