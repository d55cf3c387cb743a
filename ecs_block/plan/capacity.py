"""Where the task runs: the launch type or the capacity provider strategy of the request, and what it asks of the definition.

RunTask takes a launch type or a strategy, never both (API reference, RunTask). A typed `launch_type` that was set wins over
both in `task_run_request`; the default one gives way to either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ecs_block.plan.fields import TaskFields

FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})


@dataclass(frozen=True)
class Capacity:
    """What RunTask gets (`launch_type` or `strategy`, or neither) and the `kind` that shapes the definition (None: unknown)."""

    launch_type: str | None
    strategy: tuple[Mapping[str, Any], ...]
    kind: str | None

    @property
    def is_fargate(self) -> bool:
        """True for FARGATE and FARGATE_SPOT."""
        return self.kind == "FARGATE"

    @property
    def is_spot(self) -> bool:
        """True when Spot capacity may be used."""
        return any(item.get("capacityProvider") == "FARGATE_SPOT" for item in self.strategy)

    def request(self) -> dict[str, Any]:
        """Give the members of the run request."""
        if self.strategy:
            return {"capacityProviderStrategy": [dict(item) for item in self.strategy]}
        return {"launchType": self.launch_type} if self.launch_type else {}


def choose(fields: TaskFields, *, on_demand: bool = False) -> Capacity:
    """Decide the capacity of a run; `on_demand` replaces Spot by FARGATE (the fallback after an interruption)."""
    capacity = _chosen(fields)
    if on_demand and capacity.is_spot:
        return Capacity("FARGATE", (), "FARGATE")
    return capacity


def _chosen(fields: TaskFields) -> Capacity:
    request = fields.task_run_request
    given_type = request.get("launchType")
    given_strategy = tuple(request.get("capacityProviderStrategy") or ())
    launch_type = fields.launch_type
    if launch_type == "MANAGED_INSTANCES":
        return Capacity(None, given_strategy, launch_type)
    gives_way = launch_type is None or "launch_type" not in fields.model_fields_set
    if gives_way and given_strategy:
        return Capacity(None, given_strategy, _kind_of(given_strategy))
    if gives_way and given_type:
        return Capacity(given_type, (), given_type)
    if launch_type == "FARGATE_SPOT":
        return Capacity(None, ({"capacityProvider": "FARGATE_SPOT", "weight": 1},), "FARGATE")
    return Capacity(launch_type, (), launch_type or _kind_of_definition(fields.task_definition))


def _kind_of(strategy: tuple[Mapping[str, Any], ...]) -> str | None:
    providers = {str(item.get("capacityProvider")) for item in strategy}
    return "FARGATE" if providers and providers <= FARGATE_PROVIDERS else None


def _kind_of_definition(definition: Mapping[str, Any] | None) -> str | None:
    """Guess from the definition what the cluster's own choice will be like; a cluster's default cannot be seen from here."""
    compatible = (definition or {}).get("requiresCompatibilities") or []
    return "FARGATE" if "FARGATE" in compatible else None
