"""A block made of something else, and something else made of a block: boto3 arguments, a flow's run, a work pool."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from ecs_block.errors import InvalidTask
from ecs_block.plan.fields import TaskFields
from ecs_block.plan.secret import SecretReference
from ecs_block.plan.shape import did_you_mean

LAUNCH_TYPES = ("FARGATE", "EC2", "EXTERNAL", "MANAGED_INSTANCES")


def sort_arguments(arguments: Mapping[str, Any], register_shape: Any, run_shape: Any) -> dict[str, Any]:
    """Sort boto3 arguments into the fields of a block. Raises InvalidTask for those that neither operation takes."""
    known = [*register_shape.members, *run_shape.members]
    unknown = [name for name in arguments if name not in known]
    if unknown:
        told = (
            f"{name!r} is an argument of neither register_task_definition nor run_task.{did_you_mean(name, known)}"
            for name in unknown
        )
        raise InvalidTask("\n".join(told))
    definition = {name: value for name, value in arguments.items() if name in register_shape.members}
    request = {name: value for name, value in arguments.items() if name in run_shape.members}
    fields: dict[str, Any] = {}
    linked = request.pop("taskDefinition", None)
    if linked is not None:
        fields["task_definition_arn"] = linked
        definition.pop("tags", None)  # they are the run's
    if request.get("launchType") in LAUNCH_TYPES:
        fields["launch_type"] = request.pop("launchType")
    if "cluster" in request:
        fields["cluster"] = request.pop("cluster")
    if definition:
        fields["task_definition"] = definition
    if request:
        fields["task_run_request"] = request
    first = _first_container(definition)
    return {**fields, "container_name": first} if first else fields


def _first_container(definition: Mapping[str, Any]) -> str | None:
    containers = definition.get("containerDefinitions")
    if not isinstance(containers, list | tuple) or not containers:
        return None
    first = containers[0]
    name = first.get("name") if isinstance(first, Mapping) else None
    if not isinstance(name, str):
        raise InvalidTask("containerDefinitions[0] needs a name: it is the container that runs the command.")
    return name


def for_run(
    fields: TaskFields,
    flow: Any,
    deployment: Any,
    flow_run: Any,
    name: str | None,
    command: str | Sequence[str] | None,
    env: Mapping[str, Any] | None,
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Give the fields that one run of a flow changes."""
    changes: dict[str, Any] = {}
    parts = [part for part in (_name(flow), _name(deployment)) if part]
    known = fields.family or fields.task_definition_arn or (fields.task_definition or {}).get("family")
    if parts and not known:
        changes["family"] = "__".join(["ecs-block", *parts])
    run_name = name or _name(flow_run)
    if run_name and fields.name is None:
        changes["name"] = run_name
    if command is not None:
        changes["command"] = command
    if env:
        changes["env"] = {**fields.env, **env}
    if labels:
        changes["labels"] = {**fields.labels, **labels}
    return changes


def _name(thing: Any) -> str | None:
    if thing is None or isinstance(thing, str):
        return thing
    try:
        name = thing.name
    except AttributeError:
        raise InvalidTask(
            f"A flow, deployment or flow run is given by its name or as an object with a name, not as {type(thing).__name__}."
        ) from None
    return None if name is None else str(name)


def base_job_template(fields: TaskFields, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Make a work pool's base job template of a block's schema and its values."""
    properties = {}
    for name, described in schema["properties"].items():
        if name == "type":
            continue
        properties[name] = dict(described)
        if name in fields.model_fields_set:
            properties[name]["default"] = _default(getattr(fields, name))
    variables = {"type": "object", "properties": properties}
    if "$defs" in schema:
        variables["definitions"] = schema["$defs"]
        variables = json.loads(json.dumps(variables).replace("#/$defs/", "#/definitions/"))
    return {"job_configuration": {name: f"{{{{ {name} }}}}" for name in properties}, "variables": variables}


def _default(value: Any) -> Any:
    """Give a value as JSON, without what is hidden."""
    if isinstance(value, SecretReference):
        return {"$secret": value.reference}
    if isinstance(value, Mapping):
        return {key: _default(item) for key, item in value.items() if not isinstance(item, SecretStr)}
    if hasattr(value, "model_fields_set"):
        return _default(
            {name: getattr(value, name) for name in type(value).model_fields if name in value.model_fields_set}
        )
    if hasattr(value, "operations"):
        return value.operations
    return list(value) if isinstance(value, list | tuple) else value
