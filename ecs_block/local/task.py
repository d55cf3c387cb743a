"""One task: what DescribeTasks shows of it, and what its life needs to know."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import Any

from ecs_block.local.clusters import Cluster
from ecs_block.local.tags import Tags

# The order of a task's states; a state is never left backwards.
STATES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
)


class Container:
    """One container of a task: its definition with the run's overrides, and its wire form."""

    def __init__(self, definition: dict[str, Any], override: dict[str, Any], task: Task) -> None:
        self.name: str = definition["name"]
        self.definition = definition
        self.override = override
        self.essential: bool = definition.get("essential", True)
        number = secrets.randbelow(10**10)
        self.wire: dict[str, Any] = {
            "containerArn": f"{task.arn.replace(':task/', ':container/')}/{uuid.uuid4()}",
            "taskArn": task.arn,
            "name": self.name,
            "image": definition["image"],
            "runtimeId": f"{task.id}-{number:010d}" if task.on_fargate else secrets.token_hex(32),
            "lastStatus": "PENDING",
            "networkInterfaces": task.interfaces,
            "healthStatus": "UNKNOWN",
            "cpu": str(override.get("cpu", definition.get("cpu", 0))),
        }
        for member in ("memory", "memoryReservation"):
            size = override.get(member, definition.get(member))
            if size is not None:
                self.wire[member] = str(size)

    @property
    def command(self) -> list[str]:
        """What is executed: the entry point, and the run's command or the definition's."""
        arguments = self.override.get("command", self.definition.get("command", []))
        return [*self.definition.get("entryPoint", []), *arguments]


class Task:
    """A task. Its wire form changes under the cloud's lock only, and each change counts up ``version``."""

    def __init__(
        self, task_id: str, arn: str, cluster: Cluster, definition: dict[str, Any], wire: dict[str, Any], tags: Tags
    ) -> None:
        self.id = task_id
        self.arn = arn
        self.cluster = cluster
        self.definition = definition
        self.tags = tags
        self.born = time.monotonic()
        self.stopped_at: float | None = None  # on the monotonic clock
        self.on_fargate = wire["launchType"] == "FARGATE"
        self.interfaces = _interfaces(wire["attachments"])
        overrides = {item["name"]: item for item in wire["overrides"]["containerOverrides"]}
        self.containers = [Container(c, overrides.get(c["name"], {}), self) for c in definition["containerDefinitions"]]
        self._wire = wire
        self._snapshot: dict[str, Any] | None = None

    def __getitem__(self, member: str) -> Any:
        return self._wire[member]

    def get(self, member: str) -> Any:
        """Return a member of the wire form, or None."""
        return self._wire.get(member)

    @property
    def last_status(self) -> str:
        """The state the task is in."""
        return str(self._wire["lastStatus"])

    @property
    def stopped(self) -> bool:
        """Whether the task has come to its end."""
        return self.last_status == "STOPPED"

    def change(self, **members: Any) -> None:
        """Change members of the wire form."""
        self._wire.update(members)
        self._wire["version"] += 1
        self._snapshot = None

    def change_container(self, container: Container, **members: Any) -> None:
        """Change members of a container's wire form."""
        container.wire.update(members)
        self.change()

    def snapshot(self) -> dict[str, Any]:
        """Return the task as DescribeTasks shows it, without tags; never changed afterwards, so shared by readers."""
        if self._snapshot is None:
            self._snapshot = {**self._wire, "containers": [dict(c.wire) for c in self.containers]}
        return self._snapshot


def _interfaces(attachments: list[dict[str, Any]]) -> list[dict[str, str]]:
    found = []
    for attachment in attachments:
        details = {item["name"]: item["value"] for item in attachment["details"]}
        found.append({"attachmentId": attachment["id"], "privateIpv4Address": details["privateIPv4Address"]})
    return found
