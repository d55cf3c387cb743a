"""Work pools: a template, its variables, and the values of jobs."""

from __future__ import annotations

import copy
import json
from typing import Any

import anyio
import pytest

from ecs_block import AwsCredentials, Block, ECSTask, InvalidTask
from ecs_block.agent import Job, WorkPool
from ecs_block.agent.pool import PoolRecipe
from ecs_block.plan.placeholders import filled, names_in

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/jobs"
TEMPLATE: dict[str, Any] = {
    "variables": {
        "type": "object",
        "properties": {
            "image": {"type": "string", "default": "python:3.12"},
            "cpu": {"type": "integer", "minimum": 256, "maximum": 4096},
            "stage": {"type": "string", "enum": ["test", "live"]},
            "group": {"type": "string"},
            "env": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"A": "1"}},
            "command": {"type": "array", "items": {"type": "string"}},
            "task_definition_arn": {"type": "string"},
        },
        "required": ["stage"],
    },
    "job_configuration": {
        "image": "{{ image }}",
        "cpu": "{{ cpu }}",
        "memory": 2048,
        "family": "reports-{{ stage }}",
        "command": "{{ command }}",
        "env": "{{ env }}",
        "labels": {"stage": "{{ stage }}", "group": "{{ group }}", "size": "cpu {{ cpu }}"},
        "task_role_arn": "arn:aws:iam::123456789012:role/report",
        "task_definition_arn": "{{ task_definition_arn }}",
    },
}


def pool(**changes: Any) -> WorkPool:
    return WorkPool(queue=QUEUE, base_job_template={**copy.deepcopy(TEMPLATE), **changes})


def test_placeholders() -> None:
    """Alone one keeps its value's type, in text it is written out, and without a value its key or item is dropped."""
    template = {
        "a": "{{ n }}",
        "b": "n={{n}} {{ d }}",
        "c": ["{{ x }}", "{{ n }}"],
        "d": {"e": "{{ x }}"},
        "f": "x{{ x }}",
    }
    assert filled(template, {"n": 1, "d": {"k": "v"}}) == {"a": 1, "b": 'n=1 {"k": "v"}', "c": [1], "d": {}}
    assert list(names_in(template)) == ["n", "n", "d", "x", "n", "x", "x"]


def test_values_are_no_templates() -> None:
    """A placeholder in a value is text: a job cannot ask for what another variable holds."""
    assert filled({"a": "{{ x }}", "b": "-{{ x }}-"}, {"x": "{{ y }}", "y": "secret"}) == {
        "a": "{{ y }}",
        "b": "-{{ y }}-",
    }


def test_a_task_of_values() -> None:
    """Values fill the template in, defaults where there is none; what has neither is left out."""
    task = pool().task_of({"stage": "test"})
    assert (task.image, task.family, task.memory) == ("python:3.12", "reports-test", 2048)
    assert (task.labels, task.env, task.cpu) == ({"stage": "test"}, {"A": "1"}, None)
    sized = pool().task_of({"stage": "live", "cpu": 1024, "group": "g"})
    assert (sized.cpu, sized.labels["size"], sized.labels["group"]) == (1024, "cpu 1024", "g")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "values.stage is missing; the pool requires it."),
        ({"stage": "prod"}, "values.stage must be 'test' or 'live'."),
        ({"stage": "test", "cpu": "512"}, "values.cpu must be a whole number."),
        ({"stage": "test", "cpu": 128}, "values.cpu must be at least 256."),
        ({"stage": "test", "cpuu": 1}, "values.cpuu is not a variable of this pool. Did you mean 'cpu'?"),
        ({"stage": "test", "env": {"A": 1}}, "values.env.A must be a string."),
        ({"stage": "test", "command": ["a", 1]}, "values.command[1] must be a string."),
        ({"stage": "test", "aws_credentials": {}}, "values.aws_credentials cannot be given"),
        ({"stage": "test", "cpu": 300}, "The template does not make a task of these values: cpu 300"),
    ],
)
def test_values_that_do_not_fit(values: dict[str, Any], told: str) -> None:
    """The error names the variable, and quotes no value."""
    with pytest.raises(InvalidTask) as caught:
        pool().task_of(values)
    assert told in str(caught.value)


def test_all_problems_at_once() -> None:
    """Every value that is wrong is told."""
    with pytest.raises(InvalidTask) as caught:
        pool().task_of({"stage": "hush-hush", "cpu": "x"})
    assert len(str(caught.value).splitlines()) == 2
    assert "hush-hush" not in str(caught.value)


def test_a_linked_definition_is_used_as_it_is() -> None:
    """Nothing of the template contradicts it; what its author fixed for every task, such as a role, stays."""
    task = pool().task_of({"stage": "test", "task_definition_arn": "reports:7"})
    assert (task.task_definition_arn, task.image, task.family) == ("reports:7", None, None)
    assert (task.cpu, task.memory) == (None, None)
    assert pool().task_of({"stage": "test", "task_definition_arn": "reports:7", "cpu": 512}).cpu == 512
    assert task.task_role_arn == "arn:aws:iam::123456789012:role/report"
    with pytest.raises(InvalidTask, match="task_definition_arn is used as it is, so it excludes image"):
        pool().task_of({"stage": "test", "task_definition_arn": "reports:7", "image": "x"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"job_configuration": {"imag": "{{ image }}"}}, "imag is not a field of a task. Did you mean 'image'?"),
        (
            {"job_configuration": {"image": "{{ imag }}"}},
            "uses {{ imag }}, and variables.properties does not describe it.",
        ),
        ({"variables": {"properties": {"a": {"type": "strin"}}}}, "variables is no JSON schema"),
        ({"variables": []}, "variables must be an object"),
        (
            {"variables": {"properties": {"image": {"$ref": "http://127.0.0.1:1/schema"}}}},
            "it refers to 'http://127.0.0.1:1/schema', which is not in it.",
        ),
        ({"job_config": {}}, "job_config is not known. Did you mean 'job_configuration'?"),
    ],
)
def test_a_template_that_cannot_be_right(changes: dict[str, Any], told: str) -> None:
    """It is refused when the pool is made."""
    with pytest.raises(InvalidTask) as caught:
        pool(**changes)
    assert told in str(caught.value)


