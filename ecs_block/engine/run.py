"""One run from beginning to end. Read this file first.

    prepare   the definition and the request: planned, checked, the definition reused or registered
    launch    RunTask, failures first, exactly once
    outcome   watch the task, show its output, stop it when its time is up; judge how it ended

A run that AWS interrupted (Spot, a lost host) is started again if the block says so. `map` does this for many, `attach` for
a task that somebody else started, `start` leaves the waiting to somebody else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import anyio
from anyio.abc import TaskStatus

from ecs_block.arn import parse_task_identifier
from ecs_block.engine import adopt, once_only
from ecs_block.engine.begin import Beginning, Launched, begin, once
from ecs_block.engine.outcome import Task, outcome_of
from ecs_block.engine.prepare import Run, check_count
from ecs_block.engine.record import known_by
from ecs_block.errors import TaskLaunchFailed
from ecs_block.plan.request import variables_of
from ecs_block.plan.result import ECSTaskResult, combined

Ended = Callable[[int, ECSTaskResult], None]


async def run(run: Run, task_status: TaskStatus[str] | None = None) -> ECSTaskResult:
    """Run the block and return its result; raise what the result's `error` says.

    Raises InvalidTask, PatchError, AwsError, TaskLaunchFailed, TaskStartFailed, TaskStartTimeout, TaskRunTimeout,
    OutcomeUnknown.
    """
    fields = run.fields
    name = run.run_id or (uuid.uuid4().hex if fields.retries_on_interruption else None)
    how = Beginning(started=once(task_status))
    while True:
        run.variables = variables_of(name, how.attempt)
        try:
            result = await _attempt(run, how)
        except anyio.get_cancelled_exc_class():
            await _not_again(run)
            raise
        if result.outcome != "interrupted" or how.attempt > fields.retries_on_interruption:
            break
        if run.record is not None and await run.record.is_to_stop():
            break  # somebody asked for its end; an interruption does not change that
        run.teller.trouble(f"{result.headline()} {result.reason} Attempt {how.attempt + 1} follows.", result.identifier)
        how = replace(how, attempt=how.attempt + 1, on_demand=fields.spot_fallback)
    if result.error is not None:
        raise result.error
    return result


async def _not_again(run: Run) -> None:
    """Note an interrupt, also one between two attempts: another process may be about to make the next one."""
    if run.record is not None and run.stops_on_interrupt:
        with anyio.CancelScope(shield=True):
            await run.record.stop_requested("the run was interrupted")


def _nothing(index: int, result: ECSTaskResult) -> None:
    """Nobody wants to know each result when it is there."""


async def _attempt(run: Run, how: Beginning) -> ECSTaskResult:
    """Launch and wait, unless the journal knows already how this attempt of the run ended."""
    if run.journal is None:
        launched = await begin(run, how)
    else:
        found = await once_only.launched(run, run.journal, how)
        if isinstance(found, ECSTaskResult):
            return found
        launched = found
    try:
        results = await outcomes(launched.tasks)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await _record(run, [task.result for task in launched.tasks])
        raise
    finally:
        await launched.release()
    if how.started is not None and all(result.error is None for result in results):
        how.started(results[0].identifier or "")  # a task that was too quick to be seen running has run all the same
    results += launched.rest
    await _record(run, results)
    return combined(results)


async def _record(run: Run, results: Sequence[ECSTaskResult | None]) -> None:
    known = [result for result in results if result is not None]
    if run.record is not None and len(known) == len(results):
        await run.record.ended(combined(known))


async def outcomes(tasks: Sequence[Task], ended: Ended = _nothing) -> list[ECSTaskResult]:
    """Wait for several tasks at once, and tell of each when it ends; one that ends badly does not end the others."""
    if len(tasks) == 1:
        ended(0, result := await outcome_of(tasks[0]))
        return [result]
    results: list[ECSTaskResult | None] = [None] * len(tasks)

    async def one(index: int) -> None:
        results[index] = result = await outcome_of(tasks[index])
        ended(index, result)

    async with anyio.create_task_group() as group:
        for index in range(len(tasks)):
            group.start_soon(one, index)
    return cast(list[ECSTaskResult], results)


# --- the other verbs ---------------------------------------------------------------------------------------------------


_OWN = ("count", "clientToken")


def may_share(run: Run) -> bool:
    """Tell whether a run may share its RunTask with others that are the same: not if it may need a launch of its own."""
    fields = run.fields
    own = any(name in fields.task_run_request or fields.task_customizations.touches(f"/{name}") for name in _OWN)
    return not (own or run.run_id is not None or fields.retries_on_interruption or fields.spot_fallback)


async def launch_alike(run: Run, count: int) -> Launched:
    """Launch one run as often as `count` says, with one RunTask. Fewer tasks may come of it, but at least one.

    Raises as `run` does until a task is launched.
    """
    return await begin(run, Beginning(alike=count))


async def outcomes_alike(launched: Launched, ended: Ended) -> None:
    """Wait for the tasks of `launch_alike`, and tell each result with its place when it is there."""
    try:
        await outcomes(launched.tasks, ended)
    finally:
        await launched.release()


async def start(run: Run) -> str:
    """Launch a task and return its identifier, without waiting for anything. Raises as `run` does until then."""
    check_count(run.fields)
    run.variables = variables_of(run.run_id, 1)
    if run.journal is None:
        launched = await begin(run, Beginning())
    else:
        found = await once_only.launched(run, run.journal, Beginning())
        if isinstance(found, ECSTaskResult):
            if found.identifier is None:
                raise TaskLaunchFailed(found.reason)
            return found.identifier
        launched = found
    await launched.release()
    return str(launched.tasks[0].identifier)


async def attach(run: Run, identifier: str) -> ECSTaskResult:
    """Wait for a task that somebody else started. Raises InfrastructureNotFound when AWS does not know it."""
    cluster, arn = parse_task_identifier(identifier)
    described = await adopt.known_task(run, cluster, arn)
    record = None if run.journal is None else await known_by(run.journal, arn)
    attempt = 1 if record is None else record.entry.attempt
    task = Task(run, described, cluster, adopt.main_of(run, described), attempt=attempt)
    if run.fields.stream_output or run.fields.container_name is None:
        await adopt.learn_definition(run, task)
    result = await outcome_of(task)
    if record is not None and len(record.entry.tasks) == 1:  # one of several does not speak for the run
        await record.ended(result)
    if result.error is not None:
        raise result.error
    return result
