"""ARNs, the short names in them, and the identifier `cluster::task_arn`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ecs_block.errors import InvalidTask

DEFAULT_CLUSTER = "default"


class TaskIdentifier(NamedTuple):
    """The two halves of `cluster::task_arn`."""

    cluster: str
    task_arn: str

    def __str__(self) -> str:
        return f"{self.cluster}::{self.task_arn}"


def parse_task_identifier(identifier: str) -> TaskIdentifier:
    """Take `cluster::task_arn` apart.

    A bare task ARN is accepted too: the cluster is the one that it names.

    Raises InvalidTask when it is neither.
    """
    cluster, separator, task = identifier.partition("::")
    if separator and cluster and task and "::" not in task:
        return TaskIdentifier(cluster, task)
    if ":task/" in identifier and not separator:
        return TaskIdentifier(cluster_of(identifier) or DEFAULT_CLUSTER, identifier)
    raise InvalidTask(
        f"{identifier!r} is not a task identifier. Expected 'cluster::task_arn', as start() returns it, or a task ARN."
    )


def short_name(arn: str) -> str:
    """Give the last part of an ARN: the cluster's name, the task's id. A short name is returned as it is."""
    return arn.rsplit("/", 1)[-1] if arn.startswith("arn:") else arn


def cluster_of(task_arn: str) -> str | None:
    """Give the cluster's name that a task ARN holds (None for the old short ARN format, which holds none)."""
    parts = task_arn.split(":task/", 1)[-1].split("/")
    return parts[0] if task_arn.startswith("arn:") and len(parts) == 2 else None


def cluster_arn_of(task_arn: str) -> str | None:
    """Give the ARN of the cluster that a task ARN names (None for the old short ARN format)."""
    name = cluster_of(task_arn)
    return None if name is None else f"{task_arn.split(':task/', 1)[0]}:cluster/{name}"


def same_cluster(one: str, other: str) -> bool:
    """Tell whether two spellings, names or ARNs, mean the same cluster."""
    if one.startswith("arn:") and other.startswith("arn:"):
        return one == other
    return short_name(one) == short_name(other)


def get_container(containers: Iterable[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Find a container by its name; None when it is not there.

    Always by name, never by position: AWS lists containers in any order and adds its own (GuardDuty, Service Connect).
    """
    return next((container for container in containers if container.get("name") == name), None)
