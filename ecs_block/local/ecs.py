"""Amazon ECS: a region of it, and the operations that the local cloud knows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ecs_block.local.clusters import Clusters
from ecs_block.local.definitions import Definitions
from ecs_block.local.faults import ServiceError, invalid, unsupported
from ecs_block.local.lifecycle import Life, Surroundings
from ecs_block.local.model import check_request, service_model
from ecs_block.local.moto_services import MotoServices
from ecs_block.local.network import Network
from ecs_block.local.tags import Tags, check_tags, clean_tags, drop_tags, merge_tags
from ecs_block.local.task import Task
from ecs_block.local.task_making import TaskMaker
from ecs_block.local.tasks import TaskRules, Tasks
from ecs_block.local.trouble import Trouble

Operation = Callable[[dict[str, Any]], dict[str, Any]]


class Region:
    """The ECS resources of one region."""

    def __init__(
        self,
        account_id: str,
        region: str,
        moto: MotoServices,
        rules: TaskRules,
        trouble: Trouble,
        shuffle: bool,
        count_launch: Callable[[str, int], None],
        surroundings: Callable[[str, threading.RLock, Callable[[Task], None]], Surroundings],
    ) -> None:
        self._lock = threading.RLock()
        self._lives: dict[str, Life] = {}
        self._around = surroundings(region, self._lock, self._forget)
        self.definitions = Definitions(account_id, region, self._lock, shuffle)
        self.clusters = Clusters(account_id, region, self._lock, lambda cluster: self.tasks.count(cluster))
        network = Network(moto, region)
        maker = TaskMaker(network, self.definitions.tags, rules.logs_complete_at_stop)
        self.tasks = Tasks(
            self.clusters,
            self.definitions,
            network,
            maker,
            rules,
            trouble,
            self._lock,
            count_launch,
            self._live,
            self._stop,
        )

    def _live(self, task: Task) -> None:
        life = self._lives[task.id] = Life(task, self._around)
        self._around.loop.soon(lambda: self._around.loop.spawn(life.run()))

    def _stop(self, task: Task, reason: str) -> None:
        self.finish(task, "UserInitiated", reason)

    def finish(self, task: Task, stop_code: str, reason: str, *, host_lost: bool = False) -> None:
        """Have a task stop for a reason; nothing if it is stopped already."""
        life = self._lives.get(task.id)
        if life is not None:
            life.finish(stop_code, reason, host_lost=host_lost)

    def _forget(self, task: Task) -> None:
        self._lives.pop(task.id, None)

    def operations(self) -> dict[str, Operation]:
        """Return what the region can do, by the names of ECS."""
        clusters, definitions, tasks = self.clusters, self.definitions, self.tasks
        return {
            "CreateCluster": clusters.create,
            "DescribeClusters": clusters.describe,
            "ListClusters": clusters.list_arns,
            "DeleteCluster": clusters.delete,
            "PutClusterCapacityProviders": clusters.put_capacity_providers,
            "RegisterTaskDefinition": definitions.register,
            "DescribeTaskDefinition": definitions.describe,
            "DeregisterTaskDefinition": definitions.deregister,
            "DeleteTaskDefinitions": lambda params: definitions.delete(params, tasks.definitions_in_use()),
            "ListTaskDefinitions": definitions.list_arns,
            "ListTaskDefinitionFamilies": definitions.list_families,
            "RunTask": tasks.run,
            "DescribeTasks": tasks.describe,
            "ListTasks": tasks.list_arns,
            "StopTask": tasks.stop,
            "ListContainerInstances": lambda params: {"containerInstanceArns": []},
            "ListServices": lambda params: {"serviceArns": []},
            "ListAccountSettings": lambda params: {"settings": []},
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    # --- tags of anything

    def _tag(self, params: dict[str, Any]) -> dict[str, Any]:
        check_tags(params["tags"])
        return self._change_tags(params["resourceArn"], lambda old: merge_tags(old, clean_tags(params["tags"])))

    def _untag(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._change_tags(params["resourceArn"], lambda old: drop_tags(old, params["tagKeys"]))

    def _list_tags(self, params: dict[str, Any]) -> dict[str, Any]:
        found: list[Tags] = []
        self._change_tags(params["resourceArn"], lambda old: found.append(old) or old)  # type: ignore[func-returns-value]
        return {"tags": found[0]}

    def _change_tags(self, arn: str, change: Callable[[Tags], Tags]) -> dict[str, Any]:
        with self._lock:
            if ":task-definition/" in arn and arn in self.definitions.tags:
                self.definitions.tags[arn] = change(self.definitions.tags[arn])
                return {}
            owner = self.clusters.by_arn(arn) if ":cluster/" in arn else self.tasks.by_arn(arn)
            if owner is None:
                raise invalid(f"The specified resource was not found: {arn}")
            owner.tags = change(owner.tags)
            return {}


class Ecs:
    """Amazon ECS in all regions; a region is made when it is first asked for."""

    def __init__(self, make_region: Callable[[str], Region]) -> None:
        self._make_region = make_region
        self._regions: dict[str, tuple[Region, dict[str, Operation]]] = {}
        self._lock = threading.Lock()

    def call(self, operation: str, params: dict[str, Any], region: str) -> dict[str, Any]:
        """Answer an operation in a region."""
        action = self._region(region)[1].get(operation)
        if action is None:
            if operation not in service_model("ecs").operation_names:
                raise ServiceError("UnknownOperationException", f"ecs:{operation}")
            raise unsupported("ecs", operation)
        return action(check_request("ecs", operation, params))

    def _region(self, name: str) -> tuple[Region, dict[str, Operation]]:
        with self._lock:
            if name not in self._regions:
                region = self._make_region(name)
                self._regions[name] = region, region.operations()
            return self._regions[name]

    def regions(self) -> list[Region]:
        """Return the regions that were asked for so far."""
        with self._lock:
            return [region for region, _ in self._regions.values()]
