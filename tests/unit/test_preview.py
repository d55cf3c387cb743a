"""The preview: what a run would send, made by the run's own functions."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import yaml
from given import ROLE, block_fields
from hypothesis import given
from pydantic import SecretStr

from ecs_block import ECSTask, InvalidTask, PatchError
from ecs_block.plan import definition as definitions
from ecs_block.plan import sketch as plans
from ecs_block.plan.image import official_python_image
from ecs_block.plan.secret import plain


def documents(task: ECSTask) -> tuple[dict[str, Any], dict[str, Any]]:
    definition, request = yaml.safe_load_all(task.preview())
    return definition, request


def test_the_two_documents() -> None:
    """A preview is YAML of two documents, each under its title, in the order in which AWS's pages list members."""
    text = ECSTask(command=["echo", "hi"], env={"A": "1"}, cpu=256, memory=512, cluster="c").preview()
    assert text.startswith("---\n# Task definition\nfamily: ecs-block-")
    assert "\n---\n# Task run request\ncluster: c\n" in text
    definition, request = yaml.safe_load_all(text)
    assert {"cpu": "256", "memory": "512", "networkMode": "awsvpc"}.items() <= definition.items()
    assert request == {
        "cluster": "c",
        "taskDefinition": "<registered at runtime>",
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["<loaded from the default VPC at runtime>"],
                "assignPublicIp": "ENABLED",
            }
        },
        "overrides": {
            "containerOverrides": [
                {
                    "name": "main",
                    "command": ["echo", "hi"],
                    "environment": [{"name": "A", "value": "1"}],
                    "cpu": 256,
                    "memory": 512,
                }
            ],
            "cpu": "256",
            "memory": "512",
        },
    }


def test_a_vpc_is_named_in_the_placeholder() -> None:
    """With `vpc_id` the placeholder says whose subnets are loaded."""
    _, request = documents(ECSTask(vpc_id="vpc-1"))
    subnets = request["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    assert subnets == ["<loaded from VPC vpc-1 at runtime>"]


def test_customizations_are_applied() -> None:
    """Patches are applied to the preview too, and one that does not apply is told there."""
    patch = {"op": "replace", "path": "/networkConfiguration/awsvpcConfiguration/subnets", "value": ["subnet-1"]}
    _, request = documents(ECSTask(task_customizations=[patch]))
    assert request["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1"]
    with pytest.raises(PatchError, match=r"\(replace /nope/x\) does not apply"):
        ECSTask(task_customizations=[{"op": "replace", "path": "/nope/x", "value": 1}]).preview()


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({"op": "replace", "path": "/overrides/containerOverrides", "value": "x"}, "must be a list, not str"),
        ({"op": "add", "path": "/grup", "value": "x"}, "Did you mean 'group'"),
        ({"op": "add", "path": "/count", "value": 11}, "count is 11"),
        (
            {"op": "add", "path": "/capacityProviderStrategy", "value": [{"capacityProvider": "x"}]},
            "has both launchType",
        ),
        ({"op": "remove", "path": "/taskDefinition"}, "taskDefinition is missing"),
        ({"op": "add", "path": "/tags", "value": [{"key": "aws:x", "value": ""}]}, "prefix 'aws:'"),
    ],
)
def test_what_customizations_make_is_checked(patch: dict[str, Any], told: str) -> None:
    """The patched request is held against botocore's model and AWS's limits."""
    with pytest.raises(InvalidTask, match=told):
        ECSTask(task_customizations=[patch]).preview()


def test_a_linked_definition_needs_no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a linked definition only its name is shown; nothing is looked up, for no preview."""

    def no_network(*_: Any, **__: Any) -> Any:
        raise AssertionError("a preview makes no AWS call")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/family:3"
    definition, request = documents(
        ECSTask(task_definition_arn=arn, command=["x"], task_role_arn="r", stream_output=True)
    )
    assert definition == {"taskDefinitionArn": arn, "containerDefinitions": "<read at runtime>"}
    assert request["taskDefinition"] == arn
    assert request["overrides"]["taskRoleArn"] == "r"
    (main,) = request["overrides"]["containerOverrides"]
    assert main == {"name": "<main or first container of the task definition>", "command": ["x"]}


@pytest.mark.parametrize(
    ("fields", "network"),
    [
        ({}, True),
        ({"launch_type": "FARGATE_SPOT"}, True),
        ({"launch_type": "EC2"}, False),
        ({"task_run_request": {"launchType": "EC2"}}, False),
    ],
)
def test_a_linked_definition_on_fargate_is_shown_with_its_network(fields: dict[str, Any], network: bool) -> None:
    """Fargate always has subnets; of another capacity's definition it is not known here."""
    _, request = documents(ECSTask(task_definition_arn="f", **fields))
    assert ("networkConfiguration" in request) == network


def test_secrets_are_masked() -> None:
    """Hidden values and values of secret names are masked, and references say where they point to."""
    text = ECSTask(
        name="job",
        command=["run", "--password=hunter2"],
        env={"S": SecretStr("hunter2"), "DB_PASSWORD": "hunter2", "R_TOKEN": {"$secret": "ssm:/a"}, "LEVEL": "debug"},
        labels={"api-key": "hunter2"},
        aws_credentials={"aws_access_key_id": "hunter2", "aws_secret_access_key": "hunter2"},
        cloudwatch_logs_options={"splunk-token": SecretStr("hunter2")},
        stream_output=True,
        execution_role_arn=ROLE,
        task_definition={"containerDefinitions": [{"name": "s", "image": "i", "dockerLabels": {"token": "hunter2"}}]},
    ).preview()
    assert "hunter2" not in text
    assert "!!python" not in text
    assert "<secret from ssm:/a>" in text
    assert "debug" in text
    assert text.count("**********") == 6


@given(block_fields)
@pytest.mark.filterwarnings("ignore:launch_type:UserWarning")
def test_every_block_has_a_preview_that_is_plain_yaml(fields: dict[str, Any]) -> None:
    """A valid block previews as two documents of plain values, or says which patch does not fit the request."""
    task = ECSTask(**fields)
    told = "task_customizations"
    try:
        definition, request = documents(task)
    except InvalidTask as error:
        told = str(error)
    else:
        main = definitions.main_container_name(task, task.task_definition)
        assert definition["containerDefinitions"]
        assert request["overrides"]["containerOverrides"][0]["name"] == main
    assert "the run request" in told or "task_customizations" in told


def test_subnets_are_for_awsvpc_only() -> None:
    """A definition with another network mode gets no subnets, also when there are some."""
    task = ECSTask(launch_type="EC2", task_definition={"networkMode": "bridge"})
    facts = plans.Facts(plans.REGION, "i", plain, {})
    plan = plans.sketch(task, None, facts)
    assert not plan.needs_network
    assert "networkConfiguration" not in plans.run_request(task, plan, facts, subnets=["s"])


def test_the_preview_is_what_the_run_plans() -> None:
    """The preview's documents are the plan's own results, nothing more."""
    task = ECSTask(name="job", command=["a"], env={"A": "1"}, labels={"t": "x"}, launch_type="FARGATE_SPOT")
    facts = plans.Facts(plans.REGION, official_python_image(), plain, {})
    plan = plans.sketch(task, None, facts)
    assert documents(task) == (plan.definition, plans.run_request(task, plan, facts))
