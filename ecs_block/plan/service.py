"""A worker that runs on ECS itself: its task definition and its service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecs_block.errors import InvalidTask
from ecs_block.plan import fargate
from ecs_block.plan.definition import family_name

CONFIG_FOLDER = "/etc/ecs_block"
STATE_FOLDER = "/var/lib/ecs_block"
_ADDRESS = "http://127.0.0.1:8080"
_HEALTHY = f"import urllib.request as u; u.urlopen('{_ADDRESS}/api/health', timeout=5)"
_HEALTH_CHECK: dict[str, Any] = {"interval": 30, "timeout": 10, "retries": 5, "startPeriod": 60}
STOP_SECONDS = 60  # a worker that is told to end does so within 30


def worker_service(
    *,
    pool: str | None,
    queue: str | None,
    image: str,
    region: str,
    execution_role: str | None = None,
    task_role: str | None = None,
    family: str = "ecs-block-worker",
    cluster: str | None = None,
    launch_type: str = "FARGATE",
    subnets: Sequence[str] = (),
    groups: Sequence[str] = (),
    public_ip: bool = False,
    cpu: int = 256,
    memory: int = 512,
    limit: int | None = None,
    efs: str | None = None,
) -> dict[str, Any]:
    """Give what RegisterTaskDefinition and CreateService take. Raises InvalidTask for what they would refuse."""
    on_fargate, name = launch_type == "FARGATE", family_name(family)
    _check(on_fargate=on_fargate, subnets=subnets, execution_role=execution_role, cpu=cpu, memory=memory)
    words = _words(pool, queue, limit)
    definition = {
        "family": name,
        "requiresCompatibilities": [launch_type],
        "networkMode": "awsvpc" if on_fargate or subnets else "bridge",
        "cpu": str(cpu),
        "memory": str(memory),
        "executionRoleArn": execution_role,
        "taskRoleArn": task_role,
        "containerDefinitions": [_container(image, words, name, region, logs=execution_role is not None, efs=efs)],
        "volumes": None if efs is None else [_volume(efs)],
    }
    network = _network(subnets, groups, public_ip, on_fargate=on_fargate) if subnets else None
    return {"task_definition": _given(definition), "service": _service(name, cluster, launch_type, network)}


def _given(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not given."""
    return {name: value for name, value in document.items() if value}


def _words(pool: str | None, queue: str | None, limit: int | None) -> list[str]:
    verb = ["worker", "start", "--pool", pool] if pool is not None else ["agent", "start", "--queue", str(queue)]
    words = [*verb, "--agent-address", _ADDRESS, "--log-format", "json"]
    return words if limit is None else [*words, "--limit", str(limit)]


def _service(name: str, cluster: str | None, launch_type: str, network: dict[str, Any] | None) -> dict[str, Any]:
    service = {
        "serviceName": name,
        "taskDefinition": name,
        "cluster": cluster,
        "launchType": launch_type,
        "desiredCount": 1,
        # The old worker ends before the new one begins: they would share the journal.
        "deploymentConfiguration": {"minimumHealthyPercent": 0, "maximumPercent": 100},
        "networkConfiguration": network,
    }
    return _given(service)


def _check(*, on_fargate: bool, subnets: Sequence[str], execution_role: str | None, cpu: int, memory: int) -> None:
    if on_fargate and not subnets:
        raise InvalidTask("A service on Fargate needs --subnet ID, once or more.")
    if on_fargate and execution_role is None:
        raise InvalidTask("A task on Fargate needs --execution-role ARN to pull its image and to write its lines.")
    if on_fargate and not (fargate.is_offered(cpu, memory) or fargate.is_beyond_table(cpu, memory)):
        near = fargate.nearest(cpu, memory)
        raise InvalidTask(
            f"--cpu {cpu} and --memory {memory} are not a size that Fargate offers; the nearest is {near[0]} and {near[1]}."
        )


def _container(
    image: str, words: Sequence[str], name: str, region: str, *, logs: bool, efs: str | None
) -> dict[str, Any]:
    options = {"awslogs-group": name, "awslogs-region": region, "awslogs-create-group": "true"}
    options["awslogs-stream-prefix"] = "worker"
    mount = {"sourceVolume": "state", "containerPath": STATE_FOLDER}
    return {
        "name": "worker",
        "image": image,
        "essential": True,
        "entryPoint": ["ecs-block"],
        "command": list(words),
        # Blocks and pools are in the image; what runs leave behind is somewhere else.
        "environment": [
            {"name": "XDG_CONFIG_HOME", "value": CONFIG_FOLDER.rpartition("/")[0]},
            {"name": "XDG_STATE_HOME", "value": STATE_FOLDER.rpartition("/")[0]},
            {"name": "AWS_REGION", "value": region},
        ],
        "healthCheck": {**_HEALTH_CHECK, "command": ["CMD", "python", "-c", _HEALTHY]},
        "stopTimeout": STOP_SECONDS,
        **({"logConfiguration": {"logDriver": "awslogs", "options": options}} if logs else {}),
        **({"mountPoints": [mount]} if efs is not None else {}),
    }


def _volume(efs: str) -> dict[str, Any]:
    return {"name": "state", "efsVolumeConfiguration": {"fileSystemId": efs, "transitEncryption": "ENABLED"}}


def _network(subnets: Sequence[str], groups: Sequence[str], public_ip: bool, *, on_fargate: bool) -> dict[str, Any]:
    network: dict[str, Any] = {"subnets": list(subnets)}
    if groups:
        network["securityGroups"] = list(groups)
    if on_fargate:  # AWS refuses a public IP for tasks on instances
        network["assignPublicIp"] = "ENABLED" if public_ip else "DISABLED"
    return {"awsvpcConfiguration": network}
