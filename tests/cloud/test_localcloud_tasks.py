"""LocalCloud's operations on tasks and clusters answer as those of ECS do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_block.local import LocalCloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(execute=False, state_seconds=0.0) as cloud:
        register(cloud.client("ecs"), "f")
        yield cloud


@pytest.fixture(scope="module")
def ecs(cloud: LocalCloud) -> Any:
    return cloud.client("ecs")


def register(ecs: Any, family: str, **members: Any) -> str:
    containers = [{"name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "60"]}]
    answer = ecs.register_task_definition(**{"family": family, "containerDefinitions": containers, **members})
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def command(*words: str) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "main", "command": list(words)}]}


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def status(ecs: Any, arn: str, cluster: str = "default") -> str:
    return str(ecs.describe_tasks(tasks=[arn], cluster=cluster)["tasks"][0]["lastStatus"])


def fault(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_new_task_has_ecs_shape(ecs: Any) -> None:
    """RunTask answers with a task on its way, with the ids, ARNs and echoes that ECS gives."""
    answer = ecs.run_task(taskDefinition="f", startedBy="run/1", overrides=command("exit", "0"))
    task = answer["tasks"][0]
    assert answer["failures"] == []
    head, _, task_id = task["taskArn"].rpartition("/")
    assert head.endswith(":task/default")
    assert len(task_id) == 32
    assert (task["desiredStatus"], task["group"], task["startedBy"]) == ("RUNNING", "family:f", "run/1")
    assert (task["launchType"], task["cpu"], task["memory"]) == ("EC2", "0", "64")
    assert task["overrides"]["containerOverrides"] == [{"name": "main", "command": ["exit", "0"]}]
    assert task["containers"][0]["taskArn"] == task["taskArn"]
    assert "exitCode" not in task["containers"][0]


def test_count_starts_up_to_ten(ecs: Any) -> None:
    """One call starts several tasks, at most ten."""
    assert len(ecs.run_task(taskDefinition="f", count=10, overrides=command("exit", "0"))["tasks"]) == 10
    assert fault(ecs.run_task, taskDefinition="f", count=11)[0] == "InvalidParameterException"


def test_the_same_token_is_the_same_task(ecs: Any) -> None:
    """A client token starts one task; other parameters conflict and name it; another cluster is another scope."""
    request = {"taskDefinition": "f", "clientToken": "once"}
    first = ecs.run_task(**request)["tasks"][0]["taskArn"]
    assert ecs.run_task(**request)["tasks"][0]["taskArn"] == first
    with pytest.raises(ClientError) as caught:
        ecs.run_task(**request, startedBy="me")
    assert caught.value.response["Error"]["Code"] == "ConflictException"
    assert caught.value.response["resourceIds"] == [first]
    ecs.create_cluster(clusterName="other")
    other = ecs.run_task(**request, cluster="other")["tasks"][0]["taskArn"]
    assert other != first
    ecs.stop_task(task=first)
    until(lambda: status(ecs, first) == "STOPPED")
    assert set(ecs.run_task(**request)["tasks"][0]) == {"taskArn", "lastStatus", "desiredStatus"}


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        ({"taskDefinition": "nobody"}, "ClientException", "not found"),
        ({"cluster": "nobody"}, "ClusterNotFoundException", "Cluster not found"),
        ({"overrides": {"containerOverrides": [{"name": "x"}]}}, "InvalidParameterException", "named x"),
        ({"overrides": command("x" * 8200)}, "InvalidParameterException", "at most 8192"),
        ({"startedBy": "a b"}, "InvalidParameterException", "startedBy"),
        ({"clientToken": "x" * 65}, "InvalidParameterException", "clientToken"),
        ({"propagateTags": "SERVICE"}, "InvalidParameterException", "service"),
        ({"tags": [{"key": "AWS:x", "value": "1"}]}, "InvalidParameterException", "aws:"),
        ({"tags": [{"key": "a", "value": "emoji 🎈"}]}, "InvalidParameterException", "characters"),
        ({"launchType": "FARGATE"}, "InvalidParameterException", "does not support launch_type FARGATE"),
        ({"launchType": "MOON"}, "InvalidParameterException", "enum value set"),
        (
            {"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
            "InvalidParameterException",
            "both a launch type and capacity provider strategy",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "mine", "weight": 1}]},
            "InvalidParameterException",
            "not associated with the cluster",
        ),
        (
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
            "InvalidParameterException",
            "weight value greater than zero",
        ),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}},
            "InvalidParameterException",
            "not valid for the given networkMode",
        ),
    ],
)
def test_what_run_task_refuses(cloud: LocalCloud, ecs: Any, params: dict[str, Any], code: str, words: str) -> None:
    """Each wrong request gets AWS's code and a message that says why; nothing is started."""
    before = len(cloud.tasks)
    found = fault(ecs.run_task, **{"taskDefinition": "f", **params})
    assert found[0] == code
    assert words in found[1]
    assert len(cloud.tasks) == before


