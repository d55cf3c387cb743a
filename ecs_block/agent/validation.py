"""Prove that an agent's configuration works: its definition registers, and a task of it runs. Nothing of it stays."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ecs_block.task import ECSTask

if TYPE_CHECKING:
    from ecs_block.agent.recipe import Recipe
    from ecs_block.events import Hook
    from ecs_block.plan.result import ECSTaskResult

FAMILY = "ecs-block-check"
COMMAND = ("true",)
LONGEST_RUN = 300  # seconds


async def validate(recipe: Recipe, *, command: Sequence[str] = COMMAND, on_event: Hook | None = None) -> ECSTaskResult:
    """Register the agent's definition, under a family of its own, run a tiny task of it, and deregister it again.

    A definition that is linked is run as it is. Raises what `ECSTask.run` raises, and TaskFailed when the command fails; the
    revision is deregistered, and no task is left, also then.
    """
    task = probe_of(recipe.probe(), command)
    result = await task.arun(on_event=on_event)
    result.raise_for_status()
    return result


def probe_of(task: ECSTask, command: Sequence[str] = COMMAND) -> ECSTask:
    """Give the smallest task that proves the same: one, and soon over."""
    request = {name: value for name, value in task.task_run_request.items() if name != "count"}
    changes: dict[str, Any] = {
        "command": list(command),
        "task_run_request": request,
        "task_run_timeout_seconds": min(task.task_run_timeout_seconds or LONGEST_RUN, LONGEST_RUN),
        "stop_on_interrupt": True,
        "retries_on_interruption": 0,
    }
    if task.task_definition_arn is None:
        # A family of its own: so it is registered for certain, and what is deregistered afterwards is nobody else's.
        changes |= {"family": f"{FAMILY}-{secrets.token_hex(4)}", "auto_deregister_task_definition": True}
    return task.model_copy(update=changes)
