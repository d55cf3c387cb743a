"""The task definition, prepared from the fields: what was given is copied, the main container is found or added."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from ecs_block.arn import get_container
from ecs_block.errors import InvalidTask
from ecs_block.plan.capacity import Capacity
from ecs_block.plan.fields import Reveal, TaskFields
from ecs_block.plan.sameness import Definition, fingerprint

MAIN_CONTAINER = "main"
DEFAULT_CPU = 1024  # CPU units
DEFAULT_MEMORY = 2048  # MiB
DEFAULT_NAME = "ecs-block"
LARGEST_DEFINITION = 64 * 1024  # bytes; Amazon ECS service quotas
MOST_CONTAINERS = 10
LONGEST_PREFIX = 512 - len("/main/") - 32  # characters; a stream is named prefix/container/task id (CreateLogStream)

_CONTAINER_NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")
_FIRST = ("family", "requiresCompatibilities", "networkMode", "cpu", "memory", "executionRoleArn", "taskRoleArn")


# --- prepare -----------------------------------------------------------------------------------------------------------


def main_container_name(fields: TaskFields, base: Mapping[str, Any] | None) -> str:
    """Tell which container runs the command (the rule of `container_name`)."""
    if fields.container_name:
        return fields.container_name
    containers = (base or {}).get("containerDefinitions") or []
    if fields.task_definition_arn and containers and not get_container(containers, MAIN_CONTAINER):
        return str(containers[0]["name"])
    return MAIN_CONTAINER


def logs_configured(fields: TaskFields) -> bool:
    """Tell whether the main container gets the `awslogs` driver: as told, else when its output is to be streamed."""
    if fields.configure_cloudwatch_logs is not None:
        return fields.configure_cloudwatch_logs
    return bool(fields.stream_output)


def prepare(
    fields: TaskFields,
    base: Mapping[str, Any] | None,
    *,
    capacity: Capacity,
    region: str,
    default_image: str,
    reveal: Reveal,
) -> Definition:
    """Build the definition that a run needs.

    `base` is the given definition, or the linked one as AWS described it. What a linked definition already provides is left
    as it is: roles and sizes of a linked run travel in the request's overrides. Raises InvalidTask when a linked definition
    lacks the role that logging needs.
    """
    definition: Definition = copy.deepcopy(dict(base or {}))
    linked = fields.task_definition_arn is not None
    container = _main_container(definition, main_container_name(fields, base))
    _set_image(fields, container, default_image)
    if not linked:
        _set_roles(fields, definition)
    if logs_configured(fields):
        _require_execution_role(fields, definition)
        _set_logging(fields, container, region, reveal)
    _set_capacity(fields, definition, container, capacity, linked)
    _remove_variables(fields, container)
    definition["family"] = _family(fields, definition)
    return {**{key: definition[key] for key in _FIRST if key in definition}, **definition}


def _main_container(definition: Definition, name: str) -> dict[str, Any]:
    containers: list[dict[str, Any]] = definition.setdefault("containerDefinitions", [])
    for container in containers:
        if container.get("name") == name:
            return container
    added = {"name": name}
    containers.append(added)
    return added


def _set_image(fields: TaskFields, container: dict[str, Any], default_image: str) -> None:
    if fields.image:
        container["image"] = fields.image
    else:
        container.setdefault("image", default_image)


def _set_roles(fields: TaskFields, definition: Definition) -> None:
    if fields.execution_role_arn:
        definition["executionRoleArn"] = fields.execution_role_arn
    if fields.task_role_arn:
        definition["taskRoleArn"] = fields.task_role_arn


def _require_execution_role(fields: TaskFields, definition: Definition) -> None:
    if not (fields.execution_role_arn or definition.get("executionRoleArn")):
        where = (
            f"the task definition {fields.task_definition_arn} has none"
            if fields.task_definition_arn
            else "none is given"
        )
        raise InvalidTask(
            "execution_role_arn is needed to send the container's output to CloudWatch Logs (stream_output or "
            f"configure_cloudwatch_logs is on), and {where}. Set execution_role_arn to a role with the managed policy "
            "AmazonECSTaskExecutionRolePolicy, or turn both off."
        )


def _set_logging(fields: TaskFields, container: dict[str, Any], region: str, reveal: Reveal) -> None:
    given = {key: reveal(value) for key, value in fields.cloudwatch_logs_options.items()}
    logging = container.get("logConfiguration") or {}
    if logging.get("logDriver") == "awslogs":
        # It already writes to CloudWatch Logs, where its owner wants it: only what was asked for is changed.
        container["logConfiguration"] = {**logging, "options": {**logging.get("options", {}), **given}}
        return
    options = {
        "awslogs-group": DEFAULT_NAME,
        "awslogs-region": region,
        "awslogs-stream-prefix": stream_prefix(fields.name),
        "awslogs-create-group": "true",
    }
    container["logConfiguration"] = {"logDriver": "awslogs", "options": {**options, **given}}


def stream_prefix(name: str | None) -> str:
    """Make a log stream prefix of a task's name: CloudWatch refuses `:` and `*` in stream names."""
    return re.sub(r"[:*]+", "-", name or "").strip()[:LONGEST_PREFIX] or DEFAULT_NAME


