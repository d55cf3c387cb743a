"""A definition that is set up once, and executed often: registered under its family, then run as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_block.arn import get_container
from ecs_block.aws import input_shape, output_only
from ecs_block.engine import registry
from ecs_block.engine.prepare import Run
from ecs_block.engine.secrets import revealer
from ecs_block.errors import TaskDefinitionNotFound
from ecs_block.plan import definition as definitions
from ecs_block.plan import sameness
from ecs_block.plan import sketch as plans
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.image import official_python_image
from ecs_block.plan.sameness import Definition
from ecs_block.plan.sketch import Facts

# What describes a definition; a run of one that is registered already says none of it.
_DESCRIBING = (
    "task_definition",
    "family",
    "image",
    "configure_cloudwatch_logs",
    "cloudwatch_logs_options",
    "auto_deregister_task_definition",
)


async def definition_of(run: Run) -> Definition:
    """Build the definition that the block describes. Raises InvalidTask for one that AWS could not take."""
    fields, conversation = run.fields, run.conversation
    reveal = await revealer(conversation, fields.cloudwatch_logs_options.values())
    facts = Facts(conversation.aws.region, official_python_image(), reveal, {})
    definition = sameness.registrable(plans.sketch(fields, None, facts).definition, output_only())
    plans.check_definition(definition, input_shape("RegisterTaskDefinition"))
    return definition


async def set_up(run: Run) -> str:
    """Register the definition unless its family exists, and give the ARN of the latest revision. Raises as `prepare` does."""
    linked = run.fields.task_definition_arn
    if linked is not None:
        return str((await registry.describe_linked(run.conversation, linked))["taskDefinitionArn"])
    definition = await definition_of(run)
    latest = await registry.latest_of(run.conversation, definition["family"])
    if latest is not None:
        return str(latest["taskDefinitionArn"])
    revision = await registry.reuse_or_register(run.conversation, definition)
    if not revision.registered:  # this process remembers a revision that somebody has deregistered since
        registry.forget(run.conversation, revision.arn)
        revision = await registry.reuse_or_register(run.conversation, definition)
    run.teller.definition(revision.arn, registered=revision.registered)
    return revision.arn


async def to_execute(run: Run, env: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields with which the family that was set up is run as it is registered.

    Raises TaskDefinitionNotFound when it was not set up.
    """
    fields = run.fields
    arn = fields.task_definition_arn
    if arn is None:
        family = (await definition_of(run))["family"]
        latest = await registry.latest_of(run.conversation, family)
        if latest is None:
            raise TaskDefinitionNotFound(
                f"The task definition {family} is not registered in {run.conversation.aws.region}; call setup() first.",
                operation="ecs:DescribeTaskDefinition",
            )
        arn = str(latest["taskDefinitionArn"])
    found = linked_to(fields, arn)
    return {**found, "command": list(fields.command) or _own_command(fields), "env": {**fields.env, **env}}


def linked_to(fields: TaskFields, arn: str) -> dict[str, Any]:
    """Give the fields of a task that runs a registered definition as it is, with what else this task says."""
    given = {name: getattr(fields, name) for name in fields.model_fields_set if name not in _DESCRIBING}
    if fields.task_definition_arn is None:
        given["container_name"] = definitions.main_container_name(fields, fields.task_definition)
    return {**given, "task_definition_arn": arn}


def _own_command(fields: TaskFields) -> list[str]:
    containers = (fields.task_definition or {}).get("containerDefinitions") or []
    name = definitions.main_container_name(fields, fields.task_definition)
    return list((get_container(containers, name) or {}).get("command") or [])
