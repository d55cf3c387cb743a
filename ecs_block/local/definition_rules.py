"""What RegisterTaskDefinition refuses, in AWS's words as far as they are known."""

from __future__ import annotations

import json
import re
from typing import Any

from ecs_block.local.fargate_sizes import check_fargate_size
from ecs_block.local.faults import client_error
from ecs_block.local.tags import check_tags

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
_IMAGE = re.compile(r"[A-Za-z0-9_.:/@#+-]{1,255}\Z")
_LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}\Z")
_MAX_BYTES = 64 * 1024
_NOT_ON_FARGATE = (
    "disableNetworking",
    "dnsSearchDomains",
    "dnsServers",
    "dockerSecurityOptions",
    "extraHosts",
    "links",
    "privileged",
)
_FARGATE_LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
_STEADY = ("COMPLETE", "SUCCESS")


def check_definition(definition: dict[str, Any]) -> None:
    """Refuse a definition as AWS would; cpu and memory are normal already."""
    if not _NAME.match(definition["family"]):
        raise client_error("Family contains invalid characters.")
    check_tags(definition.get("tags", []), "ClientException")
    containers = definition["containerDefinitions"]
    _check_size(definition, containers)
    for container in containers:
        _check_container(container)
    _check_names(containers)
    _check_dependencies(containers)
    _check_roles(definition, containers)
    if "FARGATE" in definition.get("requiresCompatibilities", []):
        _check_fargate(definition, containers)
    elif not definition.get("memory"):
        _check_memory(containers)


def _check_size(definition: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    if not containers:
        raise client_error("Container list cannot be empty.")
    if len(containers) > 10:
        raise client_error("Task definition can have at most 10 containers.")
    size = len(json.dumps(definition, separators=(",", ":"), ensure_ascii=False).encode())
    if size > _MAX_BYTES:
        raise client_error(f"Actual length: '{size}'. Max allowed length is '{_MAX_BYTES}' bytes.")


def _check_container(container: dict[str, Any]) -> None:
    name = container.get("name", "")
    if not name:
        raise client_error("Container.name should not be null or empty.")
    if not _NAME.match(name):
        raise client_error("Container.name contains invalid characters.")
    if not container.get("image"):
        raise client_error("Container.image should not be null or empty.")
    if not _IMAGE.match(container["image"]):
        raise client_error("Container.image contains invalid characters.")
    _check_logging(container.get("logConfiguration", {}))


def _check_logging(logging: dict[str, Any]) -> None:
    if logging.get("logDriver") != "awslogs":
        return
    options = logging.get("options", {})
    missing = [name for name in ("awslogs-group", "awslogs-region") if not options.get(name)]
    if missing:
        raise client_error(f"Log driver awslogs requires options: {', '.join(missing)}")
    if not _LOG_GROUP.match(options["awslogs-group"]):
        raise client_error("Log driver awslogs: awslogs-group contains invalid characters.")
    if "awslogs-datetime-format" in options and "awslogs-multiline-pattern" in options:
        raise client_error("Log driver awslogs takes awslogs-datetime-format or awslogs-multiline-pattern, not both.")


def _check_names(containers: list[dict[str, Any]]) -> None:
    names = [container["name"] for container in containers]
    if len(set(names)) < len(names):
        raise client_error("Container.name must be unique within a task definition.")
    if not any(container.get("essential", True) for container in containers):
        raise client_error("Task definition does not have any essential container.")


def _check_dependencies(containers: list[dict[str, Any]]) -> None:
    known = {container["name"]: container for container in containers}
    for container in containers:
        for dependency in container.get("dependsOn", []):
            _check_dependency(container["name"], dependency, known)
    waiting = {name: {d["containerName"] for d in c.get("dependsOn", [])} for name, c in known.items()}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    if waiting:
        raise client_error("Container dependencies must not be circular.")


def _check_dependency(name: str, dependency: dict[str, Any], known: dict[str, dict[str, Any]]) -> None:
    other = known.get(dependency["containerName"])
    if other is None or other["name"] == name:
        wanted = dependency["containerName"]
        raise client_error(f"Container '{name}' depends on '{wanted}', which is not another container.")
    if dependency["condition"] in _STEADY and other.get("essential", True):
        raise client_error(f"A dependency container with condition {dependency['condition']} must not be essential.")
    if dependency["condition"] == "HEALTHY" and not other.get("healthCheck"):
        raise client_error(f"Container '{other['name']}' needs a health check for the condition HEALTHY.")


def _check_roles(definition: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    if definition.get("executionRoleArn"):
        return
    if any(container.get("secrets") for container in containers):
        raise client_error(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )
    drivers = [container.get("logConfiguration", {}).get("logDriver") for container in containers]
    if "FARGATE" in definition.get("requiresCompatibilities", []) and "awslogs" in drivers:
        raise client_error("Fargate requires task definition to have execution role ARN to support log driver awslogs.")


def _check_fargate(definition: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    if definition.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode 'awsvpc'.")
    check_fargate_size(definition.get("cpu"), definition.get("memory"))
    if definition.get("placementConstraints"):
        raise client_error("Fargate compatible task definitions do not support placementConstraints.")
    for container in containers:
        _check_fargate_container(container)


def _check_fargate_container(container: dict[str, Any]) -> None:
    for member in _NOT_ON_FARGATE:
        if container.get(member):
            raise client_error(f"Fargate compatible task definitions do not support {member}.")
    logging = container.get("logConfiguration", {})
    driver = logging.get("logDriver")
    if driver and driver not in _FARGATE_LOG_DRIVERS:
        raise client_error(f"Fargate compatible task definitions do not support log driver {driver}.")
    if driver == "awslogs" and not logging.get("options", {}).get("awslogs-stream-prefix"):
        raise client_error("Log driver awslogs requires options: awslogs-stream-prefix")
    if not 0 <= container.get("stopTimeout", 30) <= 120:
        raise client_error("Container stopTimeout must be at most 120 seconds on Fargate.")


def _check_memory(containers: list[dict[str, Any]]) -> None:
    for container in containers:
        if not container.get("memory") and not container.get("memoryReservation"):
            raise client_error(
                f"Invalid setting for container '{container['name']}'. "
                "At least one of 'memory' or 'memoryReservation' must be specified."
            )
