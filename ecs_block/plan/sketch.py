"""The whole plan of a run: the definition and the request that belong together.

`preview` and the run build it here, in the same order; they differ only in what is known: a preview shows a placeholder
where only AWS knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_block.errors import InvalidTask
from ecs_block.plan import capacity as capacities
from ecs_block.plan import definition as definitions
from ecs_block.plan import request as requests
from ecs_block.plan import shape
from ecs_block.plan.capacity import Capacity
from ecs_block.plan.fields import Reveal, TaskFields
from ecs_block.plan.request import Request
from ecs_block.plan.sameness import Definition

AT_RUNTIME = "<registered at runtime>"
REGION = "<region of the client>"


def subnets_placeholder(vpc_id: str | None) -> str:
    """What stands for the subnets until they are looked up."""
    return f"<loaded from {f'VPC {vpc_id}' if vpc_id else 'the default VPC'} at runtime>"


@dataclass(frozen=True)
class Facts:
    """What a plan cannot know by itself, and how it may write secrets."""

    region: str
    default_image: str
    reveal: Reveal
    variables: Mapping[str, str]
    """What the run itself adds to the environment."""


@dataclass(frozen=True)
class Sketch:
    """A definition, its main container and where it runs. `linked` is the definition that it started from at AWS, if any."""

    definition: Definition
    container: str
    capacity: Capacity
    linked: Mapping[str, Any] | None

    @property
    def needs_network(self) -> bool:
        """True when RunTask needs to be told subnets."""
        return self.definition.get("networkMode") == "awsvpc"

    @property
    def essential(self) -> frozenset[str]:
        """The names of the essential containers (AWS's default is essential)."""
        containers = self.definition.get("containerDefinitions") or []
        return frozenset(str(item.get("name")) for item in containers if item.get("essential", True))

    @property
    def log_options(self) -> Mapping[str, str] | None:
        """The `awslogs` options of the main container; None when it has another driver or none."""
        for item in self.definition.get("containerDefinitions") or []:
            logging = item.get("logConfiguration") or {}
            if item.get("name") == self.container and logging.get("logDriver") == "awslogs":
                options: Mapping[str, str] = logging.get("options") or {}
                return options
        return None


def sketch(fields: TaskFields, linked: Mapping[str, Any] | None, facts: Facts, *, on_demand: bool = False) -> Sketch:
    """Prepare the definition; `linked` is the one that `task_definition_arn` names, as AWS described it."""
    base = linked if linked is not None else fields.task_definition
    capacity = capacities.choose(fields, on_demand=on_demand)
    definition = definitions.prepare(
        fields,
        base,
        capacity=capacity,
        region=facts.region,
        default_image=facts.default_image,
        reveal=facts.reveal,
    )
    return Sketch(definition, definitions.main_container_name(fields, base), capacity, linked)


def stand_in(fields: TaskFields) -> dict[str, Any] | None:
    """Stand in for a linked definition, of which only the name is known without AWS."""
    if fields.task_definition_arn is None:
        return None
    capacity = capacities.choose(fields).kind
    return {
        "family": fields.task_definition_arn,
        "containerDefinitions": [{"name": fields.container_name or "<main or first container of the task definition>"}],
        "executionRoleArn": "<read at runtime>",
        "compatibilities": [capacity],
        "networkMode": "awsvpc" if capacity == "FARGATE" else None,
    }


def run_request(
    fields: TaskFields,
    plan: Sketch,
    facts: Facts,
    *,
    task_definition: str = AT_RUNTIME,
    subnets: Sequence[str] | None = None,
) -> Request:
    """Build the run request, with placeholders for what is not known yet."""
    if subnets is None and plan.needs_network:
        subnets = [subnets_placeholder(fields.vpc_id)]
    return requests.build_request(
        fields,
        container=plan.container,
        task_definition=task_definition,
        capacity=plan.capacity,
        subnets=subnets if plan.needs_network else None,
        reveal=facts.reveal,
        variables=facts.variables,
    )


def waits_for_subnets(fields: TaskFields, request: Request) -> bool:
    """Tell whether the request still holds the placeholder for the subnets."""
    awsvpc = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    return subnets_placeholder(fields.vpc_id) in (awsvpc.get("subnets") or [])


def check_definition(definition: Mapping[str, Any], register_shape: Any) -> None:
    """Check a definition against AWS's limits and model. Raises InvalidTask with all problems."""
    _refuse([*shape.problems(definition, register_shape, "task_definition"), *definitions.problems(definition)])


def check_request(request: Mapping[str, Any], run_shape: Any) -> None:
    """Check a run request against AWS's limits and model. Raises InvalidTask with all problems."""
    found = shape.problems(request, run_shape, "the run request")
    _refuse(found or requests.problems(request))


def _refuse(found: Sequence[str]) -> None:
    if found:
        raise InvalidTask("\n".join(found))
