"""botocore's model of ECS: what RunTask and RegisterTaskDefinition take and give."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def ecs_model() -> Any:
    """Load botocore's model of ECS: what RunTask and RegisterTaskDefinition take and give."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")


def input_shape(operation: str) -> Any:
    """Give the shape of what an ECS operation takes."""
    return ecs_model().operation_model(operation).input_shape


@cache
def output_only() -> frozenset[str]:
    """The members of a task definition that only AWS writes: in its shape, but not among what can be registered."""
    return frozenset(ecs_model().shape_for("TaskDefinition").members) - frozenset(
        input_shape("RegisterTaskDefinition").members
    )
