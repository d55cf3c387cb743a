"""One run from beginning to end. Read this file first.

    prepare   the definition and the request: planned, checked, the definition reused or registered
    launch    RunTask, failures first, exactly once
    outcome   watch the task, show its output, stop it when its time is up; judge how it ended

A run that AWS interrupted (Spot, a lost host) is started again if the block says so. `map` does this for many, `attach` for
a task that somebody else started, `start` leaves the waiting to somebody else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import anyio
from anyio.abc import TaskStatus

from ecs_block.arn import TaskIdentifier, cluster_arn_of, get_container, parse_task_identifier
from ecs_block.engine import network, registry
from ecs_block.engine.launch import Order, identity, launch
from ecs_block.engine.outcome import Task, outcome_of
from ecs_block.engine.prepare import Ready, Run, check_count, prepare
from ecs_block.engine.stop import stop
from ecs_block.engine.watch import kept
from ecs_block.errors import AwsError, ClusterNotFound, InfrastructureNotFound, InvalidTask, Kind
from ecs_block.plan.definition import MAIN_CONTAINER
from ecs_block.plan.result import ECSTaskResult, combined

ATTACH_PATIENCE = 10.0  # seconds in which a task that was only just started may not be known yet

Started = Callable[[str], None]
Ended = Callable[[int, ECSTaskResult], None]


async def run(run: Run, task_status: TaskStatus[str] | None = None) -> ECSTaskResult:
    """Run the block and return its result; raise what the result's `error` says.

    Raises InvalidTask, PatchError, AwsError, TaskLaunchFailed, TaskStartFailed, TaskStartTimeout, TaskRunTimeout,
    OutcomeUnknown.
    """
    fields = run.fields
    name = ""
    attempt = 1
    on_demand = False
    while True:
        if run.run_id is not None or fields.retries_on_interruption:
            name = name or run.run_id or uuid.uuid4().hex
            run.variables = {"ECS_BLOCK_RUN_ID": name, "ECS_BLOCK_ATTEMPT": str(attempt)}
        result = await _attempt(run, attempt, on_demand, _once(task_status))
        if result.outcome != "interrupted" or attempt > fields.retries_on_interruption:
            break
        run.teller.trouble(f"{result.headline()} {result.reason} Attempt {attempt + 1} follows.", result.identifier)
        attempt += 1
        on_demand = fields.spot_fallback
    if result.error is not None:
        raise result.error
    return result


def _nobody(identifier: str) -> None:
    """Nobody wants to know that a task has started."""


def _nothing(index: int, result: ECSTaskResult) -> None:
    """Nobody wants to know each result when it is there."""


def _once(task_status: TaskStatus[str] | None) -> Started:
    """Give a function that calls `started` at its first call only: a later attempt must not call it again."""
    if task_status is None:
        return _nobody
    waiting = [task_status]
    return lambda identifier: waiting.pop().started(identifier) if waiting else None


async def _attempt(run: Run, attempt: int, on_demand: bool, started: Started) -> ECSTaskResult:
    launched = await _launched(run, attempt, on_demand=on_demand, started=started)
    try:
        results = await _outcomes(launched.tasks)
    finally:
        await registry.release(run.conversation, launched.revision)
    if all(result.error is None for result in results):
        started(results[0].identifier or "")  # a task that was too quick to be seen running has run all the same
    return combined(results)


@dataclass(frozen=True, slots=True)
class Launched:
    """The tasks of one launch; whoever has it releases the revision when they have ended."""

    revision: registry.Revision
    tasks: list[Task]


async def _launched(
    run: Run, attempt: int, *, on_demand: bool = False, started: Started = _nobody, alike: int = 1
) -> Launched:
    """Prepare and launch, the definition being held from then on; `alike` is for how many runs, if that can be."""
    run.start_by = run.conversation.clock.now() + run.fields.task_start_timeout_seconds
    try:
        return await _try_to_launch(run, attempt, on_demand, started, alike)
    except _Inactive:
        # Somebody deregistered it between our look and the launch. Nothing was started, so asking once more is safe.
        return await _try_to_launch(run, attempt, on_demand, started, alike, last_try=True)


async def _try_to_launch(
    run: Run, attempt: int, on_demand: bool, started: Started, alike: int, *, last_try: bool = False
) -> Launched:
    ready = await prepare(run, on_demand=on_demand)
    if alike > 1:
        ready = replace(ready, request={**ready.request, "count": alike})
    registry.hold(run.conversation, ready.revision, deregister=run.fields.auto_deregister_task_definition)
    try:
        tasks = await _launch(run, ready, attempt, partial=alike > 1, last_try=last_try)
    except BaseException as error:
        await registry.release(run.conversation, ready.revision)
        if isinstance(error, _Inactive):
            registry.forget(run.conversation, ready.revision.arn)
        raise
    alone = alike > 1 or len(tasks) == 1
    found = [_task(run, ready, task, attempt, started, alone=alone) for task in tasks]
    for task in found:
        run.teller.launched(str(task.identifier), ready.revision.arn, attempt)
    return Launched(ready.revision, found)


class _Inactive(Exception):
    """RunTask says that the definition is not active any more."""


async def _launch(
    run: Run, ready: Ready, attempt: int, *, partial: bool = False, last_try: bool = False
) -> list[Mapping[str, Any]]:
    """Launch; what was started when the caller goes away is stopped."""
    token, started_by = identity(run.run_id, attempt, ready.request.get("cluster"))
    order = Order(ready.request, ready.fallback, token, started_by, run.start_by, partial)
    tasks: list[Mapping[str, Any]] = []
    try:
        await launch(run.conversation, order, tasks, run.teller.delayed)
    except AwsError as error:
        if "TaskDefinition is inactive" in error.aws_message and not last_try:
            raise _Inactive from None
        if error.kind is Kind.CONFLICT and run.run_id is not None:
            raise InvalidTask(
                f"run_id {run.run_id!r} was used with another request, for {', '.join(error.resource_ids) or 'another task'}. "
                "Repeat it with the same block, or use another run_id."
            ) from None
        if "subnet" in error.aws_message.lower():
            network.forget(run.conversation, run.fields.vpc_id)
        raise
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            for task in tasks if run.stops_on_interrupt else ():
                await stop(run.conversation, _identifier(ready.request, task), "ecs_block: the run was interrupted")
        raise
    return tasks


def _identifier(request: Mapping[str, Any], task: Mapping[str, Any]) -> TaskIdentifier:
    """Name a task by the cluster as it was given, else by the cluster's ARN."""
    arn = str(task["taskArn"])
    return TaskIdentifier(str(request.get("cluster") or task.get("clusterArn") or cluster_arn_of(arn)), arn)


