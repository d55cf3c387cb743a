"""Clusters and their capacity providers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ecs_block.local.faults import ServiceError, client_error, invalid
from ecs_block.local.paging import page
from ecs_block.local.tags import Tags, check_tags, clean_tags

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")
FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")


def cluster_not_found() -> ServiceError:
    """Make the error for a cluster that was never there."""
    return ServiceError("ClusterNotFoundException", "Cluster not found.")


@dataclass
class Cluster:
    """One cluster."""

    name: str
    arn: str
    capacity_providers: list[str] = field(default_factory=list)
    default_strategy: list[dict[str, Any]] = field(default_factory=list)
    settings: list[dict[str, str]] = field(default_factory=lambda: [{"name": "containerInsights", "value": "disabled"}])
    configuration: dict[str, Any] | None = None
    tags: Tags = field(default_factory=list)
    status: str = "ACTIVE"


class Clusters:
    """The clusters of one region; ``default`` is there from the start, with Fargate."""

    def __init__(
        self, account_id: str, region: str, lock: threading.RLock, count_tasks: Callable[[Cluster], tuple[int, int]]
    ) -> None:
        self._prefix = f"arn:aws:ecs:{region}:{account_id}:cluster/"
        self._lock = lock
        self._count_tasks = count_tasks
        self._clusters: dict[str, Cluster] = {}
        self._add("default").capacity_providers.extend(FARGATE_PROVIDERS)

    def _add(self, name: str) -> Cluster:
        self._clusters[name] = Cluster(name, self._prefix + name)
        return self._clusters[name]

    def get(self, reference: str | None) -> Cluster:
        """Find a cluster by name or ARN; none means ``default``."""
        cluster = self._clusters.get(self._name(reference or "default"))
        if cluster is None:
            raise cluster_not_found()
        return cluster

    def active(self, reference: str | None) -> Cluster:
        """Find a cluster in which tasks can be started."""
        cluster = self.get(reference)
        if cluster.status != "ACTIVE":
            raise ServiceError("ClusterNotFoundException", "The referenced cluster was inactive.")
        return cluster

    def _name(self, reference: str) -> str:
        if reference.startswith("arn:") and not reference.startswith(self._prefix):
            raise cluster_not_found()
        return reference.removeprefix(self._prefix)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateCluster; an ACTIVE cluster of that name is the answer as it is."""
        name = params.get("clusterName", "default")
        if not _NAME.match(name):
            raise invalid("Identifier is for cluster. Your identifier is invalid.")
        check_tags(params.get("tags", []))
        with self._lock:
            old = self._clusters.get(name)
            cluster = old if old and old.status == "ACTIVE" else self._add(name)
            if cluster is not old:
                self._set_providers(cluster, params.get("capacityProviders", []), params)
                cluster.settings = params.get("settings") or cluster.settings
                cluster.configuration = params.get("configuration")
                cluster.tags = clean_tags(params.get("tags"))
            return {"cluster": self._shown(cluster, {"TAGS"})}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeClusters."""
        found: list[dict[str, Any]] = []
        failures: list[dict[str, str]] = []
        names = params.get("clusters") or ["default"]
        if len(names) > 100:
            raise invalid("clusters cannot have more than 100 elements")
        with self._lock:
            for name in names:
                try:
                    found.append(self._shown(self.get(name), set(params.get("include", []))))
                except ServiceError:
                    arn = name if name.startswith("arn:") else self._prefix + name
                    failures.append({"arn": arn, "reason": "MISSING"})
        return {"clusters": found, "failures": failures}

    def list_arns(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListClusters."""
        with self._lock:
            arns = [cluster.arn for cluster in self._clusters.values() if cluster.status == "ACTIVE"]
        chosen, more = page(arns, params)
        return {"clusterArns": chosen, **more}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteCluster: an empty cluster becomes INACTIVE."""
        with self._lock:
            cluster = self.get(params["cluster"])
            if any(self._count_tasks(cluster)):
                raise ServiceError(
                    "ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active."
                )
            cluster.status = "INACTIVE"
            return {"cluster": self._shown(cluster, set())}

    def put_capacity_providers(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer PutClusterCapacityProviders."""
        with self._lock:
            cluster = self.active(params["cluster"])
            self._set_providers(cluster, params["capacityProviders"], params)
            return {"cluster": self._shown(cluster, set())}

    def _set_providers(self, cluster: Cluster, providers: list[str], params: dict[str, Any]) -> None:
        for name in providers:
            if name not in FARGATE_PROVIDERS and name.upper().startswith(("AWS", "ECS", "FARGATE")):
                raise invalid("The specified capacity provider name is invalid.")
        strategy = params.get("defaultCapacityProviderStrategy", [])
        if any(item["capacityProvider"] not in providers for item in strategy):
            raise client_error(
                "The default capacity provider strategy cannot contain a capacity provider that is not associated with "
                "the cluster."
            )
        cluster.capacity_providers = list(providers)
        cluster.default_strategy = [{"weight": 0, "base": 0, **item} for item in strategy]

    def _shown(self, cluster: Cluster, include: set[str]) -> dict[str, Any]:
        running, pending = self._count_tasks(cluster)
        shown: dict[str, Any] = {
            "clusterArn": cluster.arn,
            "clusterName": cluster.name,
            "status": cluster.status,
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "activeServicesCount": 0,
            "statistics": [],
            "tags": cluster.tags if "TAGS" in include else [],
            "settings": cluster.settings if "SETTINGS" in include else [],
            "capacityProviders": cluster.capacity_providers,
            "defaultCapacityProviderStrategy": cluster.default_strategy,
        }
        if cluster.configuration and "CONFIGURATIONS" in include:
            shown["configuration"] = cluster.configuration
        return shown

    def by_arn(self, arn: str) -> Cluster | None:
        """Find a cluster, or none."""
        return self._clusters.get(arn.removeprefix(self._prefix))
