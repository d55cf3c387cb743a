"""The least policies: what a run really calls is in them, and nothing else is."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import pytest

from ecs_block import AwsError, ECSTask, TaskLaunchFailed
from ecs_block.local import LocalCloud
from ecs_block.preview import policies

ROLE = "arn:aws:iam::123456789012:role/runner"


def allowed(policy) -> set[str]:
    """Give the actions of a policy."""
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def statement(policy, name: str):
    """Give a statement by its name."""
    return next(item for item in policy["Statement"] if item["Sid"] == name)


# What no successful run calls: they are for bad days, and for permissions that are not calls.
_UNCALLED = {"ecs:StopTask", "ecs:ListTasks", "logs:FilterLogEvents", "ecs:TagResource", "iam:PassRole"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"labels": {"team": "data"}, "task_role_arn": ROLE},
        {"execution_role_arn": ROLE, "stream_output": True},
        {"auto_deregister_task_definition": True},
        {"env": {"A": {"$secret": "ssm:/param"}, "B": {"$secret": "secretsmanager:kept"}}},
        {"launch_type": "EC2", "task_definition": {"networkMode": "bridge"}},
        {"task_run_request": {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["SUBNET"]}}}},
    ],
    ids=lambda fields: ",".join(fields) or "plain",
)
def test_the_caller_s_policy_is_what_a_run_calls(fields):
    """Each call of a run against a fresh cloud is allowed; each allowed action is called, but for those of bad days."""
    with LocalCloud() as cloud:
        cloud.client("ssm").put_parameter(Name="/param", Value="x", Type="String")
        cloud.client("secretsmanager").create_secret(Name="kept", SecretString="y")
        subnet = cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        text = json.dumps(fields).replace("SUBNET", subnet)
        cloud.calls.clear()
        task = ECSTask(command=["true"], aws_credentials=cloud.credentials, **json.loads(text))
        with suppress(AwsError, TaskLaunchFailed):  # a cluster without instances: the calls until then count
            task.run(output=io.StringIO())
        called = set(cloud.calls)
        policy = policies(task, task.aws_credentials)["caller"]
    assert called <= allowed(policy)
    assert allowed(policy) - _UNCALLED <= called | {"ecs:DescribeTasks"}


def test_resources_are_limited_to_the_block_s_own():
    """Its family, its cluster, its roles, its log group, its secrets."""
    task = ECSTask(
        command=["true"],
        family="nightly",
        cluster="batch",
        execution_role_arn=ROLE,
        configure_cloudwatch_logs=True,
        labels={"a": "b"},
        env={"A": {"$secret": "ssm:/team/key"}, "B": {"$secret": "secretsmanager:kept"}},
        aws_credentials={"region_name": "eu-west-1"},
    )
    policy = policies(task, task.aws_credentials, account="123456789012")["caller"]
    here = "arn:aws:{}:eu-west-1:123456789012:{}"
    assert statement(policy, "Launch")["Resource"] == [here.format("ecs", "task-definition/nightly:*")]
    assert statement(policy, "Watch")["Resource"] == [here.format("ecs", "task/batch/*")]
    assert statement(policy, "PassRoles")["Resource"] == [ROLE]
    assert here.format("logs", "log-group:ecs-block") in statement(policy, "ReadLogs")["Resource"]
    assert statement(policy, "Parameters")["Resource"] == [here.format("ssm", "parameter/team/key")]
    assert statement(policy, "Secrets")["Resource"] == [here.format("secretsmanager", "secret:kept-??????")]
    assert statement(policy, "Tag")["Condition"]["StringEquals"]["ecs:CreateAction"] == ["RunTask"]


def test_the_roles_policies_are_what_ecs_needs():
    """Pull from ECR, write the logs, read the definition's secrets; exec for the task role, if it is asked for."""
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:kept-AbCdEf"
    container = {
        "name": "main",
        "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1",
        "secrets": [{"name": "A", "valueFrom": secret + ":field::"}, {"name": "B", "valueFrom": "/param"}],
    }
    task = ECSTask(
        task_definition={"containerDefinitions": [container]},
        execution_role_arn=ROLE,
        configure_cloudwatch_logs=True,
        task_run_request={"enableExecuteCommand": True},
        aws_credentials={"region_name": "eu-west-1"},
    )
    found = policies(task, task.aws_credentials)
    policy = found["execution_role"]["policy"]
    assert statement(policy, "Pull")["Resource"] == ["arn:aws:ecr:eu-west-1:123456789012:repository/team/app"]
    assert statement(policy, "Secrets")["Resource"] == [secret]
    assert statement(policy, "Parameters")["Action"] == ["ssm:GetParameters"]
    assert "logs:CreateLogGroup" in allowed(policy)
    assert "ecs-tasks.amazonaws.com" in json.dumps(found["task_role"]["trust"])
    assert "ssmmessages:OpenDataChannel" in allowed(found["task_role"]["policy"])
