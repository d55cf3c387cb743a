"""The RunTask request: overrides, tags, network and capacity, then the customizations.

The main container's override is always at index 0 of `containerOverrides`, so that patches can count on it.
"""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecs_block.arn import get_container
from ecs_block.errors import InvalidTask
from ecs_block.plan.capacity import Capacity
from ecs_block.plan.fields import Reveal, TaskFields
from ecs_block.plan.patch import JsonPatch

Request = dict[str, Any]

LONGEST_OVERRIDES = 8192  # characters of JSON; API reference, RunTask, overrides
MOST_TAGS = 50
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256
MOST_SUBNETS = 16  # API reference, AwsVpcConfiguration
MOST_TASKS = 10  # API reference, RunTask, count

IDENTITY = ("/clientToken", "/startedBy")
"""What ties a request to its run id: no patch may change it."""

_FIRST = (
    "cluster",
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "count",
    "networkConfiguration",
    "overrides",
)


def build_request(
    fields: TaskFields,
    *,
    container: str,
    task_definition: str,
    capacity: Capacity,
    subnets: Sequence[str] | None,
    reveal: Reveal,
    variables: Mapping[str, str] | None = None,
) -> Request:
    """Build the finished request, customizations included.

    `subnets` is what the network look-up found (None where the definition does not use `awsvpc`), `variables` what the run
    itself adds to the environment. Raises PatchError when a customization does not apply, InvalidTask for labels that
    cannot be tags.
    """
    request: Request = copy.deepcopy(dict(fields.task_run_request))
    for replaced in ("launchType", "capacityProviderStrategy"):
        request.pop(replaced, None)
    request.update(capacity.request())
    request["taskDefinition"] = task_definition
    if fields.cluster:
        request["cluster"] = fields.cluster
    if subnets is not None and "networkConfiguration" not in request:
        request["networkConfiguration"] = {"awsvpcConfiguration": _awsvpc(subnets, capacity)}
    request["tags"] = _tags(request.get("tags") or [], fields.labels)
    request["overrides"] = _overrides(fields, request.get("overrides") or {}, container, reveal, variables or {})
    ordered = {**{key: request[key] for key in _FIRST if key in request}, **request}
    return _without_empty(fields.task_customizations.apply(ordered))


def _awsvpc(subnets: Sequence[str], capacity: Capacity) -> dict[str, Any]:
    """Give the default network: without a public IP, a task in a public subnet could not even pull its image."""
    network: dict[str, Any] = {"subnets": list(subnets)}
    # AWS refuses a public IP for tasks on instances (API reference, AwsVpcConfiguration, assignPublicIp).
    return network if capacity.kind in ("EC2", "EXTERNAL") else {**network, "assignPublicIp": "ENABLED"}


def _overrides(
    fields: TaskFields, given: Mapping[str, Any], container: str, reveal: Reveal, variables: Mapping[str, str]
) -> dict[str, Any]:
    overrides = dict(given)
    containers = overrides.pop("containerOverrides", None) or []
    main = dict(get_container(containers, container) or {"name": container})
    if fields.command:
        main["command"] = list(fields.command)
    environment = {item["name"]: item.get("value", "") for item in main.get("environment") or []}
    environment.update({name: reveal(value) for name, value in fields.env.items() if value is not None})
    environment.update(variables)
    removed = {name for name, value in fields.env.items() if value is None}
    # An empty list here (and for the tags) gives patches such as `add …/environment/-` a place; it is not sent.
    main["environment"] = [{"name": name, "value": value} for name, value in environment.items() if name not in removed]
    for member, value in (("cpu", fields.cpu), ("memory", fields.memory)):
        if value is not None:
            main[member] = value
            overrides[member] = str(value)
    roles = {"executionRoleArn": fields.execution_role_arn, "taskRoleArn": fields.task_role_arn}
    overrides.update({member: role for member, role in roles.items() if role is not None})
    others = [item for item in containers if item.get("name") != container]
    return {"containerOverrides": [main, *others], **overrides}


def _without_empty(request: Request) -> Request:
    """Remove the empty lists that were only there for patches."""
    if request.get("tags") == []:
        del request["tags"]
    overrides = request.get("overrides")
    containers = overrides.get("containerOverrides") if isinstance(overrides, dict) else None
    for container in containers if isinstance(containers, list) else []:
        if isinstance(container, dict) and container.get("environment") == []:
            del container["environment"]
    return request


# --- tags --------------------------------------------------------------------------------------------------------------


def _tags(given: Iterable[Mapping[str, str]], labels: Mapping[str, str]) -> list[dict[str, str]]:
    tags = {str(tag.get("key", "")): str(tag.get("value", "")) for tag in given}
    origin: dict[str, str] = {}
    for name, value in labels.items():
        key = accepted_in_a_tag(name)
        if key in origin:
            raise InvalidTask(
                f"labels {origin[key]!r} and {name!r} both become the tag {key!r}: AWS refuses some of their characters. "
                "Rename one of them."
            )
        origin[key] = name
        tags[key] = accepted_in_a_tag(value)
    return [{"key": key, "value": value} for key, value in tags.items()]


