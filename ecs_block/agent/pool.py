"""A work pool: a template of jobs and the queue that they come from.

The template has `variables` (a JSON schema: what a job may say, checked before anything is made of it) and a
`job_configuration` (the fields of a task, with `{{ variable }}` where a value goes). So its author decides what jobs decide;
credentials and endpoints never are among it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ecs_block.agent.recipe import with_job, with_logs
from ecs_block.agent.schema import problems_of, schema_problems
from ecs_block.agent.trust import reserved
from ecs_block.aws import AwsCredentials
from ecs_block.block import Block
from ecs_block.errors import InvalidTask
from ecs_block.plan import placeholders
from ecs_block.plan.shape import did_you_mean
from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from ecs_block.agent.job import Job

Values = Mapping[str, Any]

# What a linked definition says itself; with `task_definition_arn`, a template's defaults do not contradict it.
_WHOLE = ("image", "family", "task_definition", "configure_cloudwatch_logs", "cloudwatch_logs_options", "stream_output")
_OF_ITS_SIZE = ("cpu", "memory", "container_name")
_DESCRIBED = (*_WHOLE, *_OF_ITS_SIZE, "execution_role_arn", "task_role_arn")
_NEVER_A_JOBS = ("aws_credentials",)
# Fields of a job that are variables of a template under the same name.
_FIELDS_OF_A_JOB = (
    "image", "cpu", "memory", "task_role_arn", "execution_role_arn", "task_definition_arn", "task_definition", "launch_type",
    "cluster", "vpc_id", "task_run_request", "task_customizations", "family",
)  # fmt: skip


class WorkPool(Block):
    """A base job template and the queue that its jobs come from."""

    type: Literal["work-pool"] = "work-pool"
    """The slug of this type of block."""
    queue: str = Field(min_length=1)
    """URL of the SQS queue."""
    base_job_template: dict[str, Any]
    """`variables` as JSON schema, and `job_configuration` with the fields of a task and `{{ variable }}` in them."""

    _made_by: ClassVar[str] = "ecs-block pool create"

    @model_validator(mode="after")
    def _check(self) -> WorkPool:
        if found := list(_problems(self.base_job_template)):
            error = InvalidTask("\n".join(found))
            error.location = ("base_job_template",)
            raise error
        return self

    @classmethod
    def of_block(cls, block: ECSTask, queue: str, variables: Iterable[str] | None = None) -> WorkPool:
        """Make a pool of a block: its values are the defaults.

        `variables` names the fields that jobs may set; without it, they may set all but the credentials. Raises InvalidTask.
        """
        template = block.generate_work_pool_base_job_template()
        properties, configuration = template["variables"]["properties"], template["job_configuration"]
        open_ = list(properties) if variables is None else list(variables)
        for name in open_:
            if name not in properties:
                raise InvalidTask(f"{name!r} is not a field of a task.{did_you_mean(name, list(properties))}")
        for name in [name for name in properties if name not in open_ or name in _NEVER_A_JOBS]:
            _close(name, properties, configuration, given=name in block.model_fields_set)
        return cls(queue=queue, base_job_template=template)

    @property
    def variables(self) -> Mapping[str, Any]:
        """The schema of each variable, by its name."""
        found: Mapping[str, Any] = self.base_job_template["variables"].get("properties") or {}
        return found

    def credentials(self) -> AwsCredentials:
        """Give who talks to AWS as the template says: jobs never do."""
        said = self.base_job_template["job_configuration"].get("aws_credentials") or {}
        name = placeholders.alone_in(said)
        found = self.variables[name].get("default") if name is not None else said
        return AwsCredentials(**(found or {}))

    def values_of(self, job: Job) -> dict[str, Any]:
        """Give the values that a job gives for the variables. Raises InvalidTask for a variable that there is not."""
        given = {name: getattr(job, name) for name in _FIELDS_OF_A_JOB if getattr(job, name) is not None}
        if job.command is not None:
            given["command"] = job.command
        values = {**given, **job.values}
        if job.env:
            under = job.values.get("env", self.variables.get("env", {}).get("default"))
            values["env"] = {**(under if isinstance(under, Mapping) else {}), **job.env}
        return values

    def task_of(self, values: Values, job: Job | None = None) -> ECSTask:
        """Make the task for these values. Raises InvalidTask, naming the variable that is wrong."""
        _refuse(self._wrong(values))
        linked = values.get("task_definition_arn") is not None
        defaults = {
            name: copy.deepcopy(described["default"])
            for name, described in self.variables.items()
            if "default" in described and not (linked and name in _DESCRIBED)
        }
        set_ = {name: value for name, value in defaults.items() if value is not None}  # null says that nothing is set
        fields = placeholders.filled(self._configuration(values), {**set_, **values})
        if linked:
            contradicting = [name for name in _WHOLE if name in values]
            if contradicting:
                raise InvalidTask(f"task_definition_arn is used as it is, so it excludes {', '.join(contradicting)}.")
            fields = {name: value for name, value in fields.items() if not self._is_described(name, values)}
        if job is not None:
            fields = with_job(fields, job, command=False)
        try:
            return ECSTask(**with_logs(fields, logs=True, name=None))
        except InvalidTask as error:
            raise InvalidTask(f"The template does not make a task of these values: {error}") from None

    def _is_described(self, field: str, values: Values) -> bool:
        """Tell whether a linked definition says this itself: its size, unless the job gives one, but not its roles."""
        part = self.base_job_template["job_configuration"].get(field)
        asked = any(name in values for name in placeholders.names_in(part))
        return field in _WHOLE or (field in _OF_ITS_SIZE and not asked)

    def _configuration(self, values: Values) -> dict[str, Any]:
        """Leave out of the template what would only repeat a task's own defaults: a field that is set wins over others."""
        found = {}
        for field, part in self.base_job_template["job_configuration"].items():
            name = placeholders.alone_in(part)
            described = self.variables[name] if name is not None and name not in values else {}
            if "default" not in described:
                found[field] = part
            elif not _is_usual(field, described["default"]):
                # As a field null may mean something: no launch type is one that the cluster chooses.
                found[field] = part if described["default"] is not None else None
        return found

    def _wrong(self, values: Values) -> list[str]:
        known = [name for name in self.variables if name not in _NEVER_A_JOBS]
        told = []
        for name in values:
            if name in _NEVER_A_JOBS:
                told.append(f"values.{name} cannot be given: who talks to AWS, and where, is the worker's own.")
            elif name not in known:
                told.append(f"values.{name} is not a variable of this pool.{did_you_mean(name, known)}")
        return told or problems_of(values, self._schema)

    def reserved_in(self, values: Values) -> list[str]:
        """List the variables of the environment that decide about role, endpoint or code, among those that a job gives."""
        return reserved(values["env"]) if isinstance(values.get("env"), Mapping) else []

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        schema = self.base_job_template["variables"]
        defaults = {name for name, item in (schema.get("properties") or {}).items() if "default" in item}
        required = [name for name in schema.get("required") or [] if name not in defaults]
        return {**schema, "required": required}


