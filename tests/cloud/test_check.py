"""`check`: would a run work? Against a cloud that has all of it, and then lacks one thing after the other."""

from __future__ import annotations

import json

import anyio
import pytest

from ecs_block import ECSTask
from ecs_block.local import LocalCloud
from ecs_block.plan.image import foreign_registry, is_reference
from ecs_block.plan.route import way_out

TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as cloud:
        cloud.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
        cloud.client("iam").create_role(RoleName="stranger", AssumeRolePolicyDocument=json.dumps({"Statement": []}))
        yield cloud


def role(cloud, name: str) -> str:
    """Give the ARN of a role."""
    return (
        cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"]
        if name != "nobody"
        else f"arn:aws:iam::{1:012}:role/nobody"
    )


def checked(cloud, **fields):
    """Check a block, and give the findings by name."""
    checkup = ECSTask(**{"command": ["true"], "aws_credentials": cloud.credentials, **fields}).check()
    return checkup, {finding.name: finding for finding in checkup.findings}


def test_a_block_that_would_run_is_told_so_and_nothing_is_changed(cloud):
    """No registration, no launch; then the definition that a run has registered would be reused."""
    cloud.calls.clear()
    checkup, found = checked(cloud, execution_role_arn=role(cloud, "runner"), configure_cloudwatch_logs=True)
    assert checkup, str(checkup)
    assert {"credentials", "region", "task definition", "size", "image", "cluster", "network", "way out"} <= set(found)
    assert found["execution role"].state == "ok"
    assert found["log group"].state == "ok"
    assert not {"ecs:RegisterTaskDefinition", "ecs:RunTask"} & set(cloud.calls)
    ECSTask(command=["true"], aws_credentials=cloud.credentials).run()
    assert "would be reused" in checked(cloud)[1]["task definition"].said


@pytest.mark.parametrize(
    ("fields", "name", "said", "advice"),
    [
        ({"cluster": "nope"}, "cluster", "nope does not exist", "create-cluster"),
        ({"execution_role_arn": "nobody"}, "execution role", "does not exist", "Create it"),
        ({"task_role_arn": "stranger"}, "task role", "does not trust", "trust policy"),
        ({"image": "My App"}, "image", "no image reference", "lower case"),
        ({"launch_type": "EC2"}, "capacity", "no container instances", "FARGATE"),
        ({"env": {"KEY": {"$secret": "ssm:/nope"}}}, "secrets", "does not exist", None),
        ({"env": {"KEY": {"$secret": "env:NOT_SET_ANYWHERE"}}}, "secrets", "not there", None),
        ({"vpc_id": "vpc-0123456789abcdef0"}, "network", "no subnets", None),
        ({"task_definition_arn": "nope:7"}, "task definition", "nope", None),
        (
            {"execution_role_arn": "runner", "configure_cloudwatch_logs": True,
             "cloudwatch_logs_options": {"awslogs-group": "absent", "awslogs-create-group": "false"}},
            "log group", "absent does not exist", "create-log-group",
        ),
        (
            {"launch_type": None, "task_run_request": {"capacityProviderStrategy": [{"capacityProvider": "mine"}]}},
            "capacity", "mine is not attached", "put-cluster-capacity-providers",
        ),
    ],
)  # fmt: skip
def test_what_a_run_would_fail_on_is_told_with_what_to_do(cloud, fields, name, said, advice):
    """One thing is wrong: that is found, and the others are looked at all the same."""
    fields = {key: role(cloud, value) if key.endswith("role_arn") else value for key, value in fields.items()}
    checkup, found = checked(cloud, **fields)
    assert not checkup
    assert found[name].state == "failed"
    assert said in found[name].said
    assert advice is None or advice in (found[name].advice or "")
    assert "cluster" in found


def test_secrets_of_a_definition_are_looked_for(cloud):
    """In SSM and in Secrets Manager; their values are not read."""
    cloud.client("ssm").put_parameter(Name="/there", Value="hush", Type="SecureString")
    there = cloud.client("secretsmanager").create_secret(Name="kept", SecretString="hush")["ARN"]
    secrets = [
        {"name": "A", "valueFrom": "/there"},
        {"name": "B", "valueFrom": there},
        {"name": "C", "valueFrom": "/absent"},
        {"name": "D", "valueFrom": there.rsplit(":", 1)[0] + ":absent"},
    ]
    definition = {"containerDefinitions": [{"name": "main", "image": "python:3.12", "secrets": secrets}]}
    cloud.calls.clear()
    checkup, _ = checked(cloud, task_definition=definition, execution_role_arn=role(cloud, "runner"))
    states = [finding.state for finding in checkup.findings if finding.name == "secret"]
    assert sorted(states) == ["failed", "failed", "ok", "ok"]
    assert not {"ssm:GetParameter", "ssm:GetParameters", "secretsmanager:GetSecretValue"} & set(cloud.calls)


def test_without_credentials_there_is_one_finding(cloud):
    """The rest could not be looked at."""
    wrong = cloud.credentials.model_copy(update={"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"})
    checkup, found = checked(cloud, aws_credentials=wrong)
    assert not checkup
    assert list(found) == ["credentials"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_finding_is_told_when_it_is_there(cloud, backend):
    """And the awaited twin gives the same."""
    told = []

    async def story():
        return await ECSTask(command=["true"], aws_credentials=cloud.credentials).acheck(on_finding=told.append)

    checkup = anyio.run(story, backend=backend)
    assert tuple(told) == checkup.findings
    assert checkup.as_json()["ok"] is True


# --- the pure parts ----------------------------------------------------------------------------------------------------


def _table(*routes, subnet=None, main=False):
    return {"Associations": [{"SubnetId": subnet, "Main": main}], "Routes": list(routes)}


INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}


@pytest.mark.parametrize(
    ("tables", "way"),
    [
        ([_table(LOCAL, INTERNET, subnet="s")], "public"),
        ([_table(LOCAL, NAT, subnet="s")], "private"),
        ([_table(LOCAL, subnet="s")], "none"),
        ([_table(LOCAL, INTERNET, main=True)], "public"),
        ([_table(LOCAL, INTERNET, main=True), _table(LOCAL, subnet="s")], "none"),
        ([_table(LOCAL, {**NAT, "State": "blackhole"}, subnet="s")], "none"),
        ([_table({"DestinationIpv6CidrBlock": "::/0", "GatewayId": "igw-1"}, subnet="s")], "public"),
        ([], "none"),
    ],
)
def test_a_subnet_s_way_out_is_read_from_its_table(tables, way):
    """Its own table, else the VPC's main one."""
    assert way_out("s", tables) == way


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("python:3.12-slim", True),
        ("python", True),
        ("public.ecr.aws/docker/library/python:3.12", True),
        ("localhost:5000/a/b_c.d-e:T", True),
        ("a@sha256:" + "0" * 64, True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1", True),
        ("Python:3.12", False),
        ("my app", False),
        ("app:", False),
        ("https://example.com/app", False),
        ("", False),
    ],
)
def test_image_references_are_told_from_other_text(image, good):
    """As the registries' grammar has it."""
    assert is_reference(image) is good


def test_a_registry_of_another_region_is_told():
    """Only ECR's own names say where they are."""
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1"
    assert foreign_registry(image, "us-east-1") == "eu-west-1"
    assert foreign_registry(image, "eu-west-1") is None
    assert foreign_registry("python:3.12", "us-east-1") is None