def test_an_inactive_definition_starts_nothing(ecs: Any) -> None:
    """A deregistered revision cannot be run, by number or ARN."""
    arn = register(ecs, "inactive")
    ecs.deregister_task_definition(taskDefinition=arn)
    assert fault(ecs.run_task, taskDefinition=arn) == ("ClientException", "TaskDefinition is inactive")


def test_fargate_needs_a_network_that_exists(cloud: LocalCloud, ecs: Any) -> None:
    """Tasks with awsvpc need subnets of this cloud's EC2, and show the interface that they got there."""
    fargate = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
    register(ecs, "fargate", **fargate)
    request = {"taskDefinition": "fargate", "launchType": "FARGATE", "overrides": command("exit", "0")}
    assert "Network Configuration must be provided" in fault(ecs.run_task, **request)[1]
    network = {"awsvpcConfiguration": {"subnets": ["subnet-0"]}}
    assert "'subnet-0' does not exist" in fault(ecs.run_task, **request, networkConfiguration=network)[1]
    subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]
    network = {"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "assignPublicIp": "ENABLED"}}
    task = ecs.run_task(**request, networkConfiguration=network)["tasks"][0]
    details = {item["name"]: item["value"] for item in task["attachments"][0]["details"]}
    assert details["subnetId"] == subnet["SubnetId"]
    assert task["availabilityZone"] == subnet["AvailabilityZone"]
    assert (task["platformVersion"], task["cpu"], task["memory"]) == ("1.4.0", "256", "512")
    overrides = {"cpu": "256", "memory": "9999"}
    assert "No Fargate" in fault(ecs.run_task, **{**request, "overrides": overrides}, networkConfiguration=network)[1]


def test_a_strategy_chooses_the_provider(cloud: LocalCloud, ecs: Any) -> None:
    """FARGATE_SPOT by strategy is launch type FARGATE; base and weight spread the tasks."""
    fargate = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
    register(ecs, "spread", **fargate)
    subnets = [subnet["SubnetId"] for subnet in cloud.client("ec2").describe_subnets()["Subnets"]]
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    tasks = ecs.run_task(
        taskDefinition="spread",
        count=5,
        capacityProviderStrategy=strategy,
        networkConfiguration={"awsvpcConfiguration": {"subnets": subnets}},
        overrides=command("exit", "0"),
    )["tasks"]
    names = [task["capacityProviderName"] for task in tasks]
    assert (names.count("FARGATE"), names.count("FARGATE_SPOT")) == (2, 3)
    assert {task["launchType"] for task in tasks} == {"FARGATE"}


def test_describe_names_the_missing(ecs: Any) -> None:
    """Unknown tasks, and those of another cluster, are MISSING failures; more than 100 ids are refused."""
    arn = ecs.run_task(taskDefinition="f", overrides=command("exit", "0"))["tasks"][0]["taskArn"]
    ecs.create_cluster(clusterName="elsewhere")
    answer = ecs.describe_tasks(tasks=[arn, "0" * 32])
    assert [task["taskArn"] for task in answer["tasks"]] == [arn]
    assert answer["failures"][0]["reason"] == "MISSING"
    assert answer["failures"][0]["arn"].endswith("/" + "0" * 32)
    assert ecs.describe_tasks(tasks=[arn], cluster="elsewhere")["failures"][0]["arn"] == arn
    assert ecs.describe_tasks(tasks=[arn.rpartition("/")[2]])["tasks"]
    assert "100" in fault(ecs.describe_tasks, tasks=["x"] * 101)[1]


def test_list_finds_by_starter_family_and_status(ecs: Any) -> None:
    """ListTasks shows what is to run, unless it is asked for the stopped."""
    register(ecs, "listed")
    arns = [ecs.run_task(taskDefinition="listed", startedBy="lister")["tasks"][0]["taskArn"] for _ in range(3)]
    assert ecs.list_tasks(startedBy="lister")["taskArns"] == arns
    assert ecs.list_tasks(family="listed")["taskArns"] == arns
    assert ecs.list_tasks(startedBy="lister", desiredStatus="PENDING")["taskArns"] == []
    ecs.stop_task(task=arns[0])
    assert ecs.list_tasks(startedBy="lister", desiredStatus="STOPPED")["taskArns"] == arns[:1]
    pages = ecs.get_paginator("list_tasks").paginate(startedBy="lister", PaginationConfig={"PageSize": 1})
    assert [arn for page in pages for arn in page["taskArns"]] == arns[1:]


def test_stopping_takes_the_tags_and_may_be_repeated(ecs: Any) -> None:
    """StopTask gives the reason to the task, removes its tags, and is fine with a stopped task."""
    task = ecs.run_task(taskDefinition="f", tags=[{"key": "a", "value": "1"}])["tasks"][0]["taskArn"]
    tags = ecs.describe_tasks(tasks=[task], include=["TAGS"])["tasks"][0]["tags"]
    assert tags == [{"key": "a", "value": "1"}]
    assert ecs.stop_task(task=task, reason="enough")["task"]["desiredStatus"] == "STOPPED"
    until(lambda: status(ecs, task) == "STOPPED")
    stopped = ecs.stop_task(task=task)["task"]
    assert (stopped["stopCode"], stopped["stoppedReason"], stopped["tags"]) == ("UserInitiated", "enough", [])
    assert fault(ecs.stop_task, task="0" * 32) == ("InvalidParameterException", "The referenced task was not found.")


def test_tags_may_come_from_the_definition(ecs: Any) -> None:
    """With propagateTags, TASK_DEFINITION adds the definition's tags; the request's win."""
    register(ecs, "tagged", tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    request = {"taskDefinition": "tagged", "overrides": command("exit", "0"), "tags": [{"key": "b", "value": "3"}]}
    task = ecs.run_task(**request, propagateTags="TASK_DEFINITION")["tasks"][0]
    assert {tag["key"]: tag["value"] for tag in task["tags"]} == {"a": "1", "b": "3"}


def test_a_cluster_lives_and_dies(ecs: Any) -> None:
    """A cluster with tasks cannot be deleted; a deleted one starts nothing."""
    ecs.create_cluster(clusterName="brief")
    task = ecs.run_task(taskDefinition="f", cluster="brief")["tasks"][0]["taskArn"]
    assert fault(ecs.delete_cluster, cluster="brief")[0] == "ClusterContainsTasksException"
    ecs.stop_task(cluster="brief", task=task)
    until(lambda: status(ecs, task, "brief") == "STOPPED")
    assert ecs.delete_cluster(cluster="brief")["cluster"]["status"] == "INACTIVE"
    assert fault(ecs.run_task, cluster="brief", taskDefinition="f")[0] == "ClusterNotFoundException"


def test_the_default_cluster_has_fargate(ecs: Any) -> None:
    """It is there from the start; unknown clusters are MISSING failures."""
    answer = ecs.describe_clusters(clusters=["default", "nobody"])
    assert answer["clusters"][0]["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert answer["failures"][0]["reason"] == "MISSING"


def test_services_are_not_ours(ecs: Any) -> None:
    """An operation that LocalCloud lacks says so."""
    found = fault(ecs.create_service, serviceName="s", taskDefinition="f")
    assert found == ("UnsupportedFeatureException", "LocalCloud does not implement ecs:CreateService")


def test_no_instances_no_ec2_tasks() -> None:
    """With the knob, launch type EC2 is refused as in an empty cluster."""
    with LocalCloud(execute=False, container_instances=False) as cloud:
        ecs = cloud.client("ecs")
        register(ecs, "f")
        assert "No Container Instances" in fault(ecs.run_task, taskDefinition="f")[1]


def test_new_tasks_may_be_missing_for_a_while_and_old_ones_for_ever() -> None:
    """Eventual consistency and the retention of stopped tasks are knobs."""
    with LocalCloud(execute=False, state_seconds=0.0, missing_seconds=0.15, stopped_task_retention=0.3) as cloud:
        ecs = cloud.client("ecs")
        register(ecs, "f")
        arn = ecs.run_task(taskDefinition="f", overrides=command("exit", "0"))["tasks"][0]["taskArn"]
        assert ecs.describe_tasks(tasks=[arn])["failures"][0]["reason"] == "MISSING"
        until(lambda: ecs.describe_tasks(tasks=[arn])["tasks"])
        until(lambda: ecs.describe_tasks(tasks=[arn])["failures"])
        assert ecs.list_tasks(desiredStatus="STOPPED")["taskArns"] == []


def test_launches_fail_as_planned() -> None:
    """fail_next_launches gives failures in an answer of 200, part of a count, or an error; Spot only if so asked."""
    with LocalCloud(execute=False) as cloud:
        ecs = cloud.client("ecs")
        register(ecs, "f")
        cloud.fail_next_launches(2, "RESOURCE:MEMORY", arn="arn:aws:ecs:us-east-1:1:container-instance/x")
        answer = ecs.run_task(taskDefinition="f", count=3)
        assert (len(answer["tasks"]), [f["reason"] for f in answer["failures"]]) == (1, ["RESOURCE:MEMORY"] * 2)
        cloud.fail_next_launches(exception="ServerException", reason="oops")
        assert fault(ecs.run_task, taskDefinition="f") == ("ServerException", "oops")
        cloud.fail_next_launches(spot_only=True)
        assert ecs.run_task(taskDefinition="f")["failures"] == []


def test_calls_are_throttled_as_planned() -> None:
    """throttle() lets the next calls fail; throttles=True holds AWS's buckets."""
    with LocalCloud(execute=False, throttles=True) as cloud:
        ecs = cloud.client("ecs")
        cloud.throttle("ListTasks", 2)
        assert [fault(ecs.list_tasks)[0] for _ in range(2)] == ["ThrottlingException"] * 2
        ecs.list_tasks()
        refused = False
        for _ in range(60):  # the bucket fills up by one a second meanwhile
            try:
                register(ecs, "f")
            except ClientError as error:
                refused = "Rate exceeded" in str(error)
                break
        assert refused
        assert cloud.calls["ecs:ListTasks"] == 3


def test_tasks_of_all_regions_are_oldest_first(cloud: LocalCloud) -> None:
    """Whatever region was used first, the last of `tasks` is the newest."""
    regions = ["eu-west-1", "us-east-1", "eu-west-1"]
    for region in regions:
        ecs = cloud.client("ecs", region)
        register(ecs, "everywhere")
        ecs.run_task(taskDefinition="everywhere")
    assert [task["taskArn"].split(":")[3] for task in cloud.tasks[-3:]] == regions
