"""What an agent makes of jobs, at a cloud: definitions, revisions, arguments in S3, the proof of its configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from ecs_block import ECSTask, InvalidTask, TaskDefinitionNotFound, TaskFailed, TaskStartFailed
from ecs_block.agent import Agent, Job
from ecs_block.agent.recipe import recipe_of
from ecs_block.agent.validation import validate
from ecs_block.errors import AwsError
from ecs_block.events import StatusChanged
from ecs_block.local import LocalCloud

JOB = "a718df81-3376-4039-a1e6-cf5b79baa7d4"
SIZE = {"cpu": "256", "memory": "512"}


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


def run(recipe: Any, **job: Any) -> str:
    """Run a job's task and give the ARN of its definition."""

    async def work() -> str:
        task = await recipe.task_for(Job(**{"id": JOB, "name": "flow #1", "command": ["true"], **job}))
        return str((await task.arun()).task_definition_arn)

    return anyio.run(work)


def recipe(cloud: LocalCloud, **more: Any) -> Any:
    return recipe_of(more.pop("block", None), {**SIZE, **more.pop("arguments", {})},
                     aws_credentials=cloud.credentials, **more)  # fmt: skip


def revisions(cloud: LocalCloud, status: str = "ACTIVE", **more: Any) -> list[str]:
    found = cloud.client("ecs").list_task_definitions(status=status, **more)["taskDefinitionArns"]
    return [arn.rpartition("/")[2] for arn in found]


# --- definitions -------------------------------------------------------------------------------------------------------


def test_a_definition_is_registered_once(cloud: LocalCloud) -> None:
    """Without task revisions: at the first run of a job; the next one, also of another agent, uses it again."""
    first = run(recipe(cloud), version=1)
    assert run(recipe(cloud), version=2) == first == run(recipe(cloud), name="other", id="another", env={"A": "1"})
    assert len(revisions(cloud)) == 1


def test_revisions_are_tagged(cloud: LocalCloud) -> None:
    """With them: the family is the job's name, revisions bear its id and version, and a matching one is used."""

    def with_revisions() -> Any:
        return recipe(cloud, enable_task_revisions=True)

    first = run(with_revisions(), version=1)
    second = run(with_revisions(), version=2)
    assert [arn.rpartition("/")[2] for arn in (first, second)] == ["flow-1:1", "flow-1:2"]
    assert run(with_revisions(), version=1) == first
    assert run(with_revisions(), version=2) == second
    assert run(with_revisions(), version=2, id="another").endswith("flow-1:3")
    described = cloud.client("ecs").describe_task_definition(taskDefinition=first, include=["TAGS"])
    assert {tag["key"]: tag["value"] for tag in described["tags"]} == {"JobId": JOB, "JobVersion": "1"}
    assert described["taskDefinition"]["cpu"] == "256"


