"""What AWS fills in when a definition is registered."""

from __future__ import annotations

from typing import Any

from ecs_block.local.fargate_sizes import fits_fargate, normal_size

_LISTS = ("environment", "mountPoints", "portMappings", "volumesFrom", "systemControls")
_NOT_OURS = ("tags", "compatibilities")


def normal_sizes(params: dict[str, Any]) -> dict[str, Any]:
    """Return the request with the task's cpu and memory in units and MiB."""
    sizes = {member: normal_size(params[member], member) for member in ("cpu", "memory") if params.get(member)}
    return {**params, **sizes}


def with_defaults(params: dict[str, Any]) -> dict[str, Any]:
    """Return the definition as AWS gives it back."""
    definition = {name: value for name, value in params.items() if name not in _NOT_OURS}
    mode = definition.get("networkMode")
    definition["containerDefinitions"] = [_container(c, mode) for c in params["containerDefinitions"]]
    definition["volumes"] = [_volume(volume) for volume in params.get("volumes", [])]
    definition.setdefault("placementConstraints", [])
    definition.setdefault("enableFaultInjection", False)
    definition["compatibilities"] = _compatibilities(definition)
    definition["requiresAttributes"] = _attributes(definition)
    return definition


def _container(given: dict[str, Any], mode: str | None) -> dict[str, Any]:
    container = {"cpu": 0, "essential": True, **{name: [] for name in _LISTS}, **given}
    container["portMappings"] = [_port(port, mode) for port in container["portMappings"]]
    if "healthCheck" in container:
        container["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3, **container["healthCheck"]}
    if "logConfiguration" in container:
        container["logConfiguration"] = {"options": {}, "secretOptions": [], **container["logConfiguration"]}
    if "restartPolicy" in container:
        container["restartPolicy"] = {"ignoredExitCodes": [], "restartAttemptPeriod": 300, **container["restartPolicy"]}
    return container


def _port(given: dict[str, Any], mode: str | None) -> dict[str, Any]:
    host_port = given.get("containerPort", 0) if mode in ("awsvpc", "host") else 0
    return {"hostPort": host_port, "protocol": "tcp", **given}


def _volume(given: dict[str, Any]) -> dict[str, Any]:
    volume = dict(given)
    if "efsVolumeConfiguration" in volume:
        volume["efsVolumeConfiguration"] = {"rootDirectory": "/", **volume["efsVolumeConfiguration"]}
    elif len(volume) == 1:
        volume["host"] = {}
    return volume


def _compatibilities(definition: dict[str, Any]) -> list[str]:
    mode = definition.get("networkMode")
    found = ["EC2"] if mode == "awsvpc" else ["EXTERNAL", "EC2"]
    if mode == "awsvpc" and fits_fargate(definition.get("cpu"), definition.get("memory")):
        found.append("FARGATE")
    return [*found, *(name for name in definition.get("requiresCompatibilities", []) if name not in found)]


def _attributes(definition: dict[str, Any]) -> list[dict[str, str]]:
    containers = definition["containerDefinitions"]
    names = ["com.amazonaws.ecs.capability.docker-remote-api.1.18"]
    if definition.get("networkMode") == "awsvpc":
        names.append("ecs.capability.task-eni")
    if definition.get("taskRoleArn"):
        names.append("com.amazonaws.ecs.capability.task-iam-role")
    if any(c.get("logConfiguration", {}).get("logDriver") == "awslogs" for c in containers):
        names += ["com.amazonaws.ecs.capability.logging-driver.awslogs", "ecs.capability.execution-role-awslogs"]
    if any(c.get("dependsOn") for c in containers):
        names.append("ecs.capability.container-ordering")
    return [{"name": name} for name in names]
