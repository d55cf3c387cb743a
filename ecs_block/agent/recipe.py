"""From a job to the task that runs it: what the agent was told, then what S3 says of this job, then the job itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ecs_block.agent.arguments import laid_over, read, unlinked
from ecs_block.agent.external import ExternalArguments
from ecs_block.agent.revisions import revision_for
from ecs_block.arn import get_container
from ecs_block.aws import AwsCredentials
from ecs_block.plan.definition import MAIN_CONTAINER, stream_prefix
from ecs_block.plan.patch import JsonPatch
from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from ecs_block.agent.job import Job

PARAMETERS = "ECS_BLOCK_PARAMETERS"
JOB_ID = "ECS_BLOCK_JOB_ID"
JOB_NAME = "ECS_BLOCK_JOB_NAME"

# What a job may set as it stands, where the agent allows it at all.
_AS_IT_STANDS = (
    "image",
    "cpu",
    "memory",
    "task_role_arn",
    "execution_role_arn",
    "launch_type",
    "cluster",
    "vpc_id",
    "family",
)

Fields = dict[str, Any]


class Recipe(Protocol):
    """Makes the task that runs a job."""

    @property
    def aws_credentials(self) -> AwsCredentials:
        """Who talks to AWS about the tasks."""

    async def task_for(self, job: Job) -> ECSTask:
        """Make the task. Raises InvalidTask for a job that cannot be run, AwsError when AWS cannot say yet."""

    def probe(self) -> ECSTask:
        """Give the task of a job that says nothing, with which the configuration is proved."""


def recipe_of(
    block: ECSTask | None = None,
    arguments: Mapping[str, Any] | None = None,
    *,
    env_vars: Mapping[str, Any] | None = None,
    launch_type: str | None = None,
    enable_task_revisions: bool = False,
    use_external_kwargs: bool = False,
    external_kwargs_s3_bucket: str | None = None,
    external_kwargs_s3_key: str | None = None,
    no_logs: bool = False,
    aws_credentials: AwsCredentials | None = None,
) -> BlockRecipe:
    """Make the recipe of an agent. `arguments` are those of boto3, as text or as they are.

    Raises InvalidTask when they cannot be right, before any job comes.
    """
    block = block or ECSTask()
    credentials = aws_credentials or block.aws_credentials
    fields = {name: getattr(block, name) for name in block.model_fields_set if name != "type"}
    fields["aws_credentials"] = credentials
    fields = laid_over(fields, read(arguments or {}))
    if launch_type is not None:
        fields = _launched_as(fields, launch_type)
    if env_vars:
        fields["env"] = {**fields.get("env", {}), **env_vars}
    external = ExternalArguments.of(use_external_kwargs, external_kwargs_s3_bucket, external_kwargs_s3_key, credentials)
    return BlockRecipe(fields, external=external, revisions=enable_task_revisions, logs=not no_logs)


def _launched_as(fields: Fields, launch_type: str) -> Fields:
    request = fields.get("task_run_request") or {}
    kept = {name: value for name, value in request.items() if name != "launchType"}
    if launch_type != "MANAGED_INSTANCES":
        kept.pop("capacityProviderStrategy", None)
    return {**fields, "launch_type": launch_type, "task_run_request": kept}


class BlockRecipe:
    """The recipe of an agent: a block with arguments, over which each job lays what it may."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        *,
        external: ExternalArguments | None = None,
        revisions: bool = False,
        logs: bool = True,
    ) -> None:
        self._fields = dict(fields)
        self._external = external
        self._revisions = revisions
        self._logs = logs
        self._task = ECSTask(**self._logged(self._fields))

    @property
    def aws_credentials(self) -> AwsCredentials:
        """Who talks to AWS about the tasks."""
        return self._task.aws_credentials

    async def task_for(self, job: Job) -> ECSTask:
        """Make the task of a job. Raises InvalidTask or AwsError."""
        fields = self._fields
        if self._external is not None:
            fields = laid_over(fields, await self._external.of_job(job))
        task = ECSTask(**self._logged(_asked_for(fields, job)))
        if self._revisions and task.task_definition_arn is None:
            return await revision_for(task, job)
        return task

    def probe(self) -> ECSTask:
        """Give the task of a job that says nothing."""
        return self._task

    def _logged(self, fields: Fields) -> Fields:
        return with_logs(fields, logs=self._logs, name=self._fields.get("name"))


