"""What is wrong, or odd, in the fields of a task, as far as it can be told without AWS.

Each problem is a sentence that names the field, what is wrong and what would be right. All of them are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from ecs_block.errors import InvalidTask
from ecs_block.plan import capacity as capacities
from ecs_block.plan import definition as definitions
from ecs_block.plan import fargate, shape
from ecs_block.plan import request as requests
from ecs_block.plan import sketch as plans
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.patch import JsonPatch
from ecs_block.plan.secret import SecretReference, is_unicode, plain

_VARIABLE = re.compile(r"[^=\0]+")
_CONTAINER = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_DEFINITION = re.compile(r"(arn:[^:]+:ecs:[^:]*:\d*:task-definition/)?[a-zA-Z0-9_-]{1,255}(:\d+)?")
_LOG_GROUP = re.compile(r"[a-zA-Z0-9._/#-]{1,512}")
_STREAM_PREFIX = re.compile(rf"[^:*]{{1,{definitions.LONGEST_PREFIX}}}")
_LONGEST_IMAGE = 255
# ECS itself sets these; another value cuts the task off from its role or its metadata.
_RESERVED = re.compile(r"ECS_CONTAINER_METADATA_URI(_V4)?|AWS_CONTAINER_CREDENTIALS_(RELATIVE|FULL)_URI|ECS_AGENT_URI")
# What the block adds itself, and so need not be given.
_ADDED = ("task_definition.family is missing", "task_definition.containerDefinitions is missing")
_ADDED_TO_REQUEST = ("task_run_request.taskDefinition is missing",)


def problems(fields: TaskFields, *, register_shape: Any, run_shape: Any) -> list[str]:
    """List all problems. The shapes are botocore's, and needed only where a dict field is given."""
    found = [*_of_single_fields(fields), *_of_fields_together(fields)]
    if fields.task_definition is not None:
        found += _of_dict(fields.task_definition, register_shape, "task_definition", _ADDED)
    if fields.task_run_request:
        found += _of_dict(fields.task_run_request, run_shape, "task_run_request", _ADDED_TO_REQUEST)
    return found or _of_plan(fields)


def _of_dict(value: Mapping[str, Any], expected: Any, name: str, added: tuple[str, ...]) -> list[str]:
    return [problem for problem in shape.problems(value, expected, name) if not problem.startswith(added)]


def _of_single_fields(fields: TaskFields) -> Iterator[str]:
    for name in fields.env:
        if not _VARIABLE.fullmatch(name):
            yield f"env has the name {name!r}; a variable's name may not be empty and holds neither '=' nor NUL."
    for index, word in enumerate(fields.command):
        if "\0" in word:
            yield f"command[{index}] holds a NUL character, which no program can receive."
        if not is_unicode(word):
            yield f"command[{index}] holds bytes that are no UTF-8 text, and AWS takes only that."
    if fields.container_name is not None and not _CONTAINER.fullmatch(fields.container_name):
        yield f"container_name {fields.container_name!r} is not one that AWS accepts; use 1 to 255 of [a-zA-Z0-9_-]."
    if fields.image is not None and not 0 < len(fields.image) <= _LONGEST_IMAGE:
        yield f"image has {len(fields.image)} characters; AWS accepts 1 to {_LONGEST_IMAGE}."
    if fields.task_definition_arn is not None and not _DEFINITION.fullmatch(fields.task_definition_arn):
        yield (
            f"task_definition_arn {fields.task_definition_arn!r} is neither an ARN of a task definition nor family:revision "
            "nor a family."
        )
    yield from _of_log_names(fields.cloudwatch_logs_options)
    if fields.family is not None:
        try:
            definitions.family_name(fields.family)
        except InvalidTask as error:
            yield str(error)


def _of_log_names(options: Mapping[str, Any]) -> Iterator[str]:
    """Find what CloudWatch Logs refuses in the names of groups and streams (its API reference, CreateLogGroup, …Stream)."""
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if isinstance(group, str) and not _LOG_GROUP.fullmatch(group):
        yield (
            f"cloudwatch_logs_options awslogs-group {group!r} is no name of a log group; use 1 to 512 letters, digits and "
            "any of ._-/#."
        )
    if isinstance(prefix, str) and not _STREAM_PREFIX.fullmatch(prefix):
        yield (
            f"cloudwatch_logs_options awslogs-stream-prefix {prefix!r} cannot begin a stream's name: CloudWatch Logs takes no "
            f"':' and no '*' there, and with the container's name and the task's id at most 512 characters. "
            f"Use {definitions.stream_prefix(prefix)!r}."
        )


def _of_fields_together(fields: TaskFields) -> Iterator[str]:
    if fields.task_definition is not None and fields.task_definition_arn is not None:
        yield "task_definition and task_definition_arn exclude each other; give one of them."
    logs = definitions.logs_configured(fields)
    if fields.cloudwatch_logs_options and not logs:
        yield "cloudwatch_logs_options needs logging; set stream_output=True or configure_cloudwatch_logs=True."
    given_role = fields.execution_role_arn or (fields.task_definition or {}).get("executionRoleArn")
    if logs and not given_role and fields.task_definition_arn is None:
        yield (
            "execution_role_arn is needed for stream_output and configure_cloudwatch_logs: the log driver writes with that "
            "role. Set it to a role with AmazonECSTaskExecutionRolePolicy, or executionRoleArn in task_definition."
        )
    if fields.launch_type == "MANAGED_INSTANCES" and not fields.task_run_request.get("capacityProviderStrategy"):
        yield (
            "launch_type MANAGED_INSTANCES needs a capacityProviderStrategy in task_run_request that names the capacity "
            "provider."
        )
    if fields.task_run_request.get("launchType") and fields.task_run_request.get("capacityProviderStrategy"):
        yield "task_run_request has both launchType and capacityProviderStrategy; AWS accepts one of them."
    for member, instead in (("taskDefinition", "task_definition_arn"), ("clientToken", "run(run_id=...)")):
        if member in fields.task_run_request:
            yield f"task_run_request.{member} is set by the block; use {instead}."


