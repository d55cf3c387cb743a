"""What the properties are tried with: task definitions, what AWS makes of them, and blocks."""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from ecs_block import ECSTask
from ecs_block.engine.prepare import official_python_image
from ecs_block.plan import capacity as capacities
from ecs_block.plan import definition as definitions
from ecs_block.plan.secret import plain

ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"

names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFXYZ0123456789_-", min_size=1, max_size=12)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
full_words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
small = st.integers(1, 1000)
ports = st.integers(1, 65000)


def members(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


def named(**other: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    item = st.fixed_dictionaries({"name": names, **other})
    return st.lists(item, min_size=1, max_size=3, unique_by=lambda one: one["name"])


port_mappings = st.lists(
    st.fixed_dictionaries(
        {"containerPort": ports},
        optional={"protocol": st.sampled_from(["tcp", "udp"]), "name": names, "appProtocol": st.just("http")},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda mapping: mapping["containerPort"],
)
health_checks = st.fixed_dictionaries(
    {"command": st.lists(full_words, min_size=1, max_size=3).map(lambda rest: ["CMD", *rest])},
    optional={"interval": small, "timeout": small, "retries": small, "startPeriod": st.integers(0, 300)},
)
log_configurations = st.fixed_dictionaries(
    {"logDriver": st.sampled_from(["awslogs", "splunk"])},
    optional={
        "options": st.dictionaries(names, words, min_size=1, max_size=3),
        "secretOptions": named(valueFrom=full_words),
    },
)
ulimits = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["core", "nofile", "cpu"]), "softLimit": small, "hardLimit": small}),
    min_size=1,
    max_size=2,
)
mount_points = st.lists(
    st.fixed_dictionaries({"sourceVolume": names, "containerPath": full_words}, optional={"readOnly": st.booleans()}),
    min_size=1,
    max_size=3,
)
linux_parameters = members(
    initProcessEnabled=st.booleans(),
    sharedMemorySize=small,
    swappiness=st.integers(0, 100),
    capabilities=members(add=st.lists(names, min_size=1, max_size=3), drop=st.lists(names, min_size=1, max_size=3)),
    tmpfs=st.lists(
        st.fixed_dictionaries(
            {"containerPath": full_words, "size": small}, optional={"mountOptions": st.lists(names, min_size=1)}
        ),
        min_size=1,
        max_size=2,
    ),
)
restart_policies = st.fixed_dictionaries(
    {"enabled": st.booleans()},
    optional={"ignoredExitCodes": st.lists(st.integers(0, 255), min_size=1), "restartAttemptPeriod": small},
)
container_members = {
    "image": full_words,
    "cpu": st.integers(0, 4096),
    "memory": small,
    "essential": st.booleans(),
    "entryPoint": st.lists(full_words, min_size=1, max_size=3),
    "command": st.lists(full_words, min_size=1, max_size=4),
    "environment": named(value=words),
    "secrets": named(valueFrom=full_words),
    "environmentFiles": st.lists(st.fixed_dictionaries({"value": full_words, "type": st.just("s3")}), max_size=3),
    "portMappings": port_mappings,
    "healthCheck": health_checks,
    "logConfiguration": log_configurations,
    "ulimits": ulimits,
    "mountPoints": mount_points,
    "dependsOn": st.lists(st.fixed_dictionaries({"containerName": names, "condition": st.just("START")}), max_size=2),
    "linuxParameters": linux_parameters,
    "restartPolicy": restart_policies,
    "readonlyRootFilesystem": st.booleans(),
    "privileged": st.booleans(),
    "user": full_words,
    "workingDirectory": full_words,
    "stopTimeout": st.integers(0, 120),
    "dockerLabels": st.dictionaries(names, words, min_size=1, max_size=3),
    "systemControls": st.lists(st.fixed_dictionaries({"namespace": full_words, "value": full_words}), max_size=2),
    "extraHosts": st.lists(st.fixed_dictionaries({"hostname": full_words, "ipAddress": full_words}), max_size=2),
    "dnsServers": st.lists(full_words, max_size=3),
}
containers = st.fixed_dictionaries({"name": names}, optional=container_members)
volumes = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": names}),
        st.fixed_dictionaries({"name": names, "host": st.fixed_dictionaries({"sourcePath": full_words})}),
        st.fixed_dictionaries(
            {
                "name": names,
                "efsVolumeConfiguration": st.fixed_dictionaries(
                    {"fileSystemId": full_words},
                    optional={"rootDirectory": full_words, "transitEncryption": st.just("ENABLED")},
                ),
            }
        ),
        st.fixed_dictionaries(
            {
                "name": names,
                "dockerVolumeConfiguration": st.fixed_dictionaries(
                    {"autoprovision": st.booleans()}, optional={"driverOpts": st.dictionaries(names, words, min_size=1)}
                ),
            }
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda volume: volume["name"],
)
sizes = st.sampled_from([("256", "512"), ("1 vCPU", "2 GB"), ("0.5 vCPU", "1GB"), ("1024", "8192"), ("2048", "4 GB")])
proxies = st.fixed_dictionaries(
    {"containerName": names, "properties": named(value=words)}, optional={"type": st.just("APPMESH")}
)


