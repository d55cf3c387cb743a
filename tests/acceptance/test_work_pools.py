"""Work pools and their workers: `ecs-block pool`, `worker`, and the worker itself on ECS."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ecs_block.local import LocalCloud

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs"
ROLE = "arn:aws:iam::123456789012:role/worker"
TEMPLATE: dict[str, Any] = {
    "variables": {
        "type": "object",
        "properties": {
            "stage": {"type": "string", "enum": ["test", "live"]},
            "cpu": {"type": "integer", "default": 256},
            "group": {"type": "string"},
            "command": {"type": "array", "items": {"type": "string"}, "default": ["true"]},
            "task_definition_arn": {"type": "string"},
        },
        "required": ["stage"],
    },
    "job_configuration": {
        "family": "reports-{{ stage }}",
        "cpu": "{{ cpu }}",
        "memory": 512,
        "command": "{{ command }}",
        "task_run_request": {"group": "{{ group }}"},
        "task_definition_arn": "{{ task_definition_arn }}",
    },
}


def made(command: Any, tmp_path: Path, queue: str = URL, **changes: Any) -> Any:
    """Make the pool `reports` of the template."""
    file = tmp_path / "template.json"
    file.write_text(json.dumps({**TEMPLATE, **changes}))
    return command("pool", "create", "reports", "--queue", queue, "--template", str(file), "--overwrite")


def submit(command: Any, *values: str) -> str:
    given = [word for value in values for word in ("--value", value)]
    done = command("agent", "submit", "--pool", "reports", *given)
    assert done.returncode == 0, done.stderr
    return str(done.stdout.strip())


def task_of(cloud: LocalCloud, job_id: str) -> dict[str, Any]:
    def is_its(task: dict[str, Any]) -> bool:
        overrides = task["overrides"].get("containerOverrides") or [{}]
        return {"name": "ECS_BLOCK_JOB_ID", "value": job_id} in (overrides[0].get("environment") or [])

    (task,) = [task for task in cloud.tasks if is_its(task)]
    return task


# --- pools -------------------------------------------------------------------------------------------------------------


def test_life_of_a_pool(ecs_block: Any, tmp_path: Path) -> None:
    """It is made, shown, listed, replaced only on demand, and removed."""
    assert "there is no work pool" in ecs_block("pool", "ls").stderr
    assert made(ecs_block, tmp_path).returncode == 0
    assert ecs_block("pool", "ls").stdout == f"reports  {URL}\n"
    assert json.loads(ecs_block("pool", "ls", "--output", "json").stdout) == [{"name": "reports", "queue": URL}]
    assert json.loads(ecs_block("pool", "show", "reports").stdout)["queue"] == URL
    assert json.loads(ecs_block("pool", "show", "reports", "--template").stdout) == TEMPLATE
    again = ecs_block("pool", "create", "reports", "--queue", URL)
    assert (again.returncode, "Give --overwrite to replace it." in again.stderr) == (2, True)
    assert ecs_block("pool", "rm", "reports").returncode == 0
    missing = ecs_block("pool", "show", "reports")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)


def test_a_pool_of_a_block(ecs_block: Any) -> None:
    """Its values are the defaults; with --variable, jobs may set these fields only. A template can be changed and put back."""
    ecs_block("block", "save", "nightly", "--image", "mine:1", "--cpu", "512", "--memory", "1024", "--", "report")
    assert ecs_block("pool", "create", "all", "--queue", URL, "--from-block", "nightly").returncode == 0
    variables = json.loads(ecs_block("pool", "show", "all").stdout)["base_job_template"]["variables"]["properties"]
    assert (variables["image"]["default"], variables["cpu"]["default"]) == ("mine:1", 512)
    assert "aws_credentials" not in variables
    few = ("pool", "create", "few", "--queue", URL, "--from-block", "nightly", "--variable", "cpu")
    assert ecs_block(*few).returncode == 0
    shown = json.loads(ecs_block("pool", "show", "few").stdout)["base_job_template"]
    assert (list(shown["variables"]["properties"]), shown["job_configuration"]["image"]) == (["cpu"], "mine:1")
    template = ecs_block("pool", "show", "few", "--template").stdout
    Path(ecs_block.variables["ECS_BLOCK_HOME"], "t.json").write_text(template)
    path = os.path.join(ecs_block.variables["ECS_BLOCK_HOME"], "t.json")
    assert ecs_block("pool", "create", "few", "--queue", URL, "--template", path, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--queue", "jobs"), "is no URL of a queue"),
        (("--queue", URL, "--from-block", "nightli"), "No ecs-task block 'nightli' is saved."),
        (("--queue", URL, "--template", "nowhere.json"), "The template nowhere.json cannot be read"),
        (("--queue", URL, "--template", "x", "--from-block", "y"), "exclude each other"),
        (("--queue", URL, "--variable", "cpuu"), "Did you mean 'cpu'?"),
        ((), "Missing option '--queue'"),
    ],
)
def test_a_pool_that_cannot_be_made(ecs_block: Any, words: tuple[str, ...], told: str) -> None:
    """Exit code 2 and what is wrong."""
    done = ecs_block("pool", "create", "reports", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_a_template_that_cannot_be_right(ecs_block: Any, tmp_path: Path) -> None:
    """The error names what in it is wrong."""
    done = made(ecs_block, tmp_path, job_configuration={"imag": "{{ cpuu }}"})
    assert done.returncode == 2
    assert "job_configuration.imag is not a field of a task. Did you mean 'image'?" in done.stderr
    assert "{{ cpuu }}" in done.stderr
    (tmp_path / "template.json").write_text('{"a": 1,\n "a": 2}')
    twice = ecs_block("pool", "create", "p", "--queue", URL, "--template", str(tmp_path / "template.json"))
    assert (twice.returncode, "template.json:2: this is no template" in twice.stderr) == (2, True)


# --- workers -----------------------------------------------------------------------------------------------------------


def test_worker(on_aws: Any, cloud: LocalCloud, queue: str, tmp_path: Path) -> None:
    """Values make tasks of the template; what does not fit is rejected with the variable's name; an ARN is used as it is."""
    made(on_aws, tmp_path, queue)
    cloud.client("ecs").register_task_definition(
        family="existing", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="1024", memory="2048",
        containerDefinitions=[{"name": "web", "image": "own:1"}],
    )  # fmt: skip
    plain, sized = submit(on_aws, "stage=test"), submit(on_aws, "stage=live", "cpu=256", "group=g")
    linked = submit(on_aws, "stage=test", "task_definition_arn=existing:1")
    for wrong in ("stage=prod", "cpu=512"):
        submit(on_aws, wrong)
    done = on_aws("worker", "start", "--pool", "reports", "--max-polls", "1", "--limit", "10")
    assert done.returncode == 0, done.stderr
    assert "The agent ecs-block-worker takes jobs from" in done.stderr
    assert "values.stage must be 'test' or 'live'." in done.stderr
    assert "values.stage is missing; the pool requires it." in done.stderr
    definitions = {job: task_of(cloud, job)["taskDefinitionArn"].rpartition("/")[2] for job in (plain, sized, linked)}
    assert definitions == {plain: "reports-test:1", sized: "reports-live:1", linked: "existing:1"}
    assert (task_of(cloud, sized)["group"], task_of(cloud, linked)["cpu"]) == ("g", "1024")
    dead = cloud.client("sqs").receive_message(
        QueueUrl=f"{queue}-dead", MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    reasons = [message["MessageAttributes"]["ecs_block.reason"]["StringValue"] for message in dead["Messages"]]
    assert len(reasons) == 2
    assert all("values.stage" in reason for reason in reasons)


def test_worker_check(on_aws: Any, cloud: LocalCloud, tmp_path: Path) -> None:
    """The template is proved as an agent's configuration is; a required variable without default is named."""
    variables = json.loads(json.dumps(TEMPLATE["variables"]))
    missing = made(on_aws, tmp_path) and on_aws("worker", "check", "--pool", "reports")
    assert (missing.returncode, "values.stage is missing" in missing.stderr) == (2, True)
    variables["properties"]["stage"]["default"] = "test"
    made(on_aws, tmp_path, variables=variables)
    done = on_aws("worker", "check", "--pool", "reports")
    assert (done.returncode, done.stdout.count("✓")) == (0, 3), done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--pool is missing; give it, or set ECS_BLOCK_AGENT_POOL."),
        (("--pool", "nope"), "No work-pool block 'nope' is saved."),
        (("--pool", "p", "cpu=256"), "unexpected extra argument"),
        (("--pol", "p"), "Did you mean '--pool'?"),
    ],
)
def test_a_worker_that_cannot_start(on_aws: Any, words: tuple[str, ...], told: str) -> None:
    """Exit code 2 and what is wrong."""
    done = on_aws("worker", "start", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


# --- the worker itself on ECS --------------------------------------------------------------------------------------------


def statements(done: Any) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {item["Sid"]: item for item in json.loads(done.stdout)["Statement"]}


def test_policy_of_a_worker(ecs_block: Any) -> None:
    """That queue and its dead letters, definitions of its block's families, its roles: and nothing more."""
    found = statements(
        ecs_block(
            "iam-policy", "--worker", "--queue", URL, "--dead-letter-queue", f"{URL}-dead", "--image", "x",
            "--execution-role", ROLE, "--account", "123456789012", "--region", "eu-central-1", "--no-logs",
        )
    )  # fmt: skip
    assert set(found) == {"Definition", "Launch", "Watch", "Find", "PassRoles", "Network", "Queue", "DeadLetters"}
    assert found["Queue"]["Resource"] == ["arn:aws:sqs:eu-central-1:123456789012:jobs"]
    assert found["DeadLetters"]["Resource"] == ["arn:aws:sqs:eu-central-1:123456789012:jobs-dead"]
    assert found["Launch"]["Resource"] == ["arn:aws:ecs:eu-central-1:123456789012:task-definition/ecs-block-*"]
    assert found["PassRoles"]["Resource"] == [ROLE]


def test_policy_of_a_worker_with_more(ecs_block: Any) -> None:
    """Task revisions, arguments in S3 and the check each need something more."""
    words = ("iam-policy", "--worker", "--queue", URL, "--image", "x", "--region", "eu-central-1")
    plain = statements(ecs_block(*words))
    found = statements(
        ecs_block(
            *words, "--enable-task-revisions", "--external-kwargs-s3-bucket", "b", "--external-kwargs-s3-key", "p/",
            "--check",
        )
    )  # fmt: skip
    assert set(found) - set(plain) == {"Revisions", "TagRevisions", "Arguments", "Missing"}
    assert found["Arguments"]["Resource"] == ["arn:aws:s3:::b/p/*"]
    assert found["Launch"]["Resource"] == ["arn:aws:ecs:eu-central-1:*:task-definition/*"]
    assert "ecs:DeregisterTaskDefinition" in found["Definition"]["Action"]
    fixed = statements(ecs_block(*words, "--set", "family=fixed", "--check"))
    assert [item.rpartition("/")[2] for item in fixed["Launch"]["Resource"]] == ["fixed:*", "ecs-block-check-*"]


def test_policy_of_a_pool(ecs_block: Any, tmp_path: Path) -> None:
    """A pool has a queue and a template; --all gives also what its roles need."""
    variables = {"type": "object", "properties": {"cpu": {"type": "integer", "default": 256}}}
    made(ecs_block, tmp_path, variables=variables, job_configuration={"cpu": "{{ cpu }}", "memory": 512, "family": "f"})
    done = ecs_block("iam-policy", "--worker", "--pool", "reports", "--all", "--region", "eu-central-1")
    found = json.loads(done.stdout)
    assert set(found) == {"worker", "execution_role", "task_role"}
    launch = next(item for item in found["worker"]["policy"]["Statement"] if item["Sid"] == "Launch")
    assert launch["Resource"] == ["arn:aws:ecs:eu-central-1:*:task-definition/f:*"]
    assert found["worker"]["trust"]["Statement"][0]["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--queue", URL), "--queue is for a worker's policy; give --worker, too."),
        (("--worker",), "--worker needs --queue URL, or --pool NAME, which has one."),
        (("--worker", "--queue", "jobs"), "is no URL of a queue"),
        (("--worker", "--pool", "p", "--image", "x"), "--pool has a queue and a template"),
    ],
)
def test_a_policy_that_cannot_be(ecs_block: Any, words: tuple[str, ...], told: str) -> None:
    """Exit code 2 and what is wrong."""
    done = ecs_block("iam-policy", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_service_definition(ecs_block: Any, cloud: LocalCloud) -> None:
    """What it prints is what ECS registers, and what CreateService takes; SIGTERM leaves the worker time to hand jobs back."""
    from botocore.validate import ParamValidator

    done = ecs_block(
        "worker", "service-definition", "--pool", "reports", "--image", "i", "--execution-role", ROLE, "--task-role", ROLE,
        "--subnet", "subnet-1", "--limit", "200", "--efs", "fs-1", "--region", "eu-central-1",
    )  # fmt: skip
    found = json.loads(done.stdout)
    ecs = cloud.client("ecs")
    registered = ecs.register_task_definition(**found["task_definition"])["taskDefinition"]
    (container,) = registered["containerDefinitions"]
    assert container["command"][:4] == ["worker", "start", "--pool", "reports"]
    assert container["stopTimeout"] > 30
    shape = ecs.meta.service_model.operation_model("CreateService").input_shape
    report = ParamValidator().validate(found["service"], shape)
    assert not report.has_errors(), report.generate_report()
    assert found["service"]["deploymentConfiguration"] == {"minimumHealthyPercent": 0, "maximumPercent": 100}


def test_the_command_of_a_service_is_one(ecs_block: Any, on_aws: Any, cloud: LocalCloud, queue: str) -> None:
    """The words of the worker's container are a command that starts, in an EC2 service for an agent, too."""
    done = ecs_block(
        "worker",
        "service-definition",
        "--queue",
        queue,
        "--image",
        "i",
        "--launch-type",
        "EC2",
        "--region",
        "us-east-1",
    )
    found = json.loads(done.stdout)
    definition = found["task_definition"]
    assert (definition["networkMode"], definition["requiresCompatibilities"]) == ("bridge", ["EC2"])
    assert "networkConfiguration" not in found["service"]
    words = definition["containerDefinitions"][0]["command"]
    address = words.index("--agent-address")
    words[address + 1] = "http://127.0.0.1:0"
    on_aws("agent", "submit", "--queue", queue, "--id", "of-a-service", "--", "true")
    ran = on_aws(*words, "--max-polls", "1")
    assert ran.returncode == 0, ran.stderr
    assert task_of(cloud, "of-a-service")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--pool", "p"), "needs --subnet ID"),
        (("--pool", "p", "--subnet", "s"), "needs --execution-role ARN"),
        ((), "Give --pool NAME for a worker, or --queue URL"),
        (("--pool", "p", "--subnet", "s", "--execution-role", "r", "--memory", "300"), "the nearest is 256 and 512"),
    ],
)
def test_a_service_that_cannot_be(ecs_block: Any, words: tuple[str, ...], told: str) -> None:
    """Exit code 2 and what is wrong."""
    done = ecs_block("worker", "service-definition", "--image", "i", "--region", "eu-central-1", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
