"""Tasks that this process has not launched: another one did, or an earlier one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ecs_block.arn import get_container
from ecs_block.engine.outcome import Task
from ecs_block.engine.prepare import Run
from ecs_block.errors import AwsError, ClusterNotFound, InfrastructureNotFound
from ecs_block.plan.definition import MAIN_CONTAINER

ATTACH_PATIENCE = 10.0  # seconds in which a task that was only just started may not be known yet


async def known_task(run: Run, cluster: str, arn: str, *, patience: float = ATTACH_PATIENCE) -> Mapping[str, Any]:
    """Describe a task. Raises InfrastructureNotFound when AWS does not know it, or the cluster."""
    deadline = run.conversation.clock.now() + patience
    while True:
        try:
            answer = await run.conversation.ask("ecs", "DescribeTasks", cluster=cluster, tasks=[arn])
        except ClusterNotFound:
            raise InfrastructureNotFound(
                f"There is no cluster {cluster!r} in region {run.conversation.aws.region}."
            ) from None
        if answer.get("tasks"):
            return cast(Mapping[str, Any], answer["tasks"][0])
        if run.conversation.clock.now() >= deadline:
            raise InfrastructureNotFound(
                f"AWS does not know the task {arn} in the cluster {cluster!r}. It forgets a task about an hour after its end; "
                "otherwise check the region and the account."
            )
        await run.conversation.clock.sleep(1.0)


def main_of(run: Run, task: Mapping[str, Any]) -> str:
    """Tell which container ran the command: as the block says, else `main`, else the one that was overridden first."""
    if run.fields.container_name:
        return run.fields.container_name
    containers = task.get("containers") or []
    overridden = (task.get("overrides") or {}).get("containerOverrides") or []
    candidates = [
        MAIN_CONTAINER,
        *(str(item.get("name")) for item in overridden),
        *(str(c.get("name")) for c in containers),
    ]
    return next((name for name in candidates if get_container(containers, name)), candidates[-1])


async def learn_definition(run: Run, task: Task) -> None:
    """Read from the definition which containers are essential and where the output goes."""
    try:
        await read_definition(run, task)
    except AwsError as error:
        run.teller.trouble(
            f"The task's definition cannot be read, so its output is not shown: {error}", str(task.identifier)
        )


async def read_definition(run: Run, task: Task) -> str | None:
    """Do so, and give the log driver of the main container. Raises AwsError."""
    answer = await run.conversation.ask("ecs", "DescribeTaskDefinition", taskDefinition=task.task["taskDefinitionArn"])
    containers = answer["taskDefinition"].get("containerDefinitions") or []
    task.essential = frozenset(str(item["name"]) for item in containers if item.get("essential", True))
    logging = (get_container(containers, task.main) or {}).get("logConfiguration") or {}
    if logging.get("logDriver") == "awslogs":
        task.log_options = logging.get("options") or {}
    return logging.get("logDriver")
