"""The public API as a client's type checker sees it. Only mypy reads this file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

from pydantic import SecretStr

from ecs_block import (
    AwsCredentials,
    ECSTask,
    ECSTaskResult,
    ECSTaskResults,
    JsonPatch,
    TaskFailed,
    get_container,
    parse_task_identifier,
)
from ecs_block.events import Event
from ecs_block.local import LocalCloud


def hook(event: Event) -> None:
    """Receive what happens."""


task = ECSTask(
    command=["echo", "hi"],
    env={"A": "1", "B": SecretStr("x"), "C": None},
    aws_credentials=AwsCredentials(region_name="eu-west-1"),
    task_customizations=JsonPatch([{"op": "add", "path": "/group", "value": "x"}]),
    cpu=256,
    launch_type="EC2",
)
assert_type(task.command, list[str])
assert_type(task.run(on_event=hook, run_id="nightly"), ECSTaskResult)
assert_type(task.start(), str)
assert_type(task.map(["true", ["echo", "x"], {"cpu": 512}], max_concurrency=3), ECSTaskResults)
results: list[ECSTaskResult] = task.map(["true"])
assert_type(task.map([]).timeline(), str)
assert_type(task.run().timeline(width=60), str)
assert_type(ECSTask.load("x"), ECSTask)
assert_type(ECSTask.list(), list[str])
assert_type(ECSTask.from_boto3_kwargs(family="x"), ECSTask)
assert_type(task.prepare_for_run(flow="x"), ECSTask)
assert_type(task.preview(), str)
assert_type(parse_task_identifier("a::b").task_arn, str)
get_container([{"name": "main"}], "main")

ECSTask(launch_type="FARGTE")  # type: ignore[arg-type]


async def main() -> None:
    """Use the verbs that are awaited."""
    result = await task.arun()
    assert_type(result, ECSTaskResult)
    assert_type(result.raise_for_status(), ECSTaskResult)
    assert_type(task.amap(["true"]), AsyncIterator[ECSTaskResult])
    await task.akill(await task.astart())


def failed(error: TaskFailed) -> ECSTaskResult | None:
    """Take the result out of an error."""
    return error.result


with LocalCloud() as cloud:
    assert_type(cloud.credentials, AwsCredentials)
