"""The least policies: what a run really calls is in them, and nothing else is."""

from __future__ import annotations

import io
import json
from contextlib import suppress

import calls
import pytest

from ecs_block import AwsError, ECSTask, TaskLaunchFailed
from ecs_block.engine import bridge
from ecs_block.engine.difference import difference
from ecs_block.engine.journal import journal
from ecs_block.engine.ours import our_tasks
from ecs_block.engine.prepare import Control
from ecs_block.engine.record import RunJournal
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


# --- the verbs ---------------------------------------------------------------------------------------------------------

FIELDS = {"cluster": "batch", "family": "nightly", "execution_role_arn": ROLE, "stream_output": True}


def run(task):
    """Run it, with a run id and without."""
    assert task.run(run_id="nightly-1", output=io.StringIO())
    assert task.run(output=io.StringIO())


def start_and_attach(task):
    """Start it here, wait for it there."""
    assert task.attach(task.start())


def many(task):
    """Run enough at once that their logs are read together."""
    assert all(task.map([["sh", "-c", f"echo {n}; sleep 1"] for n in range(8)], output=io.StringIO()))


def stop(task):
    """Stop it."""
    identifier = task.model_copy(update={"command": ["sleep", "60"]}).start()
    task.kill(identifier)
    assert task.attach(identifier).outcome == "stopped"


def ps(task):
    """List what was started."""
    task.attach(task.start())
    books, conversation = RunJournal(journal()), task._conversation()
    assert bridge.block_on(lambda: our_tasks(conversation, books, task.cluster, stopped=True), Control())


def diff(task):
    """Look what would be registered."""
    found = task._run(None, None)
    assert bridge.block_on(lambda: difference(found), found.control).change == "new family"


def check(task):
    """Look at all."""
    task.check()


@pytest.mark.parametrize("verb", [run, start_and_attach, many, stop, ps, diff, check], ids=lambda verb: verb.__name__)
def test_a_block_s_policy_serves_each_verb(verb):
    """Whoever may run a block may follow, stop and list its tasks as well; `check` needs more, which is asked for by name."""
    with LocalCloud() as cloud:
        cloud.client("ecs").create_cluster(clusterName="batch")
        cloud.calls.clear()
        task = ECSTask(command=["true"], aws_credentials=cloud.credentials, **FIELDS)
        verb(task)
        called = calls.permissions(cloud.calls)
        policy = policies(task, task.aws_credentials, check=verb is check)["caller"]
    assert called <= allowed(policy)
    if verb is many:
        assert "logs:FilterLogEvents" in called
    if verb is check:
        assert not called <= allowed(policies(task, task.aws_credentials)["caller"])


def test_check_asks_for_exactly_what_its_policy_adds():
    """Of a block that needs everything."""
    with LocalCloud() as cloud:
        cloud.client("ssm").put_parameter(Name="/param", Value="x", Type="String")
        kept = cloud.client("secretsmanager").create_secret(Name="kept", SecretString="y")["ARN"]
        trust = {"Statement": [{"Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
        role = cloud.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(trust))["Role"][
            "Arn"
        ]
        cloud.calls.clear()
        task = calls.fullest(aws_credentials=cloud.credentials)
        text = task.model_dump_json().replace(ROLE, role)
        definition = json.loads(text)["task_definition"]
        definition["containerDefinitions"][0]["secrets"][0]["valueFrom"] = kept
        task = task.model_copy(
            update={"task_definition": definition, "execution_role_arn": role, "task_role_arn": role}
        )
        checkup = task.check()
        assert not [str(finding) for finding in checkup.findings if finding.state == "failed"]
        called = calls.permissions(cloud.calls)
        plain, more = (allowed(policies(task, task.aws_credentials, check=check)["caller"]) for check in (False, True))
    assert more - plain <= called <= more


# --- the recorder of the whole suite -----------------------------------------------------------------------------------


def test_no_action_is_beyond_the_fullest_block():
    """Each action in the file of the policies is one that the recorder asks for, or one of the two roles' own."""
    secret = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app:1"
    task = calls.fullest(
        aws_credentials={"region_name": "eu-west-1"}, image=secret, task_run_request={"enableExecuteCommand": True}
    )
    found = policies(task, task.aws_credentials)
    roles = allowed(found["execution_role"]["policy"]) | allowed(found["task_role"]["policy"])
    trust = {"sts:AssumeRole"}
    conditions = {"iam:PassedToService", "ecs:CreateAction"}
    granted = calls.grantable() | roles | trust
    composed = {name for name in granted if name.startswith(("ssmmessages:", "sqs:"))}  # their names are put together
    assert calls.written_in_the_source() - conditions - composed == granted - composed


def test_the_recorder_hears_our_calls_and_no_others(tmp_path):
    """A command's own cloud is heard through its file; a test's own client is not heard."""
    heard = calls.Heard()
    with LocalCloud() as cloud:
        cloud.client("ecs").list_services()
        ECSTask(command=["true"], aws_credentials=cloud.credentials).run()
    assert {"ecs:RunTask", "ec2:DescribeVpcs"} <= heard.now
    assert "ecs:ListServices" not in heard.now
    file = tmp_path / "other-calls"
    file.write_text("ecs:RunTask\nsqs:DeleteMessageBatch\nsts:GetCallerIdentity\necs:CreateCluster\n")
    assert heard.refused(file) == {"ecs:CreateCluster"}
    assert "sqs:DeleteMessage" in heard.all
    assert "ecs:RunTask" not in calls.uncalled(heard.all)
    assert "logs:FilterLogEvents" in calls.uncalled(heard.all)


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


@pytest.mark.parametrize(
    ("host", "arn"),
    [
        ("cn-north-1.amazonaws.com.cn", "arn:aws-cn:ecr:cn-north-1:123456789012:repository/app"),
        ("us-gov-west-1.amazonaws.com", "arn:aws-us-gov:ecr:us-gov-west-1:123456789012:repository/app"),
    ],
)
def test_a_repository_is_in_the_partition_of_its_region(host, arn):
    """The ARNs of China and GovCloud begin otherwise; a policy with the usual ones allows nothing there."""
    task = ECSTask(
        image=f"123456789012.dkr.ecr.{host}/app:1",
        execution_role_arn=ROLE,
        aws_credentials={"region_name": host.partition(".")[0]},
    )
    policy = policies(task, task.aws_credentials)["execution_role"]["policy"]
    assert statement(policy, "Pull")["Resource"] == [arn]