def _is_usual(field: str, value: Any) -> bool:
    """Tell whether a field has this value when nothing sets it."""
    usual = ECSTask.model_fields[field].get_default(call_default_factory=True)
    return bool(value == usual) or (field == "task_customizations" and not value)


def _close(name: str, properties: dict[str, Any], configuration: dict[str, Any], *, given: bool) -> None:
    """Make a constant of a variable."""
    described = properties.pop(name)
    del configuration[name]
    if given:
        configuration[name] = described.get("default")


def _refuse(told: list[str]) -> None:
    if told:
        raise InvalidTask("\n".join(told))


def _problems(template: Mapping[str, Any]) -> Iterator[str]:
    known = ("variables", "job_configuration")
    for name in template:
        if name not in known:
            yield f"base_job_template.{name} is not known.{did_you_mean(name, known)}"
    for name in known:
        if not isinstance(template.get(name), Mapping):
            yield f"base_job_template.{name} must be an object, and is missing or something else."
            return
    wrong = schema_problems(template["variables"])
    if wrong is not None:
        yield f"base_job_template.variables is no JSON schema: {wrong}"
        return
    yield from _problems_of_configuration(template)


def _problems_of_configuration(template: Mapping[str, Any]) -> Iterator[str]:
    fields = list(ECSTask.model_fields)
    for name in template["job_configuration"]:
        if name not in fields:
            yield f"base_job_template.job_configuration.{name} is not a field of a task.{did_you_mean(name, fields)}"
    variables = list(template["variables"].get("properties") or {})
    for name in dict.fromkeys(placeholders.names_in(template["job_configuration"])):
        if name not in variables:
            yield (
                f"base_job_template.job_configuration uses {{{{ {name} }}}}, and variables.properties does not describe it."
                f"{did_you_mean(name, variables)}"
            )


class PoolRecipe:
    """The recipe of a worker: a job's values make the task of the pool's template."""

    def __init__(
        self,
        pool: WorkPool,
        *,
        env_vars: Mapping[str, Any] | None = None,
        logs: bool = True,
        reserved_env: bool = False,
        aws_credentials: AwsCredentials | None = None,
    ) -> None:
        self._pool = pool
        self._reserved_env = reserved_env
        self._env = dict(env_vars or {})
        self._logs = logs
        self._credentials = aws_credentials

    @property
    def aws_credentials(self) -> AwsCredentials:
        """Who talks to AWS about the tasks."""
        return self._credentials or AwsCredentials()

    async def task_for(self, job: Job) -> ECSTask:
        """Make the task of a job. Raises InvalidTask, naming the variable that is wrong."""
        values = self._pool.values_of(job)
        if not self._reserved_env and (found := self._pool.reserved_in(values)):
            raise InvalidTask(
                f"values.env sets {', '.join(found[:5])}: variables that begin with AWS_, ECS_, LD_ or DYLD_ decide which "
                "role, endpoint and code the program has. Start the worker with --allow reserved_env if jobs may do so."
            )
        return self._of_worker(self._pool.task_of(values, job))

    def probe(self) -> ECSTask:
        """Give the task of a job that gives no values. Raises InvalidTask when some are required."""
        return self._of_worker(self._pool.task_of({}))

    def _of_worker(self, task: ECSTask) -> ECSTask:
        changes: dict[str, Any] = {}
        if self._env:
            changes["env"] = {**self._env, **task.env}
        if self._credentials is not None:
            changes["aws_credentials"] = self._credentials
        if not self._logs:
            fields = {name: getattr(task, name) for name in task.model_fields_set}
            return ECSTask(**{**with_logs(fields, logs=False, name=None), **changes})
        return task.model_copy(update=changes) if changes else task
