"""The flow runs that a worker has in hand, and how each is given up when somebody cancels it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from ecs_block.prefect.configuration import EcsBlockJobConfiguration
from ecs_block.prefect.following import Following

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from ecs_block.engine.prepare import Run

MOST_ASKED = 200  # flow runs that Prefect's API gives at once


@dataclass(eq=False)
class Hand:
    """A flow run in hand."""

    run_id: str
    """Of the scheduling for which it was taken."""
    configuration: EcsBlockJobConfiguration
    following: Following
    run: Run | None = None
    """The engine's run, once it is to be launched."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    is_given_up: bool = False

    async def give_up(self, kill: Callable[..., object]) -> None:
        """Stop its task; where AWS has not accepted one yet, end its launch. Raises Prefect's errors."""
        self.is_given_up = True
        if self.following.identifier:
            await kill(self.following.identifier, self.configuration)  # type: ignore[misc]
            return
        if self.run is not None:
            self.run.stops_on_interrupt = True  # AWS may accept a task in this very moment
        self.scope.cancel()


async def cancelled_among(client: PrefectClient, flow_runs: list[UUID]) -> list[FlowRun]:
    """Give those that somebody has cancelled before their flow began: a flow that runs is ended in its own task."""
    found: list[FlowRun] = []
    types = FlowRunFilterStateType(any_=[StateType.CANCELLING, StateType.CANCELLED])
    for first in range(0, len(flow_runs), MOST_ASKED):
        ids = FlowRunFilterId(any_=flow_runs[first : first + MOST_ASKED])
        wanted = FlowRunFilter(id=ids, state=FlowRunFilterState(type=types))
        found += await client.read_flow_runs(flow_run_filter=wanted, limit=MOST_ASKED)
    return [flow_run for flow_run in found if flow_run.start_time is None]
