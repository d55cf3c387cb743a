"""Blocks made of something else: boto3 arguments, a flow's run, a work pool's template."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from ecs_block import ECSTask, InvalidTask
from ecs_block.aws import input_shape

STRATEGY = [{"capacityProvider": "mine", "weight": 1}]


def smallest(shape: Any, depth: int = 0) -> Any:
    """Build the smallest valid value of a botocore shape."""
    kind = shape.type_name
    if kind == "structure":
        return {name: smallest(shape.members[name], depth + 1) for name in shape.required_members}
    if kind == "list":
        return [smallest(shape.member, depth + 1)]
    if kind == "map":
        return {}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x"
    return {"boolean": True, "integer": 1, "long": 1}[kind]


# What has to be said otherwise than AWS's smallest value, or what goes with it.
OTHERWISE: dict[str, dict[str, Any]] = {
    "containerDefinitions": {"containerDefinitions": [{"name": "x"}]},
    "cpu": {"cpu": "256"},
    "memory": {"memory": "2048"},
    "requiresCompatibilities": {"requiresCompatibilities": ["FARGATE"]},
    "networkMode": {"networkMode": "awsvpc"},
    "tags": {"tags": [{"key": "k", "value": "v"}]},
    "capacityProviderStrategy": {"capacityProviderStrategy": STRATEGY},
}
REGISTER = sorted(input_shape("RegisterTaskDefinition").members)
RUN = sorted(set(input_shape("RunTask").members) - {"clientToken"})


@pytest.mark.parametrize("name", REGISTER)
def test_every_member_of_a_registration_is_taken(name: str) -> None:
    """Each argument of register_task_definition is taken by name and found in the block's definition."""
    shape = input_shape("RegisterTaskDefinition").members[name]
    arguments = OTHERWISE.get(name, {name: smallest(shape)})
    task = ECSTask.from_boto3_kwargs(**arguments)
    assert (task.task_definition or {})[name] == arguments[name]


@pytest.mark.parametrize("name", RUN)
def test_every_member_of_a_run_is_taken(name: str) -> None:
    """Each argument of run_task is taken by name and found in the block."""
    shape = input_shape("RunTask").members[name]
    arguments = OTHERWISE.get(name, {name: smallest(shape)})
    task = ECSTask.from_boto3_kwargs(**arguments)
    if name == "taskDefinition":
        assert task.task_definition_arn == "x"
    elif name == "cluster":
        assert task.cluster == "x"
    elif name == "launchType":
        assert task.launch_type == arguments[name]
    else:
        assert task.task_run_request[name] == arguments[name]


def test_a_client_token_is_refused_with_the_way_to_it() -> None:
    """A client token of one's own would make the second run the first one again: run_id is the way."""
    with pytest.raises(InvalidTask, match=r"clientToken is set by the block; use run\(run_id=\.\.\.\)"):
        ECSTask.from_boto3_kwargs(clientToken="x")


@pytest.mark.parametrize(
    ("name", "nearest"), [("containerDefintions", "containerDefinitions"), ("lauchType", "launchType")]
)
def test_what_neither_takes(name: str, nearest: str) -> None:
    """An argument that neither operation takes is an InvalidTask with the nearest name."""
    with pytest.raises(InvalidTask, match=rf"'{name}' is an argument of neither .* Did you mean '{nearest}'\?"):
        ECSTask.from_boto3_kwargs(**{name: "x"})


def test_a_mixture_is_sorted() -> None:
    """A mixture of both becomes one block, whose first container runs the command."""
    task = ECSTask.from_boto3_kwargs(
        family="f",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "first", "image": "i"}, {"name": "main", "image": "m"}],
        cluster="c",
        launchType="FARGATE",
        count=2,
        startedBy="me",
    )
    assert (task.container_name, task.cluster, task.launch_type) == ("first", "c", "FARGATE")
    assert task.task_run_request == {"count": 2, "startedBy": "me"}
    assert (task.task_definition or {})["family"] == "f"
    assert "first" in task.preview()


def test_a_linked_definition_by_boto3() -> None:
    """`taskDefinition` links a definition; tags are then the run's."""
    task = ECSTask.from_boto3_kwargs(taskDefinition="f:3", tags=[{"key": "a", "value": "b"}])
    assert (task.task_definition_arn, task.task_definition) == ("f:3", None)
    assert task.task_run_request == {"tags": [{"key": "a", "value": "b"}]}


def test_managed_instances_by_boto3() -> None:
    """MANAGED_INSTANCES goes to the field that shapes the definition, and its strategy to the request."""
    task = ECSTask.from_boto3_kwargs(launchType="MANAGED_INSTANCES", capacityProviderStrategy=STRATEGY)
    assert task.launch_type == "MANAGED_INSTANCES"
    assert "launchType" not in task.preview()