def _set_capacity(
    fields: TaskFields, definition: Definition, container: dict[str, Any], capacity: Capacity, linked: bool
) -> None:
    if linked and capacity.kind in definition.get("compatibilities", ()):
        return  # AWS itself says that it can run there
    if capacity.is_fargate:
        _require(definition, "FARGATE")
        definition.setdefault("networkMode", "awsvpc")
        # A linked run sends its sizes as overrides; here they only fill what Fargate cannot do without.
        cpu, memory = (None, None) if linked else (fields.cpu, fields.memory)
        definition["cpu"] = str(cpu or definition.get("cpu") or fields.cpu or DEFAULT_CPU)
        definition["memory"] = str(memory or definition.get("memory") or fields.memory or DEFAULT_MEMORY)
        return
    if capacity.kind == "MANAGED_INSTANCES":
        _require(definition, "MANAGED_INSTANCES")
        definition.setdefault("networkMode", "awsvpc")
    if not linked:
        _set_container_size(fields, definition, container)


def _require(definition: Definition, compatibility: str) -> None:
    required = definition.setdefault("requiresCompatibilities", [])
    if compatibility not in required:
        required.append(compatibility)


def _set_container_size(fields: TaskFields, definition: Definition, container: dict[str, Any]) -> None:
    """Give the main container its size, unless a size stands there or for the whole task."""
    if fields.cpu:
        container["cpu"] = fields.cpu
    elif "cpu" not in definition:
        container.setdefault("cpu", DEFAULT_CPU)
    if fields.memory:
        container["memory"] = fields.memory
    elif "memory" not in definition and "memoryReservation" not in container:
        container.setdefault("memory", DEFAULT_MEMORY)


def _remove_variables(fields: TaskFields, container: dict[str, Any]) -> None:
    removed = {name for name, value in fields.env.items() if value is None}
    for member in ("environment", "secrets"):
        kept = [item for item in container.get(member, []) if item.get("name") not in removed]
        if len(kept) < len(container.get(member, [])):
            container[member] = kept


# --- family ------------------------------------------------------------------------------------------------------------


_FAMILY = re.compile(r"[a-zA-Z0-9_-]{1,255}")


def family_name(name: str) -> str:
    """Make a name valid as a family: `[a-zA-Z0-9_-]`, at most 255 characters, case kept.

    A valid name stays as it is. Raises InvalidTask if nothing is left.
    """
    if _FAMILY.fullmatch(name):
        return name
    from slugify import slugify  # deferred: it loads a large table

    slug = slugify(name, lowercase=False, regex_pattern=r"[^a-zA-Z0-9_-]+", max_length=255)
    if not slug:
        raise InvalidTask(f"family {name!r} has no letter or digit that AWS accepts; use [a-zA-Z0-9_-].")
    return str(slug)


def _family(fields: TaskFields, definition: Definition) -> str:
    if fields.family:
        return family_name(fields.family)
    if definition.get("family"):
        return family_name(str(definition["family"]))
    # A family for each distinct definition: blocks that share one would take turns in making a new revision of it.
    return f"{DEFAULT_NAME}-{fingerprint(definition)[:12]}"


# --- limits ------------------------------------------------------------------------------------------------------------


def problems(definition: Mapping[str, Any]) -> list[str]:
    """List which of AWS's limits on a definition this one breaks, each as one sentence."""
    found = []
    containers = definition.get("containerDefinitions") or []
    names = [container.get("name") for container in containers]
    doubles = sorted({str(name) for name in names if names.count(name) > 1})
    if doubles:
        found.append(
            f"task_definition names the container {', '.join(doubles)} more than once; each name must be unique."
        )
    found += [
        f"task_definition has a container {name!r}; AWS accepts 1 to 255 of [a-zA-Z0-9_-] in its name."
        for name in names
        if name is not None and not _CONTAINER_NAME.fullmatch(str(name))
    ]
    if len(containers) > MOST_CONTAINERS:
        found.append(f"task_definition has {len(containers)} containers; AWS accepts at most {MOST_CONTAINERS}.")
    if containers and not any(container.get("essential", True) for container in containers):
        found.append("task_definition has no essential container; at least one must be.")
    size = len(json.dumps(definition, separators=(",", ":"), ensure_ascii=False, default=str).encode(errors="replace"))
    if size > LARGEST_DEFINITION:
        found.append(
            f"task_definition is {size:,} bytes; AWS accepts at most {LARGEST_DEFINITION:,}. Keep large values in S3 or SSM."
        )
    return found
