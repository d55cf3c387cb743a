"""What RunTask refuses, and which capacity it chooses."""

from __future__ import annotations

import json
import re
from typing import Any

from ecs_block.local.clusters import FARGATE_PROVIDERS, Cluster
from ecs_block.local.fargate_sizes import check_fargate_size, normal_size
from ecs_block.local.faults import invalid
from ecs_block.local.tags import check_tags

_STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{0,128}\Z")
_TOKEN = re.compile(r"[\x21-\x7e]{1,64}\Z")

Capacity = tuple[str, str | None]  # launch type, capacity provider


def check_run(params: dict[str, Any]) -> None:
    """Refuse what is wrong in the request alone."""
    if not 1 <= params.get("count", 1) <= 10:
        raise invalid("Count must be between 1 and 10.")
    if "clientToken" in params and not _TOKEN.match(params["clientToken"]):
        raise invalid("clientToken must be at most 64 ASCII characters in the range of 33-126.")
    if not _STARTED_BY.match(params.get("startedBy", "")):
        raise invalid("startedBy must be at most 128 letters, numbers, hyphens, forward slashes and underscores.")
    if params.get("propagateTags") == "SERVICE":
        raise invalid("Propagating tags from the service is not supported for RunTask.")
    if params.get("launchType") and params.get("capacityProviderStrategy"):
        raise invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    if len(params.get("placementConstraints", [])) > 10 or len(params.get("placementStrategy", [])) > 5:
        raise invalid("At most 10 placement constraints and 5 placement strategies can be specified.")
    check_tags(params.get("tags", []))
    check_overrides_size(params.get("overrides", {}))


def check_overrides_size(overrides: dict[str, Any]) -> None:
    """Refuse overrides of more than 8192 bytes of compact JSON."""
    if len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False).encode()) > 8192:
        raise invalid("Container Overrides length must be at most 8192")


def check_overrides(overrides: dict[str, Any], definition: dict[str, Any], on_fargate: bool) -> None:
    """Refuse overrides that do not fit the definition."""
    names = {container["name"] for container in definition["containerDefinitions"]}
    for item in overrides.get("containerOverrides", []):
        if item.get("name") not in names:
            raise invalid(f"Override for container named {item.get('name')} is not a container in the TaskDefinition.")
    if on_fargate and (overrides.get("cpu") or overrides.get("memory")):
        size = task_size(overrides, definition)
        check_fargate_size(size.get("cpu"), size.get("memory"))


def task_size(overrides: dict[str, Any], definition: dict[str, Any]) -> dict[str, str]:
    """Return the task's own cpu and memory: overridden, or the definition's, or the sum of its containers."""
    size = {}
    for member in ("cpu", "memory"):
        if overrides.get(member):
            size[member] = normal_size(overrides[member], member)
        elif definition.get(member):
            size[member] = definition[member]
        else:
            size[member] = str(sum(c.get(member) or 0 for c in definition["containerDefinitions"]))
    return size


def choose_capacity(params: dict[str, Any], cluster: Cluster) -> list[Capacity]:
    """Return, for each task of the request, its launch type and capacity provider."""
    count = params.get("count", 1)
    launch_type = params.get("launchType")
    if launch_type == "MANAGED_INSTANCES":
        raise invalid("MANAGED_INSTANCES needs a capacity provider strategy; do not specify a launch type.")
    if launch_type:
        return [(launch_type, None)] * count
    strategy = params.get("capacityProviderStrategy") or cluster.default_strategy
    if not strategy:
        return [("EC2", None)] * count
    _check_strategy(strategy, cluster)
    names = _spread(strategy, count)
    return [("FARGATE" if name in FARGATE_PROVIDERS else "EC2", name) for name in names]


def _check_strategy(strategy: list[dict[str, Any]], cluster: Cluster) -> None:
    names = [item["capacityProvider"] for item in strategy]
    if any(name not in cluster.capacity_providers for name in names):
        raise invalid(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster."
        )
    if len({name in FARGATE_PROVIDERS for name in names}) > 1:
        raise invalid("A capacity provider strategy cannot contain a mix of capacity providers of different kinds.")
    if sum(1 for item in strategy if item.get("base")) > 1:
        raise invalid("Only one capacity provider in a capacity provider strategy can have a base defined.")
    if not any(item.get("weight") for item in strategy):
        raise invalid("At least one capacity provider in the strategy must have a weight value greater than zero.")
    if any(not 0 <= item.get("weight", 0) <= 1000 for item in strategy):
        raise invalid("The weight of a capacity provider must be between 0 and 1000.")


def _spread(strategy: list[dict[str, Any]], count: int) -> list[str]:
    """Give the base first, then each task to the provider that is furthest behind its weight."""
    given = {item["capacityProvider"]: 0 for item in strategy}
    chosen = [item["capacityProvider"] for item in strategy for _ in range(item.get("base", 0))][:count]
    weighted = [item for item in strategy if item.get("weight")]
    while len(chosen) < count:
        item = min(weighted, key=lambda i: given[i["capacityProvider"]] / i["weight"])
        given[item["capacityProvider"]] += 1
        chosen.append(item["capacityProvider"])
    return chosen


def network_of(params: dict[str, Any], definition: dict[str, Any], launch_type: str) -> dict[str, Any]:
    """Return the awsvpc configuration, which a definition with networkMode awsvpc needs and others must not have."""
    network: dict[str, Any] = params.get("networkConfiguration", {}).get("awsvpcConfiguration", {})
    if definition.get("networkMode") != "awsvpc":
        if network:
            raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")
        return {}
    if not network.get("subnets"):
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    if len(network["subnets"]) > 16:
        raise invalid("subnets can have at most 16 items.")
    if len(network.get("securityGroups", [])) > 5:
        raise invalid("securityGroups can have at most 5 items.")
    if network.get("assignPublicIp") == "ENABLED" and launch_type != "FARGATE":
        raise invalid("Assign public IP is not supported for this launch type.")
    return network
