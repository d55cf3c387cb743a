"""The operations on tasks: run, describe, list, stop, tag."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ecs_block.local.clusters import Cluster, Clusters
from ecs_block.local.definitions import Definitions
from ecs_block.local.faults import ServiceError, client_error, invalid
from ecs_block.local.network import Network
from ecs_block.local.paging import page
from ecs_block.local.run_request import Capacity, check_overrides, check_run, choose_capacity, network_of
from ecs_block.local.task import Task
from ecs_block.local.task_making import TaskMaker
from ecs_block.local.trouble import LaunchFailure, Trouble, launch_error

_HOUR = 3600.0


@dataclass
class _Launch:
    """What a client token is bound to."""

    request: str
    task_ids: list[str]
    failures: list[dict[str, str]] = field(default_factory=list)
    made: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class TaskRules:
    """The knobs that concern tasks' operations."""

    container_instances: bool = True
    stopped_task_retention: float = _HOUR
    missing_seconds: float = 0.0
    logs_complete_at_stop: bool = True


class Tasks:
    """The tasks of one region."""

    def __init__(
        self,
        clusters: Clusters,
        definitions: Definitions,
        network: Network,
        maker: TaskMaker,
        rules: TaskRules,
        trouble: Trouble,
        lock: threading.RLock,
        count_launch: Callable[[str, int], None],
        live: Callable[[Task], None],
        stop_life: Callable[[Task, str], None],
    ) -> None:
        self._clusters = clusters
        self._definitions = definitions
        self._network = network
        self._maker = maker
        self._rules = rules
        self._trouble = trouble
        self._lock = lock
        self._count_launch = count_launch
        self._live = live
        self._stop_life = stop_life
        self._tasks: dict[str, Task] = {}
        self._launches: dict[tuple[str, str], _Launch] = {}

    # --- RunTask

    def run(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer RunTask."""
        check_run(params)
        with self._lock:
            cluster = self._clusters.active(params.get("cluster"))
            known = self._bound(cluster, params)
            if known is not None:
                return known
        # Looking up subnets may import a part of moto: not while others wait for the lock.
        capacity = choose_capacity(params, cluster)
        definition = self._definition(params, capacity[0][0])
        network = network_of(params, definition, capacity[0][0])
        self._network.check(network)
        self._count(capacity, int(params.get("count", 1)))
        with self._lock:
            return self._bound(cluster, params) or self._launch(params, cluster, definition, network, capacity)

    def _count(self, capacity: list[Capacity], count: int) -> None:
        launch_type, provider = capacity[0]
        if launch_type == "FARGATE":
            self._count_launch(provider or "FARGATE", 1)
            self._count_launch(f"{provider or 'FARGATE'} tasks", count)

    def _definition(self, params: dict[str, Any], launch_type: str) -> dict[str, Any]:
        with self._lock:
            definition = self._definitions.find(params["taskDefinition"])
        if definition is None:
            raise client_error("TaskDefinition not found.")
        if definition["status"] != "ACTIVE":
            raise client_error("TaskDefinition is inactive")
        if launch_type == "FARGATE" and "FARGATE" not in definition["compatibilities"]:
            raise invalid("Task definition does not support launch_type FARGATE.")
        if launch_type != "FARGATE" and not self._rules.container_instances:
            raise invalid("No Container Instances were found in your cluster.")
        if launch_type != "FARGATE" and params.get("platformVersion"):
            raise invalid("The platform version must be null when specifying an EC2 launch type.")
        check_overrides(params.get("overrides", {}), definition, launch_type == "FARGATE")
        return definition

    def _launch(
        self,
        params: dict[str, Any],
        cluster: Cluster,
        definition: dict[str, Any],
        network: dict[str, Any],
        capacity: list[Capacity],
    ) -> dict[str, Any]:
        planned = [self._trouble.next_launch(spot=provider == "FARGATE_SPOT") for _, provider in capacity]
        for failure in planned:
            if failure and failure.exception:
                raise launch_error(failure)
        self._forget_old()
        made = [
            self._maker.make(params, cluster, definition, network, choice)
            for choice, failure in zip(capacity, planned, strict=True)
            if failure is None
        ]
        failures = [failure.item() for failure in planned if isinstance(failure, LaunchFailure)]
        for task in made:
            self._tasks[task.id] = task
        if params.get("clientToken"):
            launch = _Launch(_fingerprint(params), [task.id for task in made], failures)
            self._launches[cluster.arn, params["clientToken"]] = launch
        answer = {"tasks": [self._shown(task) for task in made], "failures": failures}
        for task in made:
            self._live(task)
        return answer

    def _bound(self, cluster: Cluster, params: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer for a client token that was used before."""
        launch = self._launches.get((cluster.arn, params.get("clientToken", "")))
        if launch is None or not self._token_valid(launch):
            return None
        tasks = [self._tasks[task_id] for task_id in launch.task_ids if task_id in self._tasks]
        if launch.request != _fingerprint(params):
            raise ServiceError(
                "ConflictException",
                "The RunTask request could not be processed due to conflicts. The provided clientToken is already in "
                "use with a different RunTask request. The resourceIds are the existing task ARNs which are already "
                f"associated with the clientToken {params['clientToken']}.",
                resourceIds=[task.arn for task in tasks],
            )
        shown = [_brief(task) if task.stopped else self._shown(task) for task in tasks]
        return {"tasks": shown, "failures": launch.failures}

    def _token_valid(self, launch: _Launch) -> bool:
        """Hold to the documented life of a token: 24 hours, or an hour after the last of its tasks ended."""
        if time.monotonic() - launch.made > 24 * _HOUR:
            return False
        tasks = [self._tasks.get(task_id) for task_id in launch.task_ids]
        if not tasks:
            return time.monotonic() - launch.made < _HOUR
        return any(task and not self._expired(task, _HOUR) for task in tasks)

    # --- looking

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeTasks."""
        names = params["tasks"]
        if not names:
            raise invalid("Tasks cannot be empty.")
        if len(names) > 100:
            raise invalid("Tasks cannot have more than 100 elements.")
        with_tags = "TAGS" in params.get("include", [])
        with self._lock:
            cluster = self._clusters.get(params.get("cluster"))
            found: list[dict[str, Any]] = []
            failures: list[dict[str, str]] = []
            for name in dict.fromkeys(names):
                task = self._known(cluster, name)
                if task is None or self._too_young(task):
                    failures.append({"arn": self._arn(cluster, name), "reason": "MISSING"})
                else:
                    found.append(self._shown(task, with_tags))
        return {"tasks": found, "failures": failures}

    def list_arns(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListTasks."""
        wanted = params.get("desiredStatus", "RUNNING")
        with self._lock:
            cluster = self._clusters.get(params.get("cluster"))
            self._forget_old()
            found = [
                task.arn
                for task in self._tasks.values()
                if task["desiredStatus"] == wanted and _matches(task, params) and self._listed(cluster, task)
            ]
        arns, more = page(found, params)
        return {"taskArns": arns, **more}

    def _known(self, cluster: Cluster, name: str) -> Task | None:
        task = self._tasks.get(name.rpartition("/")[2])
        if task is None or task.cluster is not cluster or self._expired(task, self._rules.stopped_task_retention):
            return None
        return None if name.startswith("arn:") and name != task.arn else task

    def _arn(self, cluster: Cluster, name: str) -> str:
        return name if name.startswith("arn:") else f"{cluster.arn.replace(':cluster/', ':task/')}/{name}"

    def _listed(self, cluster: Cluster, task: Task) -> bool:
        return self._known(cluster, task.id) is not None and not self._too_young(task)

    def _too_young(self, task: Task) -> bool:
        return time.monotonic() - task.born < self._rules.missing_seconds

    @staticmethod
    def _expired(task: Task, after: float) -> bool:
        return task.stopped_at is not None and time.monotonic() - task.stopped_at > after

    def _forget_old(self) -> None:
        keep = max(self._rules.stopped_task_retention, _HOUR)  # client tokens remember for an hour
        # Oldest first: the first task that is still fresh mostly ends the search.
        for task in list(islice(self._tasks.values(), 100)):
            if self._expired(task, keep):
                del self._tasks[task.id]

    def _shown(self, task: Task, with_tags: bool = True) -> dict[str, Any]:
        return {**task.snapshot(), "tags": task.tags if with_tags else []}

    # --- stopping and tagging

    def stop(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer StopTask."""
        with self._lock:
            cluster = self._clusters.get(params.get("cluster"))
            task = self._known(cluster, params["task"])
            if task is None:
                raise invalid("The referenced task was not found.")
            if not task.stopped:
                task.tags = []
                self._stop_life(task, params.get("reason") or "Task stopped by user")
            return {"task": self._shown(task)}

    def by_arn(self, arn: str) -> Task | None:
        """Find a task by ARN or id, or none."""
        return self._tasks.get(arn.rpartition("/")[2])

    def all(self) -> list[Task]:
        """Return all tasks, oldest first."""
        with self._lock:
            return list(self._tasks.values())

    def count(self, cluster: Cluster) -> tuple[int, int]:
        """Return how many tasks of the cluster run and how many are on their way."""
        statuses = [task.last_status for task in self._tasks.values() if task.cluster is cluster]
        pending = sum(status in ("PROVISIONING", "PENDING", "ACTIVATING") for status in statuses)
        return sum(status != "STOPPED" for status in statuses) - pending, pending

    def definitions_in_use(self) -> set[str]:
        """Return the ARNs of definitions that tasks run."""
        with self._lock:
            return {task["taskDefinitionArn"] for task in self._tasks.values() if not task.stopped}


def _fingerprint(params: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in params.items() if k != "clientToken"}, sort_keys=True)


def _brief(task: Task) -> dict[str, Any]:
    """Show what AWS still tells of a stopped task to a client that repeats its token."""
    return {"taskArn": task.arn, "lastStatus": task.last_status, "desiredStatus": task["desiredStatus"]}


def _matches(task: Task, params: dict[str, Any]) -> bool:
    if params.get("containerInstance") or params.get("serviceName") or params.get("daemonName"):
        return False
    return (
        params.get("family") in (None, task.definition["family"])
        and params.get("startedBy") in (None, task.get("startedBy"))
        and params.get("launchType") in (None, task["launchType"])
    )