def test_a_first_container_without_a_name() -> None:
    """The container that runs the command has to have a name."""
    with pytest.raises(InvalidTask, match=r"containerDefinitions\[0\] needs a name"):
        ECSTask.from_boto3_kwargs(containerDefinitions=[{"image": "i"}])


# --- a flow's run ---

NAMED = SimpleNamespace(name="My Deployment")
FAMILIES = [
    ({"flow": "etl", "deployment": "prod"}, "ecs-block__etl__prod"),
    ({"flow": "etl"}, "ecs-block__etl"),
    ({"flow": "etl", "deployment": NAMED}, "ecs-block__etl__My Deployment"),
    ({"deployment": SimpleNamespace(name=None), "flow": "etl"}, "ecs-block__etl"),
    ({}, None),
]


@pytest.mark.parametrize(("given_ones", "family"), FAMILIES)
def test_the_family_of_a_flows_run(given_ones: dict[str, Any], family: str | None) -> None:
    """The family is made of the names of flow and deployment, which AWS can read once it is registered."""
    task = ECSTask().prepare_for_run(**given_ones)
    assert task.family == family
    if family is not None:
        assert f"family: {family.replace(' ', '-')}\n" in task.preview()


@pytest.mark.parametrize(
    "fields", [{"family": "mine"}, {"task_definition": {"family": "theirs"}}, {"task_definition_arn": "linked"}]
)
def test_a_known_family_stays(fields: dict[str, Any]) -> None:
    """A family that is known otherwise, from a field or a definition, stays."""
    assert ECSTask(**fields).prepare_for_run(flow="etl").family == fields.get("family")


def test_what_a_run_changes() -> None:
    """Name, command, variables and labels of a run: added, and the block itself stays as it is."""
    task = ECSTask(env={"A": "1", "B": "2"}, labels={"a": "1"})
    run = task.prepare_for_run(
        flow_run=SimpleNamespace(name="r-1"), command="x 'y z'", env={"B": "3"}, labels={"b": "2"}
    )
    assert (run.name, run.command) == ("r-1", ["x", "y z"])
    assert (run.env, run.labels) == ({"A": "1", "B": "3"}, {"a": "1", "b": "2"})
    assert task == ECSTask(env={"A": "1", "B": "2"}, labels={"a": "1"})
    assert ECSTask(name="n").prepare_for_run(name="other").name == "n"


def test_a_copy_for_a_run_is_validated() -> None:
    """What a run adds is checked as what the block was given, and so are the objects that name it."""
    with pytest.raises(InvalidTask, match=r"env\.A"):
        ECSTask().prepare_for_run(env={"A": True})
    with pytest.raises(InvalidTask, match="is given by its name or as an object with a name, not as dict"):
        ECSTask().prepare_for_run(flow={"name": "etl"})


# --- a work pool ---


def test_the_base_job_template() -> None:
    """The template has every field as a variable and in the job's configuration, described, with this block's values."""
    task = ECSTask(
        cpu=256, memory=512, command=["a"], env={"S": SecretStr("hunter2"), "R": {"$secret": "env:R"}, "A": "1"}
    )
    made = task.generate_work_pool_base_job_template()
    properties = made["variables"]["properties"]
    assert set(properties) == set(made["job_configuration"]) == set(ECSTask.model_fields) - {"type"}
    assert made["job_configuration"]["cpu"] == "{{ cpu }}"
    assert (properties["cpu"]["default"], properties["command"]["default"]) == (256, ["a"])
    assert properties["env"]["default"] == {"R": {"$secret": "env:R"}, "A": "1"}
    assert properties["launch_type"]["default"] == "FARGATE"
    assert all(prop["description"] for prop in properties.values())


def test_the_template_is_json_without_secrets_and_without_loose_ends() -> None:
    """The template is JSON, holds no secret, and every reference in its schema leads somewhere."""
    task = ECSTask(
        aws_credentials={"aws_access_key_id": "hunter2", "aws_secret_access_key": "hunter2", "region_name": "r"},
        task_customizations=[{"op": "add", "path": "/group", "value": "g"}],
    )
    text = json.dumps(task.generate_work_pool_base_job_template())
    assert "hunter2" not in text
    assert "#/$defs/" not in text
    made = json.loads(text)
    assert made["variables"]["properties"]["aws_credentials"]["default"] == {"region_name": "r"}
    assert made["variables"]["properties"]["task_customizations"]["default"] == task.task_customizations.operations
    for part in text.split("#/definitions/")[1:]:
        assert part.split('"')[0] in made["variables"]["definitions"]


def test_values_of_the_template_make_the_block_again() -> None:
    """The template's defaults, put back into a block, are the block."""
    task = ECSTask(cpu=512, memory=1024, image="i", labels={"a": "b"}, cluster="c")
    properties = task.generate_work_pool_base_job_template()["variables"]["properties"]
    values = {name: properties[name]["default"] for name in task.model_fields_set - {"type"}}
    assert ECSTask(**values) == task
