"""The task metadata endpoint, version 4: where a container may read about itself.

A container has no key to it but the random path that it finds in its environment, as on ECS.
"""

from __future__ import annotations

import json
import secrets
import threading
from typing import Any

from ecs_block.local.server import Reply
from ecs_block.local.task import Container, Task

PREFIX = "/v4/"


class Metadata:
    """The pages of all containers of a cloud."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[str, tuple[Task, Container]] = {}
        self._keys: dict[str, list[str]] = {}  # of each task

    def add(self, task: Task, container: Container) -> str:
        """Return the path of a container's page."""
        key = secrets.token_hex(16)
        with self._lock:
            self._pages[key] = task, container
            self._keys.setdefault(task.id, []).append(key)
        return PREFIX + key

    def forget(self, task: Task) -> None:
        """Remove the pages of a task."""
        with self._lock:
            for key in self._keys.pop(task.id, []):
                del self._pages[key]

    def answer(self, path: str) -> Reply:
        """Answer a request for a container's page, or its task's."""
        key, _, rest = path.removeprefix(PREFIX).strip("/").partition("/")
        found = self._pages.get(key)
        if found is None or rest not in ("", "task"):
            return Reply(404, b"not found")
        task, container = found
        page = _task_page(task) if rest else _container_page(task, container)
        return Reply(200, json.dumps(page).encode(), [("Content-Type", "application/json")])


def _task_page(task: Task) -> dict[str, Any]:
    return {
        "Cluster": task.cluster.arn,
        "TaskARN": task.arn,
        "Family": task.definition["family"],
        "Revision": str(task.definition["revision"]),
        "DesiredStatus": task["desiredStatus"],
        "KnownStatus": task.last_status,
        "AvailabilityZone": task["availabilityZone"],
        "LaunchType": task["launchType"],
        "Containers": [_container_page(task, container) for container in task.containers],
    }


def _container_page(task: Task, container: Container) -> dict[str, Any]:
    return {
        "DockerId": container.wire["runtimeId"],
        "Name": container.name,
        "DockerName": container.name,
        "Image": container.definition["image"],
        "Labels": {
            "com.amazonaws.ecs.cluster": task.cluster.arn,
            "com.amazonaws.ecs.container-name": container.name,
            "com.amazonaws.ecs.task-arn": task.arn,
            "com.amazonaws.ecs.task-definition-family": task.definition["family"],
            "com.amazonaws.ecs.task-definition-version": str(task.definition["revision"]),
        },
        "DesiredStatus": task["desiredStatus"],
        "KnownStatus": container.wire["lastStatus"],
        "ContainerARN": container.wire["containerArn"],
    }
