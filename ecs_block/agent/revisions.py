"""Task revisions: the family of a definition is the job's name, and its revisions are tagged with the job's id and version.

A revision with both tags is used as it is; otherwise one is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecs_block.agent.external import UNNAMED, slug_of
from ecs_block.engine import environment
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.machine_lock import alone_on_this_machine
from ecs_block.engine.registry import one_at_a_time
from ecs_block.plan.request import LONGEST_TAG_VALUE, accepted_in_a_tag
from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from ecs_block.agent.job import Job

JOB_ID = "JobId"
JOB_VERSION = "JobVersion"
MOST_LOOKED_AT = 100  # revisions of a family, the newest first

Tags = Mapping[str, str]

_tags_of: dict[tuple[Any, ...], Tags] = {}
"""What this process knows of revisions, by caller and ARN: neither they nor their tags change."""


def tags_of(job: Job) -> dict[str, str]:
    """Give the tags that tell a revision of this job in this version."""
    given = {JOB_ID: job.id, JOB_VERSION: job.version}
    return {key: accepted_in_a_tag(str(value))[:LONGEST_TAG_VALUE] for key, value in given.items() if value is not None}


async def revision_for(task: ECSTask, job: Job) -> ECSTask:
    """Give the task with the revision of its job: the one that bears its tags, else a new one. Raises AwsError."""
    family = slug_of(job.name or UNNAMED)
    task = task.model_copy(update={"family": family})
    run = task._run(None, None)
    conversation = run.conversation
    async with (
        one_at_a_time(conversation, ("revisions", *conversation.aws.key, family)),
        alone_on_this_machine(f"register {family} in {conversation.aws.region}", conversation.clock),
    ):
        arn = await _find(conversation, family, tags_of(job))
        if arn is None:
            definition = await environment.definition_of(run)
            arn = await _register(conversation, definition, tags_of(job))
            run.teller.definition(arn, registered=True)
    return type(task)(**environment.linked_to(task, arn))


async def _find(conversation: Conversation, family: str, wanted: Tags) -> str | None:
    """Find the newest active revision that bears these tags, and no other version's."""
    answer = await conversation.ask(
        "ecs", "ListTaskDefinitions", familyPrefix=family, status="ACTIVE", sort="DESC", maxResults=MOST_LOOKED_AT
    )
    for arn in answer.get("taskDefinitionArns") or []:
        tags = await _tags(conversation, str(arn))
        if {key: tags[key] for key in (JOB_ID, JOB_VERSION) if key in tags} == dict(wanted):
            return str(arn)
    return None


async def _tags(conversation: Conversation, arn: str) -> Tags:
    key = conversation.aws.key, arn
    if key not in _tags_of:
        answer = await conversation.ask("ecs", "DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"])
        _tags_of[key] = {tag.get("key", ""): tag.get("value", "") for tag in answer.get("tags") or []}
    return _tags_of[key]


async def _register(conversation: Conversation, definition: Mapping[str, Any], tags: Tags) -> str:
    given = {tag["key"]: tag.get("value", "") for tag in definition.get("tags") or []}
    listed = [{"key": key, "value": value} for key, value in {**given, **tags}.items()]
    answer = await conversation.call("ecs", "RegisterTaskDefinition", **{**definition, "tags": listed})
    arn = str(answer["taskDefinition"]["taskDefinitionArn"])
    _tags_of[conversation.aws.key, arn] = {**given, **tags}
    return arn
