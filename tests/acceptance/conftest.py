"""The command `ecs-block` as its users meet it: a process with arguments, two streams, signals and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import calls
import pytest
from crash import Crew
from screen import Terminal, terminal_for

from ecs_block.local import LocalCloud

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "ecs_block.cli"]
SECONDS = 60  # after which a command hangs


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.stdout = ""

    def read_until(self, text: str) -> str:
        """Read stdout up to a line that holds the text; gives that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.stdout += line
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in {self.stdout!r}; stderr: {self.process.stderr.read()}")  # type: ignore[union-attr]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process only: not to its group, as a terminal would."""
        self.process.send_signal(number)

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end."""
        rest, stderr = self.process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess([], self.process.returncode, self.stdout + (rest or ""), stderr)


class Command:
    """Runs `ecs-block` in an environment of its own."""

    def __init__(self, crew: Crew, variables: dict[str, str]) -> None:
        self._crew = crew
        recorded = {"PYTHONPATH": f"{calls.RECORDING}:{ROOT}", calls.VARIABLE: os.environ[calls.VARIABLE]}
        self.variables = {"PATH": os.environ["PATH"], **recorded, **variables}

    def __call__(self, *words: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end: forked from a process that has loaded it, which spares most of the time.

        A cloud of its own is a process of its own: what it is asked is written down by what Python runs at its start.
        """
        if "--local" in words or words[:1] == ("local",):
            return self.executed(*words, stdin=stdin, **variables)
        ended = self._crew.run(words, self.variables | variables, stdin=stdin)
        return subprocess.CompletedProcess(list(words), ended.code, ended.stdout, ended.stderr)

    def executed(self, *words: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as a shell does."""
        return subprocess.run(
            [*COMMAND, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def start(self, *words: str, **more: Any) -> Started:
        """Start it, in a process group of its own."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        process = subprocess.Popen([*COMMAND, *words], env=self.variables, text=True, start_new_session=True, **streams)
        return Started(process)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a line of bash in which $ecs_block is the command."""
        variables = self.variables | {"ecs_block": " ".join(COMMAND)}
        return subprocess.run(
            ["bash", "-c", script],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


@pytest.fixture(scope="session")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """A process that forks commands."""
    with Crew(tmp_path_factory.mktemp("crew")) as crew:
        yield crew


@pytest.fixture
def ecs_block(tmp_path: Path, crew: Crew) -> Command:
    """The command as a new user has it: no AWS account, no settings, no blocks."""
    return Command(crew, {"HOME": str(tmp_path / "user"), "ECS_BLOCK_HOME": str(tmp_path / "home")})


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A cloud that takes the place of AWS."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def role(cloud: LocalCloud) -> str:
    """An execution role, with which output is shown."""
    return f"arn:aws:iam::{cloud.account_id}:role/ecsTaskExecutionRole"


@pytest.fixture
def on_aws(ecs_block: Command, cloud: LocalCloud) -> Command:
    """The command of somebody who has an AWS account."""
    ecs_block.variables |= {**cloud.environment, "AWS_EC2_METADATA_DISABLED": "true"}
    return ecs_block


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for something to become true."""
    return until


@pytest.fixture
def terminal(on_aws: Any) -> Terminal:
    """Start the command on a terminal of its own, which a test can read."""
    return terminal_for(on_aws.variables)


@pytest.fixture
def queue(cloud: LocalCloud) -> str:
    """A queue of this test's own, with a dead-letter queue."""
    name, sqs = f"jobs-{os.urandom(4).hex()}", cloud.client("sqs")
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
    return str(sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"])