def accepted_in_a_tag(text: str) -> str:
    """Replace what AWS refuses in a tag: it takes letters, numbers and spaces of any script, and `_.:/=+-@`."""
    return "".join(c if c in "_.:/=+-@" or unicodedata.category(c)[0] in "LNZ" else "-" for c in text)


def tag_problems(tags: Iterable[Mapping[str, Any]], what: str) -> list[str]:
    """List what AWS would refuse in tags, each as one sentence."""
    found = []
    tags = list(tags)
    if len(tags) > MOST_TAGS:
        found.append(f"{what} gives {len(tags)} tags; AWS accepts at most {MOST_TAGS}.")
    for tag in tags:
        key, value = str(tag.get("key", "")), str(tag.get("value", ""))
        shown = key if len(key) <= 40 else f"{key[:40]}…"
        if not key.strip("-") or not key.strip():
            found.append(
                f"{what} has a key that is empty, or that AWS refuses whole; use letters, digits and _.:/=+-@."
            )
        if len(key) > LONGEST_TAG_KEY:
            found.append(
                f"{what}: the key {shown!r} has {len(key)} characters; at most {LONGEST_TAG_KEY} are accepted."
            )
        if len(value) > LONGEST_TAG_VALUE:
            found.append(
                f"{what}: the value of {shown!r} has {len(value)} characters; at most {LONGEST_TAG_VALUE} are accepted."
            )
        if key.lower().startswith("aws:") or value.lower().startswith("aws:"):
            found.append(f"{what}: {shown!r} uses the prefix 'aws:', which AWS keeps for itself.")
    return found


# --- limits ------------------------------------------------------------------------------------------------------------


def overrides_size(overrides: Mapping[str, Any]) -> int:
    """Measure overrides as AWS may count them: characters or UTF-8 bytes of compact JSON, whichever is more."""
    text = json.dumps(overrides, separators=(",", ":"), ensure_ascii=False, default=str)
    return max(len(text), len(text.encode(errors="replace")))


def problems(request: Mapping[str, Any]) -> list[str]:
    """List which of AWS's limits on a run request this one breaks, each as one sentence."""
    found = tag_problems(request.get("tags") or [], "labels")
    size = overrides_size(request.get("overrides") or {})
    if size > LONGEST_OVERRIDES:
        found.append(
            f"command and env make overrides of {size:,} characters; AWS accepts at most {LONGEST_OVERRIDES:,}. "
            f"The largest: {_largest(request['overrides'])}. Move large values to SSM, to an environment file in S3, or into "
            "the task definition."
        )
    count = request.get("count", 1)
    if isinstance(count, int) and not 1 <= count <= MOST_TASKS:
        found.append(f"task_run_request.count is {count}; RunTask starts 1 to {MOST_TASKS} tasks. Use map() for more.")
    awsvpc = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if len(awsvpc.get("subnets") or []) > MOST_SUBNETS:
        found.append(f"task_run_request names {len(awsvpc['subnets'])} subnets; AWS accepts at most {MOST_SUBNETS}.")
    if request.get("launchType") and request.get("capacityProviderStrategy"):
        found.append("task_run_request has both launchType and capacityProviderStrategy; AWS accepts one of them.")
    return found


def _largest(overrides: Mapping[str, Any], most: int = 5) -> str:
    sizes: dict[str, int] = {}
    for container in overrides.get("containerOverrides") or []:
        sizes[f"command of {container.get('name')}"] = len(json.dumps(container.get("command") or []))
        for item in container.get("environment") or []:
            sizes[f"env.{item.get('name')}"] = len(str(item.get("name"))) + len(str(item.get("value")))
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])[:most]
    return ", ".join(f"{name} ({size:,})" for name, size in largest)


def variables_of(run: str | None, attempt: int) -> dict[str, str]:
    """Give the variables by which a program knows its run: none for a run that has no name."""
    return {} if run is None else {"ECS_BLOCK_RUN_ID": run, "ECS_BLOCK_ATTEMPT": str(attempt)}


def attempt_of(task: Mapping[str, Any]) -> str | None:
    """Read from a described task which attempt of its run it is."""
    return _variable(task, "ECS_BLOCK_ATTEMPT")


def run_of(task: Mapping[str, Any]) -> str | None:
    """Read from a described task which run it is of."""
    return _variable(task, "ECS_BLOCK_RUN_ID")


def _variable(task: Mapping[str, Any], name: str) -> str | None:
    for container in (task.get("overrides") or {}).get("containerOverrides") or []:
        for variable in container.get("environment") or []:
            if variable.get("name") == name:
                return str(variable.get("value"))
    return None


def touches_identity(patch: JsonPatch) -> str | None:
    """Give the path of the first operation that would change what ties the request to its run id."""
    return next((path for path in IDENTITY if patch.touches(path)), None)