def _task(run: Run, ready: Ready, task: Mapping[str, Any], attempt: int, started: Started, *, alone: bool) -> Task:
    identifier = _identifier(ready.request, task)
    return Task(
        run,
        kept(task),
        identifier.cluster,
        ready.plan.container,
        essential=ready.plan.essential,
        log_options=ready.plan.log_options,
        attempt=attempt,
        start_by=run.start_by,
        on_start=None if started is _nobody else lambda: started(str(identifier)),
        output_prefix="" if alone else f"[{identifier.task_arn[-6:]}] ",
    )


async def _outcomes(tasks: Sequence[Task], ended: Ended = _nothing) -> list[ECSTaskResult]:
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
    return await _launched(run, 1, alike=count)


async def outcomes_alike(launched: Launched, run: Run, ended: Ended) -> None:
    """Wait for the tasks of `launch_alike`, and tell each result with its place when it is there."""
    try:
        await _outcomes(launched.tasks, ended)
    finally:
        await registry.release(run.conversation, launched.revision)


async def start(run: Run) -> str:
    """Launch a task and return its identifier, without waiting for anything. Raises as `run` does until then."""
    check_count(run.fields)
    launched = await _launched(run, 1)
    await registry.release(run.conversation, launched.revision)
    return str(launched.tasks[0].identifier)


async def attach(run: Run, identifier: str) -> ECSTaskResult:
    """Wait for a task that somebody else started. Raises InfrastructureNotFound when AWS does not know it."""
    cluster, arn = parse_task_identifier(identifier)
    described = await _known_task(run, cluster, arn)
    task = Task(run, described, cluster, _main_of(run, described))
    if run.fields.stream_output or run.fields.container_name is None:
        await _learn_definition(run, task)
    result = await outcome_of(task)
    if result.error is not None:
        raise result.error
    return result


async def _known_task(run: Run, cluster: str, arn: str) -> Mapping[str, Any]:
    deadline = run.conversation.clock.now() + ATTACH_PATIENCE
    while True:
        try:
            answer = await run.conversation.ask("ecs", "DescribeTasks", cluster=cluster, tasks=[arn])
        except ClusterNotFound:
            raise InfrastructureNotFound(
                f"There is no cluster {cluster!r} in region {run.conversation.aws.region}."
            ) from None
        if answer.get("tasks"):
            return cast(Mapping[str, Any], answer["tasks"][0])
        if run.conversation.clock.now() >= deadline:
            raise InfrastructureNotFound(
                f"AWS does not know the task {arn} in the cluster {cluster!r}. It forgets a task about an hour after its end; "
                "otherwise check the region and the account."
            )
        await run.conversation.clock.sleep(1.0)


def _main_of(run: Run, task: Mapping[str, Any]) -> str:
    """Tell which container ran the command: as the block says, else `main`, else the one that was overridden first."""
    if run.fields.container_name:
        return run.fields.container_name
    containers = task.get("containers") or []
    overridden = (task.get("overrides") or {}).get("containerOverrides") or []
    candidates = [
        MAIN_CONTAINER,
        *(str(item.get("name")) for item in overridden),
        *(str(c.get("name")) for c in containers),
    ]
    return next((name for name in candidates if get_container(containers, name)), candidates[-1])


async def _learn_definition(run: Run, task: Task) -> None:
    """Read from the definition which containers are essential and where the output goes."""
    try:
        answer = await run.conversation.ask(
            "ecs", "DescribeTaskDefinition", taskDefinition=task.task["taskDefinitionArn"]
        )
    except AwsError as error:
        run.teller.trouble(
            f"The task's definition cannot be read, so its output is not shown: {error}", str(task.identifier)
        )
        return
    containers = answer["taskDefinition"].get("containerDefinitions") or []
    task.essential = frozenset(str(item["name"]) for item in containers if item.get("essential", True))
    logging = (get_container(containers, task.main) or {}).get("logConfiguration") or {}
    if logging.get("logDriver") == "awslogs":
        task.log_options = logging.get("options") or {}
