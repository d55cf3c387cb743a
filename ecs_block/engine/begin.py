"""From a block to tasks that run: prepare, launch, and know each task well enough to judge it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio.abc import TaskStatus

from ecs_block.engine import network, registry
from ecs_block.engine.launch import launch
from ecs_block.engine.order import Diary, Order, identity
from ecs_block.engine.outcome import Task
from ecs_block.engine.prepare import Ready, Run, prepare
from ecs_block.engine.record import identifier_of
from ecs_block.engine.stop import stop
from ecs_block.engine.watch import kept
from ecs_block.errors import AwsError
from ecs_block.plan.result import ECSTaskResult

Started = Callable[[str], None]
Intend = Callable[[Ready], Awaitable[tuple[Diary | None, int]]]
"""Called with what is about to be launched; gives what keeps a diary of the launch, and how many tokens were used before."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a launch is to go, beside what the block says."""

    attempt: int = 1
    on_demand: bool = False
    """Whether to leave Spot."""
    started: Started | None = None
    """Who wants to know that a task has started."""
    alike: int = 1
    """How many runs the launch is for."""
    intend: Intend | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """The tasks of one launch; whoever has it releases the revision when they have ended."""

    revision: registry.Revision | None
    tasks: list[Task]
    rest: tuple[ECSTaskResult, ...] = ()
    """What is to be said of tasks that were asked for, too, and will not be launched any more."""

    async def release(self) -> None:
        """Say that the tasks need their definition no more."""
        if self.revision is not None:
            await registry.release(self.tasks[0].run.conversation, self.revision)


def once(task_status: TaskStatus[str] | None) -> Started | None:
    """Give a function that calls `started` at its first call only: a later attempt must not call it again."""
    if task_status is None:
        return None
    waiting = [task_status]
    return lambda identifier: waiting.pop().started(identifier) if waiting else None


async def begin(run: Run, how: Beginning) -> Launched:
    """Prepare and launch, the definition being held from then on. Raises as `run` does until a task is launched."""
    run.start_by = run.conversation.clock.now() + run.fields.task_start_timeout_seconds
    try:
        return await _try(run, how)
    except _Inactive:
        # Somebody deregistered it between our look and the launch. Nothing was started, so asking once more is safe.
        return await _try(run, how, last=True)


class _Inactive(Exception):
    """RunTask says that the definition is not active any more."""


async def _try(run: Run, how: Beginning, *, last: bool = False) -> Launched:
    ready = await prepare(run, on_demand=how.on_demand)
    if how.alike > 1:
        ready = replace(ready, request={**ready.request, "count": how.alike})
    registry.hold(run.conversation, ready.revision, deregister=run.fields.auto_deregister_task_definition)
    try:
        diary, tokens_used = await how.intend(ready) if how.intend is not None else (None, 0)
        token, started_by = identity(run.run_id, how.attempt, ready.request.get("cluster"))
        order = Order(
            ready.request, ready.fallback, token, started_by, run.start_by,
            partial=how.alike > 1, attempt=how.attempt, tokens_used=tokens_used, diary=diary,
        )  # fmt: skip
        tasks = await send(run, order)
    except BaseException as error:
        await registry.release(run.conversation, ready.revision)
        if _says_inactive(error) and not last:
            registry.forget(run.conversation, ready.revision.arn)
            raise _Inactive from None
        raise
    alone = how.alike > 1 or len(tasks) == 1
    found = [_task(run, ready, task, how, alone=alone) for task in tasks]
    for task in found:
        run.teller.launched(str(task.identifier), ready.revision.arn, how.attempt)
    return Launched(ready.revision, found)


def _says_inactive(error: BaseException) -> bool:
    return isinstance(error, AwsError) and "TaskDefinition is inactive" in error.aws_message


async def send(run: Run, order: Order, known: Sequence[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
    """Send an order, of which some tasks may be known; what was started when the caller goes away is stopped."""
    tasks = list(known)
    try:
        await launch(run.conversation, order, tasks, run.teller.delayed)
    except AwsError as error:
        if "subnet" in error.aws_message.lower():
            network.forget(run.conversation, run.fields.vpc_id)
        raise
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await _undo(run, order, tasks)
        raise
    return tasks


async def _undo(run: Run, order: Order, tasks: list[Mapping[str, Any]]) -> None:
    if not run.stops_on_interrupt:
        return
    reason = "the run was interrupted"
    if order.diary is not None:
        await order.diary.stop_requested(reason)
    for task in tasks:
        await stop(run.conversation, identifier_of(order.request, task), f"ecs_block: {reason}")


def _task(run: Run, ready: Ready, task: Mapping[str, Any], how: Beginning, *, alone: bool) -> Task:
    identifier = identifier_of(ready.request, task)
    started = how.started
    return Task(
        run,
        kept(task),
        identifier.cluster,
        ready.plan.container,
        essential=ready.plan.essential,
        log_options=ready.plan.log_options,
        attempt=how.attempt,
        start_by=run.start_by,
        on_start=None if started is None else lambda: started(str(identifier)),
        output_prefix="" if alone else f"[{identifier.task_arn[-6:]}] ",
    )
