"""Make the task that RunTask answers with."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ecs_block.local.clusters import Cluster
from ecs_block.local.network import Network
from ecs_block.local.run_request import Capacity, task_size
from ecs_block.local.tags import Tags, clean_tags, merge_tags
from ecs_block.local.task import Task

# AWS makes lines readable some time after they were written, and says nothing of it. Here they are readable at once, and
# a client that knows this attribute need not wait for more after the stop.
_LOGS_COMPLETE = {"name": "ecs-block.log-delivery", "value": "complete-when-stopped"}


class TaskMaker:
    """Make tasks from requests that have been checked."""

    def __init__(self, network: Network, definition_tags: dict[str, Tags], logs_complete_at_stop: bool = True) -> None:
        self._attributes = [_LOGS_COMPLETE] if logs_complete_at_stop else []
        self._network = network
        self._definition_tags = definition_tags

    def make(
        self,
        params: dict[str, Any],
        cluster: Cluster,
        definition: dict[str, Any],
        network: dict[str, Any],
        capacity: Capacity,
    ) -> Task:
        """Make a task in PROVISIONING."""
        task_id = uuid.uuid4().hex
        arn = f"{cluster.arn.replace(':cluster/', ':task/')}/{task_id}"
        wire = self._wire(params, definition, network, capacity)
        wire.update(taskArn=arn, clusterArn=cluster.arn)
        return Task(task_id, arn, cluster, definition, wire, self._tags(params, cluster, definition))

    def _wire(
        self, params: dict[str, Any], definition: dict[str, Any], network: dict[str, Any], capacity: Capacity
    ) -> dict[str, Any]:
        launch_type, provider = capacity
        subnet_id = self._network.choose(network)
        overrides = params.get("overrides", {})
        wire: dict[str, Any] = {
            "attachments": [self._network.attachment(subnet_id)] if subnet_id else [],
            "attributes": [
                {"name": "ecs.cpu-architecture", "value": _architecture(definition)},
                *self._attributes,
            ],
            "availabilityZone": self._network.zone(subnet_id),
            "createdAt": time.time(),
            "desiredStatus": "RUNNING",
            "enableExecuteCommand": params.get("enableExecuteCommand", False),
            "group": params.get("group") or f"family:{definition['family']}",
            "healthStatus": "UNKNOWN",
            "inferenceAccelerators": [],
            "lastStatus": "PROVISIONING",
            "launchType": launch_type,
            "overrides": _echo(overrides, definition),
            "taskDefinitionArn": definition["taskDefinitionArn"],
            "version": 1,
            **task_size(overrides, definition),
            **({"startedBy": params["startedBy"]} if params.get("startedBy") else {}),
        }
        if provider:
            wire["capacityProviderName"] = provider
        if launch_type == "FARGATE":
            version = params.get("platformVersion", "LATEST")
            wire["platformVersion"] = "1.4.0" if version == "LATEST" else version
            wire["platformFamily"] = "Linux"
            storage = overrides.get("ephemeralStorage") or definition.get("ephemeralStorage")
            wire["ephemeralStorage"] = storage or {"sizeInGiB": 20}
        return wire

    def _tags(self, params: dict[str, Any], cluster: Cluster, definition: dict[str, Any]) -> Tags:
        tags = clean_tags(params.get("tags"))
        if params.get("propagateTags") == "TASK_DEFINITION":
            tags = merge_tags(self._definition_tags.get(definition["taskDefinitionArn"], []), tags)
        if params.get("enableECSManagedTags"):
            tags = [*tags, {"key": "aws:ecs:clusterName", "value": cluster.name}]
        return tags


def _architecture(definition: dict[str, Any]) -> str:
    return str(definition.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64")).lower()


def _echo(overrides: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    """Return the overrides as AWS gives them back: with an item for every container."""
    given = overrides.get("containerOverrides", [])
    names = {item["name"] for item in given}
    others = [{"name": c["name"]} for c in definition["containerDefinitions"] if c["name"] not in names]
    return {"inferenceAcceleratorOverrides": [], **overrides, "containerOverrides": [*given, *others]}
