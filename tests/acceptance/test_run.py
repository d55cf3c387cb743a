"""`ecs-block run`: what is on which stream, and the exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecs_block import ECSTaskResult
from ecs_block.local import LocalCloud

KEYS = set(ECSTaskResult.model_fields)


def test_local_run_is_as_if_it_ran_here(ecs_block: Any) -> None:
    """Stdout holds the container's output and nothing else, stderr ours; neither AWS settings nor a proxy has a say."""
    settings = {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    words = (
        "--cluster",
        "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        "--vpc-id",
        "vpc-1234",
        "--region",
        "eu-west-1",
    )
    done = ecs_block("run", "--local", *words, "sh", "-c", "echo out; echo é >&2; printf '%s' $AWS_REGION", **settings)
    assert (done.returncode, done.stdout) == (0, "out\né\neu-west-1\n"), done.stderr
    assert "out\n" not in done.stderr
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S+ ecs-block: \S", line) for line in done.stderr.splitlines())


def test_program_that_does_not_exist(ecs_block: Any) -> None:
    """A program that does not exist is told in one line, and the exit code is docker's 127."""
    done = ecs_block("run", "--local", "--", "/no/such/program", "--version")
    assert (done.returncode, done.stdout) == (127, "")
    told = [line for line in done.stderr.splitlines() if "/no/such/program" in line]
    assert len(told) == 1
    assert told[0].endswith('error: cannot start "/no/such/program": no such file or directory')


def test_program_that_may_not_be_executed(on_aws: Any, role: str) -> None:
    """A program that may not be executed is 126; the JSON object says why, and is alone on stdout."""
    done = on_aws("run", "--execution-role", role, "--output", "json", "/etc/passwd")
    assert done.returncode == 126
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert (result["outcome"], result["status_code"], result["error"]["type"]) == (
        "start_failed",
        -1,
        "TaskStartFailed",
    )
    assert "/etc/passwd" in result["reason"]


def test_exit_code_is_the_containers(on_aws: Any, role: str) -> None:
    """The process exits with the container's code, and one line says what happened, naming the task once."""
    done = on_aws("run", "-q", "--execution-role", role, "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert re.fullmatch(
        r"\S+ ecs-block: Task arn:aws:ecs:\S+:task/default/\w{32} failed with exit code 7\..*\n", done.stderr
    )


def test_json_of_a_success(on_aws: Any, role: str) -> None:
    """With --output json stdout is one object with the names of ECSTaskResult; the output goes to stderr."""
    done = on_aws("run", "--execution-role", role, "--output", "json", "echo", "hello")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert (result["outcome"], result["status_code"], result["log_complete"]) == ("succeeded", 0, "yes")
    assert "hello\n" in done.stderr


def test_query(on_aws: Any) -> None:
    """--query gives a part of the JSON result."""
    done = on_aws("run", "--no-logs", "--query", "[outcome, containers[0].exit_code]", "sh", "-c", "exit 3")
    assert (done.returncode, json.loads(done.stdout)) == (3, ["failed", 3])


def test_without_a_role_the_output_is_not_shown(on_aws: Any) -> None:
    """Without an execution role one line names the option, and the run goes on without the output."""
    done = on_aws("run", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "")
    assert len([line for line in done.stderr.splitlines() if "--execution-role" in line]) == 1


def test_linked_definition_without_a_role(on_aws: Any, cloud: LocalCloud) -> None:
    """A linked definition that has no execution role is run all the same, without the output."""
    containers = [{"name": "main", "image": "x", "command": ["true"]}]
    cloud.client("ecs").register_task_definition(
        family="linked", containerDefinitions=containers, networkMode="awsvpc", cpu="256", memory="512",
        requiresCompatibilities=["FARGATE"],
    )  # fmt: skip
    done = on_aws("run", "--set", "task_definition_arn=linked", "sh", "-c", "exit 5")
    assert done.returncode == 5
    assert "--execution-role" in done.stderr
    assert "error:" not in done.stderr


def test_only_success_is_zero(on_aws: Any, role: str, cloud: LocalCloud, eventually: Callable[..., Any]) -> None:
    """A task that somebody stopped is no success, even if its program then ends with 0."""
    script = "trap 'exit 0' TERM; echo up; sleep 60 & wait"
    started = on_aws.start("run", "--execution-role", role, "--", "sh", "-c", script)
    started.read_until("up")
    task = next(task for task in cloud.tasks if task["lastStatus"] == "RUNNING")
    cloud.client("ecs").stop_task(task=task["taskArn"], reason="enough")
    done = started.end()
    assert done.returncode == 125
    assert "was stopped with exit code 0. enough." in done.stderr


def test_timeout(on_aws: Any) -> None:
    """A task that runs too long is stopped, and the exit code is timeout(1)'s 124."""
    done = on_aws("run", "--no-logs", "--timeout", "1s", "--output", "json", "sleep", "60")
    assert done.returncode == 124
    result = json.loads(done.stdout)
    assert (result["outcome"], result["error"]["type"]) == ("stopped", "TaskRunTimeout")


def test_detached(on_aws: Any, cloud: LocalCloud) -> None:
    """--detach prints the identifier only; wait exits with the task's code, stop stops it, as its ARN does."""
    started = on_aws("run", "-d", "--", "sh", "-c", "exit 9")
    assert re.fullmatch(r"arn:aws:ecs:\S+::arn:aws:ecs:\S+:task/default/\w{32}\n", started.stdout)
    assert on_aws("wait", started.stdout.strip()).returncode == 9
    arn = on_aws("run", "-d", "-q", "--", "sleep", "60").stdout.strip().split("::")[1]
    # The region is the one that the ARN names, whatever the settings say.
    assert on_aws("stop", arn, AWS_DEFAULT_REGION="eu-north-1").returncode == 0
    waited = on_aws("wait", arn, "--query", "outcome")
    assert (waited.returncode, json.loads(waited.stdout)) == (143, "stopped")


# --- what the task is --------------------------------------------------------------------------------------------------


def test_what_wins(on_aws: Any, role: str, cloud: LocalCloud, tmp_path: Path) -> None:
    """A file gives way to --set, that to an option, that to the words of the command; patches come last."""
    block = {"image": "from-file", "env": {"A": "file", "B": "file", "C": "file", "D": "file"}, "command": ["false"]}
    (tmp_path / "vars").write_text("# of this machine\n\nC=env-file\nD=env-file\n")
    (tmp_path / "patch.json").write_text('[{"op": "add", "path": "/group", "value": "patched"}]')
    done = on_aws(
        "run", "-f", "-", "--execution-role", role,
        "--set", "image=from-set", "--image", "from-option", "--set", "env.B=true", "--set", "labels.team.name=7",
        "--set", "task_run_request.enableECSManagedTags=true",
        "--env-file", str(tmp_path / "vars"), "-e", "D=x=y", "-e", "HERE",
        "--patch", f"@{tmp_path / 'patch.json'}", "--patch", '[{"op": "add", "path": "/startedBy", "value": "me"}]',
        "--", "sh", "-c", "echo $A $B $C $D $HERE",
        stdin=json.dumps(block), HERE="of here",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "file true env-file x=y of here\n"), done.stderr
    task = cloud.tasks[-1]
    assert (task["group"], task["startedBy"], task["containers"][0]["image"]) == ("patched", "me", "from-option")
    assert {"key": "team.name", "value": "7"} in task["tags"]


def test_file(on_aws: Any, tmp_path: Path) -> None:
    """-f takes JSON and YAML, with or without a format version; null in --set takes back what it says."""
    path = tmp_path / "task.yaml"
    path.write_text("type: ecs-task\ncluster: elsewhere\ncommand: sh -c 'exit 4'\n")
    assert on_aws("run", "-f", str(path), "--set", "cluster=null").returncode == 4


REFUSED = {
    "unknown verb": (("rnu",), "Did you mean 'run'?"),
    "unknown option": (("run", "--imagee", "x", "true"), "--image"),
    "unknown field": (("run", "--set", "imgae=x", "true"), "Did you mean 'image'?"),
    "unknown inner field": (("run", "--set", "task_run_request.cuont=2", "true"), "Did you mean 'count'?"),
    "unknown credential": (("run", "--set", "aws_credentials.region=x", "true"), "Did you mean 'region_name'?"),
    "no value": (("run", "--set", "image", "true"), "FIELD=VALUE"),
    "not a map": (("run", "--set", "image.name=x", "true"), "image"),
    "unknown block": (("run", "--block", "nightly"), "'nightly'"),
    "two sources": (("run", "--block", "x", "--file", "y"), "--file and --block"),
    "unreadable file": (("run", "-f", "/no/such.json"), "/no/such.json"),
    "bad JSON patch": (("run", "--patch", "[{", "true"), "not valid JSON"),
    "malformed patch": (("run", "--patch", '[{"op": "add"}]', "true"), "'path'"),
    "patch that does not apply": (("run", "--patch", '[{"op": "remove", "path": "/nope"}]', "true"), "/nope"),
    "unreadable patch": (("run", "--patch", "@/no/such.json", "true"), "/no/such.json"),
    "bad size": (("run", "--cpu", "2apples", "true"), "CPU"),
    "size that Fargate lacks": (("run", "--cpu", "256", "--memory", "8gb", "true"), "nearest"),
    "bad duration": (("run", "--timeout", "soon", "true"), "30m"),
    "bad query": (("run", "--query", "a[", "true"), "JMESPath"),
    "variable that is not set": (("run", "-e", "NOT_SET", "true"), "NOT_SET"),
    "unreadable env file": (("run", "--env-file", "/no/such.env", "true"), "/no/such.env"),
    "nothing to run": (("run",), "COMMAND"),
    "local and detached": (("run", "--local", "-d", "true"), "--detach"),
    "local and a profile": (("run", "--local", "--profile", "x", "true"), "--profile"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_usage(on_aws: Any, cloud: LocalCloud, name: str) -> None:
    """What is wrong is told in one or two lines before anything runs, with what would be right; the exit code is 2."""
    words, told = REFUSED[name]
    before = cloud.calls["ecs:RunTask"]
    done = on_aws(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) <= 2 + ("execution-role" in done.stderr)
    assert cloud.calls["ecs:RunTask"] == before


def test_json_of_wrong_usage(on_aws: Any) -> None:
    """--output json gives its object also when the task cannot be right."""
    done = on_aws("run", "--output", "json", "--set", "imgae=x", "true")
    assert done.returncode == 2
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert (result["identifier"], result["status_code"], result["outcome"]) == (None, -1, "start_failed")
    assert result["error"]["type"] == "InvalidTask"


def test_aws_that_refuses(on_aws: Any) -> None:
    """What AWS refuses is 125, in one line without a traceback."""
    done = on_aws("run", "-q", "--no-logs", "--cluster", "nowhere", "true")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (125, "", 1)
    assert "ClusterNotFoundException" in done.stderr


def test_values_stay_unspoken(on_aws: Any) -> None:
    """A value of -e is in no message, whatever goes wrong."""
    done = on_aws("run", "--no-logs", "-e", "STAGE=hush-hush", "-e", "=x", "--cluster", "nowhere", "true")
    assert done.returncode == 2
    assert "hush-hush" not in done.stdout + done.stderr