def test_a_revision_of_before_is_looked_up(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process knows nothing of it: it reads the tags at AWS."""
    from ecs_block.agent import revisions as module

    first = run(recipe(cloud, enable_task_revisions=True), version="x")
    monkeypatch.setattr(module, "_tags_of", {})
    assert run(recipe(cloud, enable_task_revisions=True), version="x") == first
    cloud.client("ecs").deregister_task_definition(taskDefinition=first)
    assert run(recipe(cloud, enable_task_revisions=True), version="x").endswith("flow-1:2")


# --- arguments in S3 ---------------------------------------------------------------------------------------------------


def with_files(cloud: LocalCloud, content: Any, key: str = "kwargs/flow-1/a718df81.json") -> Any:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="arguments")
    s3.put_object(Bucket="arguments", Key=key, Body=content if isinstance(content, bytes) else json.dumps(content))
    return recipe(
        cloud, use_external_kwargs=True, external_kwargs_s3_bucket="arguments", external_kwargs_s3_key="kwargs/"
    )


def test_arguments_of_one_job(cloud: LocalCloud) -> None:
    """`<prefix>/flow-1/a718df81.json` changes the agent's arguments for that job, and for no other."""
    made = with_files(cloud, {"cpu": "512", "memory": "1024", "enableExecuteCommand": "true"})
    run(made)
    assert (cloud.tasks[-1]["cpu"], cloud.tasks[-1]["enableExecuteCommand"]) == ("512", True)
    run(made, id="another")
    assert (cloud.tasks[-1]["cpu"], cloud.tasks[-1]["enableExecuteCommand"]) == ("256", False)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "s3://arguments/kwargs/flow-1/a718df81.json: this is not valid JSON."),
        ([], "this is no JSON object of arguments."),
        ({"cpuu": 1}, "'cpuu' is an argument of neither"),
        (b"1" * 1_100_000, "is larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_right(cloud: LocalCloud, content: Any, told: str) -> None:
    """The job cannot be run, and the reason names the file."""
    with pytest.raises(InvalidTask) as caught:
        run(with_files(cloud, content))
    assert told in str(caught.value)


def test_a_bucket_that_is_missing(cloud: LocalCloud) -> None:
    """That is no job's fault: it is AWS's answer, and may be another one later."""
    made = recipe(cloud, use_external_kwargs=True, external_kwargs_s3_bucket="nowhere")
    with pytest.raises(AwsError, match="bucket does not exist"):
        run(made)
    with pytest.raises(InvalidTask, match="needs external_kwargs_s3_bucket"):
        recipe(cloud, use_external_kwargs=True)


# --- what a job may say ------------------------------------------------------------------------------------------------


def test_what_a_job_says(cloud: LocalCloud) -> None:
    """Its command, variables, name and parameters are in the request, with the agent's variables below them."""
    run(
        recipe(cloud, env_vars={"A": "agent", "W": "1"}, block=ECSTask(env={"A": "block", "Z": "2"})),
        command="sh -c true", env={"A": "job"}, parameters={"day": "2026-11-21"},
    )  # fmt: skip
    (main,) = cloud.tasks[-1]["overrides"]["containerOverrides"]
    told = {item["name"]: item["value"] for item in main["environment"]}
    assert main["command"] == ["sh", "-c", "true"]
    assert told == {
        "A": "job", "W": "1", "Z": "2", "ECS_BLOCK_JOB_ID": JOB, "ECS_BLOCK_JOB_NAME": "flow #1",
        "ECS_BLOCK_PARAMETERS": '{"day": "2026-11-21"}',
    }  # fmt: skip


def test_output_goes_to_cloudwatch(cloud: LocalCloud) -> None:
    """Where there is a role for it, in one stream prefix whatever the jobs are called; `no_logs` keeps it out."""
    role = f"arn:aws:iam::{cloud.account_id}:role/x"
    first = run(recipe(cloud, arguments={"executionRoleArn": role}), command=["echo", "hi"])
    assert run(recipe(cloud, arguments={"executionRoleArn": role}), name="other") == first
    streams = cloud.client("logs").describe_log_streams(logGroupName="ecs-block")["logStreams"]
    assert {stream["logStreamName"].partition("/")[0] for stream in streams} == {"ecs-block"}
    quiet = run(recipe(cloud, arguments={"executionRoleArn": role}, no_logs=True))
    described = cloud.client("ecs").describe_task_definition(taskDefinition=quiet)["taskDefinition"]
    assert "logConfiguration" not in described["containerDefinitions"][0]


def test_a_log_driver_of_ones_own_stays(cloud: LocalCloud) -> None:
    """What the operator configured is not replaced; `no_logs` takes out what writes to CloudWatch."""
    own = {"containerDefinitions_logConfiguration": "{'logDriver': 'splunk', 'options': {'splunk-url': 'u'}}"}
    role = {"executionRoleArn": f"arn:aws:iam::{cloud.account_id}:role/x"}
    task = recipe(cloud, arguments=own | role).probe()
    assert task.task_definition["containerDefinitions"][0]["logConfiguration"]["logDriver"] == "splunk"
    assert not task.configure_cloudwatch_logs
    ours = {"containerDefinitions_logConfiguration": "{'logDriver': 'awslogs', 'options': {'awslogs-group': 'g'}}"}
    quiet = recipe(cloud, arguments=ours | role, no_logs=True).probe()
    assert "logConfiguration" not in quiet.task_definition["containerDefinitions"][0]


def test_what_was_allowed(cloud: LocalCloud) -> None:
    """Fields that a job was allowed to set win over the agent's."""
    block = ECSTask(image="agents", task_run_request={"group": "a", "propagateTags": "TASK_DEFINITION"})
    made = recipe(cloud, block=block)

    async def work() -> tuple[ECSTask, ECSTask, ECSTask]:
        patch = [{"op": "add", "path": "/referenceId", "value": "r"}]
        return (
            await made.task_for(Job(id="1", image="jobs", cpu=512, memory="1 GB", task_run_request={"group": "b"})),
            await made.task_for(Job(id="2", task_definition_arn="linked:3", task_customizations=patch)),
            await made.task_for(
                Job(id="3", task_definition={"containerDefinitions": [{"name": "main", "image": "own"}]})
            ),
        )

    sized, linked, own = anyio.run(work)
    assert (sized.image, sized.cpu, sized.memory) == ("jobs", 512, 1024)
    assert sized.task_run_request == {"group": "b", "propagateTags": "TASK_DEFINITION"}
    assert (linked.task_definition_arn, linked.image, linked.task_definition) == ("linked:3", None, None)
    assert list(linked.task_customizations) == [{"op": "add", "path": "/referenceId", "value": "r"}]
    assert (own.image, own.task_definition["containerDefinitions"][0]["image"]) == (None, "own")


# --- the proof ---------------------------------------------------------------------------------------------------------


def left(cloud: LocalCloud) -> tuple[list[str], set[str]]:
    """Give what is left: active revisions, and states of tasks."""
    return revisions(cloud), {task["lastStatus"] for task in cloud.tasks}


def test_validate_configuration(cloud: LocalCloud) -> None:
    """A definition is registered and a task really runs; then nothing is left of them."""
    agent = Agent("http://127.0.0.1:1/123456789012/jobs", aws_credentials=cloud.credentials, **SIZE)
    result = agent.validate_configuration()
    assert result.outcome == "succeeded"
    assert left(cloud) == ([], {"STOPPED"})
    (gone,) = revisions(cloud, "INACTIVE")
    assert gone.startswith("ecs-block-check-")
    assert [task["overrides"]["containerOverrides"][0]["command"] for task in cloud.tasks] == [["true"]]


@pytest.mark.parametrize(("command", "error"), [(["false"], TaskFailed), (["no-such-program"], TaskStartFailed)])
def test_a_proof_that_fails_cleans_up(cloud: LocalCloud, command: list[str], error: type[Exception]) -> None:
    """The definition is deregistered and no task is left, whatever fails."""
    with pytest.raises(error):
        anyio.run(lambda: validate(recipe(cloud), command=command))
    assert left(cloud) == ([], {"STOPPED"})


def test_a_proof_that_cannot_launch_cleans_up(cloud: LocalCloud) -> None:
    """Also when RunTask is refused."""
    with pytest.raises(AwsError):
        anyio.run(lambda: validate(recipe(cloud, arguments={"cluster": "nowhere"})))
    assert left(cloud) == ([], set())


def test_a_proof_that_is_interrupted_cleans_up(cloud: LocalCloud) -> None:
    """Cancelled while its task runs, it stops the task and deregisters the definition."""

    async def work() -> None:
        def hook(event: Any) -> None:
            if isinstance(event, StatusChanged) and event.status == "RUNNING":
                scope.cancel()

        with anyio.CancelScope() as scope:
            await validate(recipe(cloud), command=["sleep", "60"], on_event=hook)
        assert scope.cancelled_caught

    anyio.run(work)
    assert left(cloud) == ([], {"STOPPED"})


def test_a_proof_of_a_linked_definition(cloud: LocalCloud) -> None:
    """It is run as it is, and stays registered; one task is enough."""
    cloud.client("ecs").register_task_definition(
        family="linked", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], **SIZE,
        containerDefinitions=[{"name": "main", "image": "x"}],
    )  # fmt: skip
    made = recipe_of(None, {"taskDefinition": "linked", "count": "3"}, aws_credentials=cloud.credentials)
    assert anyio.run(lambda: validate(made)).outcome == "succeeded"
    assert left(cloud) == (["linked:1"], {"STOPPED"})
    assert len(cloud.tasks) == 1


