"""LocalCloud registers, fills in, refuses and forgets task definitions as AWS does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_block.local import LocalCloud

ROLE = "arn:aws:iam::123456789012:role/exec"
AWSLOGS = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"},
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def ecs(cloud: LocalCloud) -> Any:
    return cloud.client("ecs")


def container(**members: Any) -> dict[str, Any]:
    return {"name": "main", "image": "busybox", "memory": 64, **members}


def fargate(**members: Any) -> dict[str, Any]:
    definition = {
        "family": "fargate",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "main", "image": "busybox"}],
    }
    return {**definition, **members}


def register(ecs: Any, **members: Any) -> dict[str, Any]:
    return dict(
        ecs.register_task_definition(**{"family": "f", "containerDefinitions": [container()], **members})[
            "taskDefinition"
        ]
    )


def refusal(ecs: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        register(ecs, **members)
    assert caught.value.response["Error"]["Code"] == "ClientException"
    return str(caught.value.response["Error"]["Message"])


def test_registration_fills_in_what_aws_fills_in(ecs: Any) -> None:
    """Members that were omitted come back with the documented defaults."""
    given = container(
        portMappings=[{"containerPort": 80}],
        healthCheck={"command": ["CMD", "true"]},
        logConfiguration=AWSLOGS,
        restartPolicy={"enabled": True},
    )
    volumes = [{"name": "a"}, {"name": "b", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]
    definition = register(ecs, family="defaults", containerDefinitions=[given], volumes=volumes)
    filled = definition["containerDefinitions"][0]
    assert (filled["cpu"], filled["essential"]) == (0, True)
    assert all(filled[name] == [] for name in ("environment", "mountPoints", "volumesFrom", "systemControls"))
    assert filled["portMappings"] == [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]
    assert filled["healthCheck"] == {"command": ["CMD", "true"], "interval": 30, "timeout": 5, "retries": 3}
    assert filled["logConfiguration"]["secretOptions"] == []
    assert filled["restartPolicy"] == {"enabled": True, "ignoredExitCodes": [], "restartAttemptPeriod": 300}
    assert definition["volumes"][0]["host"] == {}
    assert definition["volumes"][1]["efsVolumeConfiguration"]["rootDirectory"] == "/"
    assert (definition["placementConstraints"], definition["enableFaultInjection"]) == ([], False)
    assert (definition["status"], definition["revision"]) == ("ACTIVE", 1)
    assert definition["registeredBy"].startswith("arn:aws:iam::")


def test_host_port_follows_the_container_port_in_awsvpc(ecs: Any) -> None:
    """With awsvpc networking the host port is the container port."""
    containers = [{"name": "main", "image": "busybox", "portMappings": [{"containerPort": 80}]}]
    definition = register(ecs, **fargate(containerDefinitions=containers))
    assert definition["containerDefinitions"][0]["portMappings"][0]["hostPort"] == 80
    assert "FARGATE" in definition["compatibilities"]


@pytest.mark.parametrize(("cpu", "memory"), [("1 vCPU", "2 GB"), ("1vcpu", "2GB"), ("1024", "2048")])
def test_sizes_are_normal_units(ecs: Any, cpu: str, memory: str) -> None:
    """Sizes in vCPU and GB become CPU units and MiB."""
    definition = register(ecs, **fargate(cpu=cpu, memory=memory))
    assert (definition["cpu"], definition["memory"]) == ("1024", "2048")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"family": "a b"}, "Family contains invalid characters"),
        ({"family": "a" * 256}, "Family contains invalid characters"),
        ({"containerDefinitions": []}, "Container list cannot be empty"),
        ({"containerDefinitions": [container(name=f"c{i}") for i in range(11)]}, "at most 10"),
        ({"containerDefinitions": [container(), container()]}, "unique"),
        ({"containerDefinitions": [container(name="a:b")]}, "invalid characters"),
        ({"containerDefinitions": [{"name": "main", "memory": 64}]}, "Container.image"),
        ({"containerDefinitions": [container(essential=False)]}, "any essential container"),
        ({"containerDefinitions": [container(command=["x" * 70_000])]}, "Max allowed length"),
        ({"containerDefinitions": [{"name": "main", "image": "busybox"}]}, "'memory' or 'memoryReservation'"),
        ({"containerDefinitions": [container(secrets=[{"name": "A", "valueFrom": "/a"}])]}, "executionRoleArn"),
        ({"containerDefinitions": [container(logConfiguration={"logDriver": "awslogs"})]}, "awslogs-group"),
        ({"containerDefinitions": [container(dependsOn=[{"containerName": "x", "condition": "START"}])]}, "depends on"),
        ({"tags": [{"key": "aws:x", "value": ""}]}, "aws:"),
        ({"tags": [{"key": str(i), "value": ""} for i in range(51)]}, "50"),
        (fargate(cpu="256", memory="4096"), "No Fargate configuration exists for given values: 256 CPU, 4096 memory"),
        (fargate(networkMode="bridge"), "awsvpc"),
        (fargate(containerDefinitions=[container(privileged=True)]), "privileged"),
        (fargate(containerDefinitions=[container(logConfiguration=AWSLOGS)]), "execution role ARN"),
    ],
)
def test_what_aws_refuses_is_refused(ecs: Any, members: dict[str, Any], words: str) -> None:
    """Each wrong definition gets a ClientException that says why."""
    assert words in refusal(ecs, **members)


def test_circular_dependencies_are_refused(ecs: Any) -> None:
    """Two containers cannot wait for each other."""
    a = container(name="a", dependsOn=[{"containerName": "b", "condition": "START"}])
    b = container(name="b", dependsOn=[{"containerName": "a", "condition": "START"}])
    assert "circular" in refusal(ecs, containerDefinitions=[a, b])


def test_revisions_count_up_and_are_never_used_twice(ecs: Any) -> None:
    """The counter of a family survives the deletion of its revisions."""
    first = register(ecs, family="counted")
    ecs.deregister_task_definition(taskDefinition="counted:1")
    assert ecs.delete_task_definitions(taskDefinitions=["counted:1"])["taskDefinitions"][0]["revision"] == 1
    assert first["revision"] == 1
    assert register(ecs, family="counted")["revision"] == 2


def test_a_family_means_its_latest_active_revision(ecs: Any) -> None:
    """INACTIVE revisions are found by number and ARN only."""
    register(ecs, family="latest")
    second = register(ecs, family="latest")
    gone = ecs.deregister_task_definition(taskDefinition=second["taskDefinitionArn"])["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert "deregisteredAt" in gone
    assert ecs.describe_task_definition(taskDefinition="latest")["taskDefinition"]["revision"] == 1
    assert ecs.describe_task_definition(taskDefinition="latest:2")["taskDefinition"]["status"] == "INACTIVE"


@pytest.mark.parametrize("name", ["nobody", "defaults:99", "arn:aws:ecs:us-east-1:1:task-definition/defaults:1"])
def test_an_unknown_definition_cannot_be_described(ecs: Any, name: str) -> None:
    """The error has the text by which clients know that a family is new."""
    with pytest.raises(ClientError, match="Unable to describe task definition") as caught:
        ecs.describe_task_definition(taskDefinition=name)
    assert caught.value.response["Error"]["Code"] == "ClientException"


def test_tags_come_when_asked_for(ecs: Any) -> None:
    """Tags are not part of the definition; they can be changed later."""
    arn = register(ecs, family="tagged", tags=[{"key": "größe", "value": ""}])["taskDefinitionArn"]
    assert "tags" not in ecs.describe_task_definition(taskDefinition=arn)
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["größe"])
    assert ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])["tags"] == [{"key": "b", "value": "2"}]
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]


def test_lists_come_in_pages(ecs: Any) -> None:
    """ListTaskDefinitions and ListTaskDefinitionFamilies follow their tokens to the end."""
    for _ in range(5):
        register(ecs, family="paged")
    pages = ecs.get_paginator("list_task_definitions").paginate(
        familyPrefix="paged", sort="DESC", PaginationConfig={"PageSize": 2}
    )
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    assert [int(arn.rpartition(":")[2]) for arn in arns] == [5, 4, 3, 2, 1]
    assert ecs.list_task_definition_families(familyPrefix="page", status="ACTIVE")["families"] == ["paged"]


def test_an_active_revision_is_not_deleted(ecs: Any) -> None:
    """DeleteTaskDefinitions wants INACTIVE revisions, and says so in its failures."""
    arn = register(ecs, family="kept")["taskDefinitionArn"]
    answer = ecs.delete_task_definitions(taskDefinitions=[arn, "nobody:1"])
    assert [failure["arn"] for failure in answer["failures"]] == [arn, "nobody:1"]
    assert "ACTIVE" in answer["failures"][0]["reason"]


def test_shuffle_changes_the_order_and_nothing_else() -> None:
    """With the knob, lists without an order come back in another one."""
    names = [{"name": f"V{i}", "value": str(i)} for i in range(8)]
    with LocalCloud(shuffle=True) as cloud:
        ecs = cloud.client("ecs")
        register(ecs, containerDefinitions=[container(environment=names)])
        looks = [
            ecs.describe_task_definition(taskDefinition="f")["taskDefinition"]["containerDefinitions"][0]["environment"]
            for _ in range(5)
        ]
    assert any(look != names for look in looks)
    assert all(sorted(look, key=lambda pair: pair["name"]) == names for look in looks)