def _of_plan(fields: TaskFields) -> list[str]:
    """Make the plan as far as it can be made without AWS, and hold it against AWS's limits."""
    facts = plans.Facts(plans.REGION, "python", _measured, {})
    try:
        if fields.task_definition_arn is None:
            # A stand-in spares the hash of the generated family, for which a plan is not made here.
            base = {"family": "generated", **(fields.task_definition or {})}
            capacity = capacities.choose(fields)
            definition = definitions.prepare(
                fields, base, capacity=capacity, region=plans.REGION, default_image="python", reveal=_measured
            )
            found = definitions.problems(definition)
            found += requests.tag_problems(definition.get("tags") or [], "task_definition.tags")
        else:
            capacity, definition, found = capacities.choose(fields), {}, []
        plan = plans.Sketch(definition, definitions.main_container_name(fields, fields.task_definition), capacity, None)
        request = plans.run_request(WithoutPatches(fields), plan, facts)
    except InvalidTask as error:
        return [str(error)]
    return [*found, *requests.problems(request), *_of_size(fields, capacity, definition)]


def _measured(value: str | SecretStr | SecretReference) -> str:
    """Give the text that counts towards AWS's limits. It is only measured: no problem quotes a value."""
    return value.get_secret_value() if isinstance(value, SecretStr) else plain(value)


class WithoutPatches:
    """The fields, but for the customizations, which can only be applied to what AWS knows."""

    def __init__(self, fields: TaskFields) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        if name == "task_customizations":
            return JsonPatch()
        return getattr(self._fields, name)


def _of_size(fields: TaskFields, capacity: capacities.Capacity, definition: Mapping[str, Any]) -> list[str]:
    size = _fargate_size(fields, capacity, definition)
    if size is None or fargate.is_offered(*size) or fargate.is_beyond_table(*size):
        return []
    cpu, memory = fargate.nearest(*size)
    return [
        f"cpu {size[0]} and memory {size[1]} are not a size that Fargate offers; the nearest is cpu={cpu}, memory={memory}."
    ]


def _fargate_size(
    fields: TaskFields, capacity: capacities.Capacity, definition: Mapping[str, Any]
) -> tuple[int, int] | None:
    cpu, memory = definition.get("cpu", fields.cpu), definition.get("memory", fields.memory)
    if not capacity.is_fargate or not cpu or not memory:
        return None
    try:
        return fargate.cpu_units(cpu), fargate.memory_mib(memory)
    except ValueError:
        return None  # a text of AWS's own making, such as a range; AWS judges it


# --- odd, but possible -------------------------------------------------------------------------------------------------


def oddities(fields: TaskFields) -> Iterator[str]:
    """List settings that are possible and probably not meant."""
    given = fields.model_fields_set
    capacity = capacities.choose(fields)
    mode = (fields.task_definition or {}).get("networkMode")
    if capacity.is_fargate and mode not in (None, "awsvpc"):
        yield f"task_definition.networkMode is {mode!r}, but Fargate runs tasks with 'awsvpc' only."
    if fields.stream_output and fields.configure_cloudwatch_logs is False:
        yield "stream_output is on, but configure_cloudwatch_logs is off: only a definition that logs already can be followed."
    if fields.vpc_id and "networkConfiguration" in fields.task_run_request:
        yield "vpc_id is not used: task_run_request gives a networkConfiguration of its own."
    elif fields.vpc_id and mode not in (None, "awsvpc"):
        yield f"vpc_id is not used: the network mode is {mode!r}."
    rival = fields.task_run_request.get("launchType")
    if "launch_type" in given and fields.launch_type and rival and rival != fields.launch_type:
        yield f"launch_type {fields.launch_type} wins over launchType {rival} in task_run_request."
    strategy = fields.task_run_request.get("capacityProviderStrategy")
    if strategy and list(capacity.strategy) != strategy:
        yield f"launch_type {fields.launch_type} wins over the capacityProviderStrategy in task_run_request."
    for name in fields.env:
        if _RESERVED.fullmatch(name):
            yield f"env.{name} is set by ECS; another value cuts the task off from its role or its metadata."
    size = overrides_share(fields)
    if 0.9 < size <= 1:
        yield f"command and env fill {size:.0%} of the {requests.LONGEST_OVERRIDES} characters that AWS accepts for overrides."
    yield from _size_oddities(fields, capacity)


def overrides_share(fields: TaskFields) -> float:
    """Tell how much of AWS's limit the command and the environment take, roughly (1 is all of it)."""
    texts = [*fields.command, *fields.env]
    texts += [_measured(value) for value in fields.env.values() if value is not None]
    if sum(map(len, texts)) * 2 < requests.LONGEST_OVERRIDES:
        return 0.0
    main = {
        "command": list(fields.command),
        "environment": [
            {"name": name, "value": _measured(value)} for name, value in fields.env.items() if value is not None
        ],
    }
    return requests.overrides_size({"containerOverrides": [main]}) / requests.LONGEST_OVERRIDES


def _size_oddities(fields: TaskFields, capacity: capacities.Capacity) -> Iterator[str]:
    size = _fargate_size(fields, capacity, fields.task_definition or {})
    if size and not fargate.is_offered(*size) and fargate.is_beyond_table(*size):
        yield f"cpu {size[0]} and memory {size[1]} are larger than any size of Fargate that is known here; AWS will judge it."