def test_a_pool_is_a_block() -> None:
    """It is saved, listed, loaded and deleted as one."""
    path = pool().save("reports")
    assert json.loads(path.read_text())["type"] == "work-pool"
    assert WorkPool.load("reports") == pool()
    assert Block.list() == ["work-pool/reports"]
    WorkPool.delete("reports")
    assert WorkPool.list() == []


# --- of a block --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launch_type", [None, "EC2", "FARGATE"])
def test_a_pool_of_a_block_makes_the_block(launch_type: Any) -> None:
    """Without values, a pool of a block makes that block."""
    block = ECSTask(
        image="x", env={"A": "1", "B": {"$secret": "env:B"}}, command=["a"], cpu=512, memory=1024, launch_type=launch_type,
        task_customizations=[{"op": "add", "path": "/group", "value": "g"}], labels={"a": "b"},
    )  # fmt: skip
    made = WorkPool.of_block(block, QUEUE).task_of({})
    assert made.model_copy(update={"configure_cloudwatch_logs": None}) == block.model_copy(
        update={"configure_cloudwatch_logs": None}
    )


def test_only_the_named_variables() -> None:
    """With names, jobs may set these fields and no other; the others keep the block's values."""
    made = WorkPool.of_block(ECSTask(image="x", cpu=512, memory=1024), QUEUE, ["cpu"])
    assert list(made.variables) == ["cpu"]
    assert made.task_of({"cpu": 256}).image == "x"
    with pytest.raises(InvalidTask, match="image is not a variable"):
        made.task_of({"image": "evil"})
    with pytest.raises(InvalidTask, match=r"'cpuu' is not a field of a task. Did you mean 'cpu'\?"):
        WorkPool.of_block(ECSTask(), QUEUE, ["cpuu"])


def test_a_job_never_says_who_talks_to_aws() -> None:
    """Credentials and endpoint of the block are the worker's own, and no variable."""
    block = ECSTask(aws_credentials=AwsCredentials(region_name="eu-west-1", endpoint_url="http://127.0.0.1:1"))
    made = WorkPool.of_block(block, QUEUE)
    assert "aws_credentials" not in made.variables
    assert made.credentials() == block.aws_credentials
    whole = WorkPool(queue=QUEUE, base_job_template=block.generate_work_pool_base_job_template())
    assert whole.credentials() == block.aws_credentials
    with pytest.raises(InvalidTask, match="aws_credentials cannot be given"):
        whole.task_of({"aws_credentials": {"endpoint_url": "http://evil"}})


# --- of a job ----------------------------------------------------------------------------------------------------------


def task_for(made: WorkPool, recipe: dict[str, Any] | None = None, **job: Any) -> ECSTask:
    given = PoolRecipe(made, **(recipe or {}))
    return anyio.run(given.task_for, Job(id="one", **job))


def test_a_job_for_a_pool() -> None:
    """Command and variables of the job are values, too; its name, id and parameters are the task's."""
    task = task_for(
        pool(), {"env_vars": {"W": "1", "A": "worker"}}, name="flow #1", command="echo hi", env={"B": "2"},
        parameters={"x": 1}, values={"stage": "test"},
    )  # fmt: skip
    assert (task.name, task.command) == ("flow #1", ["echo", "hi"])
    told = {"ECS_BLOCK_JOB_ID": "one", "ECS_BLOCK_JOB_NAME": "flow #1", "ECS_BLOCK_PARAMETERS": '{"x": 1}'}
    assert task.env == {"W": "1", "A": "1", "B": "2", **told}


def test_a_template_without_a_command() -> None:
    """A job whose pool has no such variable may not set it."""
    made = WorkPool.of_block(ECSTask(command=["fixed"]), QUEUE, ["env"])
    with pytest.raises(InvalidTask, match="command is not a variable"):
        task_for(made, command=["other"])
    assert task_for(made).command == ["fixed"]


def test_reserved_variables() -> None:
    """What decides about role, endpoint and code of the program is no job's to set, unless it is allowed."""
    values = {"stage": "test", "env": {"AWS_ENDPOINT_URL": "http://evil"}}
    with pytest.raises(InvalidTask, match="AWS_ENDPOINT_URL"):
        task_for(pool(), values=values)
    assert "AWS_ENDPOINT_URL" in task_for(pool(), {"reserved_env": True}, values=values).env


def test_logs() -> None:
    """The output goes to CloudWatch Logs where there is a role for it, unless the worker says no."""
    made = WorkPool.of_block(ECSTask(execution_role_arn="arn:aws:iam::123456789012:role/x"), QUEUE)
    assert task_for(made).configure_cloudwatch_logs is True
    assert task_for(made, {"logs": False}).configure_cloudwatch_logs is False
