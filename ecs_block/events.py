"""What happens in a run, as values for `on_event=`.

A hook is any callable that takes one of these. It is called in the order of what happens, in the thread that runs the event
loop: a slow hook delays what follows. A hook that raises is reported once and never harms the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_block.plan.result import ECSTaskResult


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run."""


@dataclass(frozen=True, slots=True)
class NetworkReady(Event):
    """The subnets are known; `vpc_id` is None for the default VPC. Not told where the block names the network itself."""

    vpc_id: str | None
    subnets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DefinitionReady(Event):
    """The definition is known: `registered` by this run, or reused."""

    task_definition_arn: str
    registered: bool


@dataclass(frozen=True, slots=True)
class LaunchDelayed(Event):
    """RunTask started nothing for now; it is asked again in `delay` seconds."""

    reason: str
    delay: float


@dataclass(frozen=True, slots=True)
class TaskLaunched(Event):
    """AWS accepted the task."""

    identifier: str
    task_definition_arn: str
    attempt: int = 1
    taken_up: bool = False
    """True when the run was begun before, and this task is its."""


@dataclass(frozen=True, slots=True)
class StatusChanged(Event):
    """The task has a new last status; `previous` is None for the first one seen."""

    identifier: str
    status: str
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine(Event):
    """One line of the main container's output."""

    identifier: str
    timestamp: datetime
    message: str


@dataclass(frozen=True, slots=True)
class StopRequested(Event):
    """This run asked AWS to stop the task."""

    identifier: str
    reason: str


@dataclass(frozen=True, slots=True)
class TaskEnded(Event):
    """The task has ended, and its result is known."""

    identifier: str
    result: ECSTaskResult


@dataclass(frozen=True, slots=True)
class Trouble(Event):
    """Something that does not end the run: AWS cannot be read for now, a log line may be missing."""

    message: str
    identifier: str | None = None


Hook = Callable[[Event], object]
"""What `on_event=` takes."""

Progress = Callable[[int, int], object]
"""What `on_progress=` of `map` takes: how many tasks have ended, and how many there are."""