def _asked_for(fields: Mapping[str, Any], job: Job) -> Fields:
    """Lay over the fields what a job asks for; whether it may was decided before."""
    asked = {name: getattr(job, name) for name in _AS_IT_STANDS if getattr(job, name) is not None}
    result = dict(fields)
    if job.task_definition_arn is not None:
        result = unlinked(result) | {"task_definition_arn": job.task_definition_arn}
    if job.task_definition is not None:
        result = unlinked(result) | {"task_definition": job.task_definition}
    if job.task_run_request is not None:
        result["task_run_request"] = {**(result.get("task_run_request") or {}), **job.task_run_request}
    if job.task_customizations is not None:
        result["task_customizations"] = JsonPatch(
            [*JsonPatch(result.get("task_customizations", ())), *job.task_customizations]
        )
    return with_job({**result, **asked}, job)


def with_job(fields: Mapping[str, Any], job: Job, *, command: bool = True) -> Fields:
    """Give the task the job's name, its variables and, where a template does not, its command.

    Nothing of this agent or of this hour is in them: two agents that take the same job ask AWS for the very same task.
    """
    result = dict(fields)
    if job.name is not None:
        result["name"] = job.name
    if command and job.command is not None:
        result["command"] = job.command
    told = {JOB_ID: job.id, JOB_NAME: job.name}
    if job.parameters:
        told[PARAMETERS] = json.dumps(job.parameters, sort_keys=True, ensure_ascii=False)
    variables = {name: value for name, value in told.items() if value is not None}
    asked = job.env if command else {}
    result["env"] = {**(result.get("env") or {}), **asked, **variables}
    return result


def with_logs(fields: Mapping[str, Any], *, logs: bool, name: str | None) -> Fields:
    """Let the output go to CloudWatch Logs where there is a role to write it with; nobody reads it here.

    The streams are named after the agent's block and not after jobs: their prefix stands in the definition, and each job's
    name would make a definition of its own. A container that has a log driver keeps it, unless `logs` is off.
    """
    result = {member: value for member, value in fields.items() if member != "stream_output"}
    wanted = result.get("configure_cloudwatch_logs")
    if logs and wanted is None and result.get("task_definition_arn") is None:
        wanted = _has_execution_role(result) and not _logs_already(result)
    if logs and wanted:
        prefix = {} if _logs_already(result) else {"awslogs-stream-prefix": stream_prefix(name)}
        options = {**prefix, **(result.get("cloudwatch_logs_options") or {})}
        return result | {"configure_cloudwatch_logs": True, "cloudwatch_logs_options": options}
    result.pop("cloudwatch_logs_options", None)
    if not logs and result.get("task_definition"):
        result["task_definition"] = _without_awslogs(result["task_definition"])
    return result | {"configure_cloudwatch_logs": False}


def _has_execution_role(fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("execution_role_arn") or (fields.get("task_definition") or {}).get("executionRoleArn"))


def _logs_already(fields: Mapping[str, Any]) -> bool:
    containers = (fields.get("task_definition") or {}).get("containerDefinitions") or []
    main = get_container(containers, fields.get("container_name") or MAIN_CONTAINER) or {}
    return bool(main.get("logConfiguration"))


def _without_awslogs(definition: Mapping[str, Any]) -> dict[str, Any]:
    containers = [dict(container) for container in definition.get("containerDefinitions") or []]
    for container in containers:
        if (container.get("logConfiguration") or {}).get("logDriver") == "awslogs":
            del container["logConfiguration"]
    return {**definition, "containerDefinitions": containers} if containers else dict(definition)