@st.composite
def task_definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a definition such as people write it."""
    definition = draw(
        members(
            family=names,
            networkMode=st.sampled_from(["awsvpc", "bridge", "host"]),
            taskRoleArn=st.just(ROLE),
            executionRoleArn=st.just(ROLE),
            volumes=volumes,
            proxyConfiguration=proxies,
            runtimePlatform=members(cpuArchitecture=st.just("ARM64"), operatingSystemFamily=st.just("LINUX")),
            ephemeralStorage=st.fixed_dictionaries({"sizeInGiB": st.integers(21, 200)}),
            placementConstraints=st.lists(
                st.fixed_dictionaries({"type": st.just("memberOf"), "expression": full_words}), max_size=2
            ),
            enableFaultInjection=st.booleans(),
            pidMode=st.just("task"),
            requiresCompatibilities=st.permutations(["EC2", "FARGATE"]),
        )
    )
    definition["containerDefinitions"] = draw(
        st.lists(containers, min_size=1, max_size=3, unique_by=lambda one: one["name"])
    )
    definition["containerDefinitions"][0].pop("essential", None)  # AWS wants one that is
    if draw(st.booleans()):
        definition["cpu"], definition["memory"] = draw(sizes)
    for container in definition["containerDefinitions"]:
        for mapping in container.get("portMappings", []):
            if draw(st.booleans()):  # with awsvpc and host AWS takes no other
                mapping["hostPort"] = mapping["containerPort"]
    return definition


# Lists in which the order has a meaning to docker or to the program.
ORDERED = {"command", "entryPoint", "environmentFiles", "dnsServers", "dnsSearchDomains", "mountOptions"}
_SIZES = {"1 vCPU": "1024", "0.5 vCPU": "512", "2 GB": "2048", "1GB": "1024", "4 GB": "4096"}


def as_registered(definition: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Give a definition back as DescribeTaskDefinition does (the table of registration defaults in AWS's documentation).

    What AWS may or may not do is left to chance.
    """
    form = copy.deepcopy(definition)
    form.pop("tags", None)
    for key in ("cpu", "memory"):
        if key in form:
            form[key] = _SIZES.get(form[key], form[key])
    mode = form.get("networkMode", "bridge")
    if chance.random() < 0.5:
        form.setdefault("networkMode", "bridge")
        form.setdefault("enableFaultInjection", False)
    form.setdefault("volumes", [])
    form.setdefault("placementConstraints", [])
    for volume in form["volumes"]:
        if len(volume) == 1:
            volume["host"] = {}
        if "efsVolumeConfiguration" in volume:
            volume["efsVolumeConfiguration"].setdefault("rootDirectory", "/")
    for container in form["containerDefinitions"]:
        _container_as_registered(container, mode, chance)
    _shuffle(form, chance)
    return form | {
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/family:7",
        "revision": 7,
        "status": "ACTIVE",
        "compatibilities": ["EC2", "FARGATE"],
        "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.task-eni"}],
        "registeredAt": datetime(2026, 11, 20, tzinfo=UTC),
        "registeredBy": "arn:aws:iam::123456789012:user/ann",
    }


def _container_as_registered(container: dict[str, Any], mode: str, chance: random.Random) -> None:
    container.setdefault("cpu", 0)
    container.setdefault("essential", True)
    for member in ("environment", "mountPoints", "portMappings", "volumesFrom", "systemControls"):
        container.setdefault(member, [])
    for mapping in container["portMappings"]:
        mapping.setdefault("protocol", "tcp")
        mapping.setdefault("hostPort", 0 if mode == "bridge" else mapping["containerPort"])
    for member, default in (("interval", 30), ("timeout", 5), ("retries", 3)):
        if "healthCheck" in container:
            container["healthCheck"].setdefault(member, default)
    if "restartPolicy" in container:
        container["restartPolicy"].setdefault("ignoredExitCodes", [])
        container["restartPolicy"].setdefault("restartAttemptPeriod", 300)
    if chance.random() < 0.5:
        container["versionConsistency"] = "enabled"
        if "logConfiguration" in container:
            container["logConfiguration"].setdefault("secretOptions", [])


def _shuffle(value: Any, chance: random.Random, key: str = "") -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _shuffle(item, chance, name)
    elif isinstance(value, list):
        if key not in ORDERED:
            chance.shuffle(value)
        for item in value:
            _shuffle(item, chance)


# --- blocks ------------------------------------------------------------------------------------------------------------


def prepared(base: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Prepare the definition of a block; `base` is the linked one, where the block links one."""
    task = ECSTask(**fields)
    return definitions.prepare(
        task,
        base if base is not None else task.task_definition,
        capacity=capacities.choose(task),
        region="eu-central-1",
        default_image=official_python_image(),
        reveal=plain,
    )


references = st.builds(
    lambda kind, name: {"$secret": f"{kind}:{name}"},
    st.sampled_from(["env", "file", "ssm", "secretsmanager"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12),
)
patches = st.lists(
    st.fixed_dictionaries(
        {"op": st.just("add"), "path": names.map(lambda name: f"/{name}"), "value": st.text(max_size=5)}
    ),
    max_size=3,
)
block_fields = members(
    name=st.none() | words,
    command=st.lists(words, max_size=4),
    env=st.dictionaries(names, st.none() | words | references, max_size=4),
    labels=st.dictionaries(names.filter(lambda name: name.strip("-")), words, max_size=4),
    family=st.none() | names.filter(lambda name: name.strip("-_")),
    container_name=st.none() | names,
    image=full_words,
    cluster=st.none() | words,
    vpc_id=st.none() | words,
    launch_type=st.sampled_from(["FARGATE", "FARGATE_SPOT", "EC2", "EXTERNAL", None]),
    task_definition=st.none() | st.fixed_dictionaries({"containerDefinitions": st.lists(containers, max_size=1)}),
    task_run_request=members(group=words, enableECSManagedTags=st.booleans()),
    task_customizations=patches,
    task_start_timeout_seconds=st.integers(1, 10_000),
    task_watch_poll_interval=st.floats(0.1, 60),
    stop_on_interrupt=st.booleans(),
    retries_on_interruption=st.integers(0, 9),
    aws_credentials=members(region_name=st.just("eu-central-1"), endpoint_url=st.just("http://127.0.0.1:1")),
)