# --- set up once, executed often ---------------------------------------------------------------------------------------


def environment(cloud: LocalCloud, **more: Any) -> ECSTask:
    container = {"name": "flow", "image": "x", "command": ["sh", "-c", "test $A$B = 12"]}
    container["environment"] = [{"name": "B", "value": "2"}]  # type: ignore[assignment]
    task = ECSTask.from_boto3_kwargs(
        family="environment", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], launchType="FARGATE", **SIZE,
        containerDefinitions=[container], **more,
    )  # fmt: skip
    return task.model_copy(update={"aws_credentials": cloud.credentials})


def test_setup_registers_unless_the_family_exists(cloud: LocalCloud) -> None:
    """An existing family is left as it is, whatever it holds; a deregistered one is none."""
    assert environment(cloud).setup().endswith("environment:1")
    assert environment(cloud, ephemeralStorage={"sizeInGiB": 30}).setup().endswith("environment:1")
    cloud.client("ecs").deregister_task_definition(taskDefinition="environment:1")
    assert environment(cloud).setup().endswith("environment:2")
    assert revisions(cloud) == ["environment:2"]


def test_execute(cloud: LocalCloud) -> None:
    """The family runs with the first container's command, and with variables as overrides."""
    task = environment(cloud)
    with pytest.raises(TaskDefinitionNotFound, match=r"call setup\(\) first"):
        task.execute()
    task.setup()
    assert task.execute(env={"A": "1"}).outcome == "succeeded"
    assert task.execute(env={"A": "2"}).outcome == "failed"
    overrides = [item["overrides"]["containerOverrides"][0] for item in cloud.tasks]
    assert {override["name"] for override in overrides} == {"flow"}
    assert overrides[0]["command"] == ["sh", "-c", "test $A$B = 12"]
    assert overrides[0]["environment"] == [{"name": "A", "value": "1"}]
    assert revisions(cloud) == ["environment:1"]
    assert task.model_copy(update={"command": ["true"]}).execute().outcome == "succeeded"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_awaited_verbs(cloud: LocalCloud, backend: str) -> None:
    """`asetup` and `aexecute` are the same, under asyncio and trio; a run id runs once."""

    async def work() -> list[str]:
        task = environment(cloud)
        await task.asetup()
        return [(await task.aexecute(env={"A": "1"}, run_id="once")).identifier for _ in range(2)]

    first, second = anyio.run(work, backend=backend)
    assert first == second
    assert len(cloud.tasks) == 1
