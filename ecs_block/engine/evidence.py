"""What AWS itself shows of a launch whose answer is missing, or says less than the truth.

A task is told by its `startedBy` and its attempt; and in a conflict AWS says which tasks bear the client token.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ecs_block.aws import output_only
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.order import Order
from ecs_block.errors import AwsError, InvalidTask
from ecs_block.plan import sameness
from ecs_block.plan.request import attempt_of

logger = logging.getLogger("ecs_block")

DESCRIBED_WITHIN = 60.0  # seconds for which DescribeTasks may not know a task that ListTasks knows
LISTED_WITHIN = 10.0  # seconds after which ListTasks surely knows a task that RunTask started

Tasks = list[Mapping[str, Any]]


# --- by startedBy ------------------------------------------------------------------------------------------------------


async def listed(conversation: Conversation, order: Order, *, patience: float | None = None) -> Tasks:
    """List the tasks of this attempt that bear the order's own `startedBy`.

    Raises AwsError when AWS cannot be asked, for so many seconds if they are given.
    """
    if not order.is_marked:
        return []
    tasks = await _started_by(conversation, order, patience)
    return [task for task in tasks if attempt_of(task) in (None, str(order.attempt))]


async def seen(conversation: Conversation, order: Order, known: Sequence[Mapping[str, Any]] = ()) -> Tasks:
    """List the order's tasks beside those that are known, as far as AWS can be asked."""
    try:
        return new_among(await listed(conversation, order), known)
    except AwsError:
        return []


async def seen_soon(conversation: Conversation, order: Order, known: Sequence[Mapping[str, Any]] = ()) -> Tasks:
    """List the order's tasks beside those that are known, as far as AWS can be asked, until all could be listed."""
    return await _soon(conversation, order, lambda: seen(conversation, order, known))


async def listed_soon(conversation: Conversation, order: Order, known: Sequence[Mapping[str, Any]] = ()) -> Tasks:
    """List the order's tasks beside those that are known until all could be listed. Raises AwsError."""

    async def look() -> Tasks:
        return new_among(await listed(conversation, order), known)

    return await _soon(conversation, order, look)


async def _soon(conversation: Conversation, order: Order, look: Callable[[], Awaitable[Tasks]]) -> Tasks:
    """Look for the order's tasks for a while: what was only just started may not be listed yet."""
    until = conversation.clock.now() + LISTED_WITHIN
    while True:
        tasks = await look()
        if len(tasks) >= order.count or conversation.clock.now() >= until or not order.is_marked:
            return tasks
        await conversation.clock.sleep(1.0)


def new_among(tasks: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> Tasks:
    """Give those of the tasks that are not known."""
    arns = {task["taskArn"] for task in known}
    return [task for task in tasks if task["taskArn"] not in arns]


async def _started_by(conversation: Conversation, order: Order, patience: float | None) -> Tasks:
    """List the tasks, running or ended, that bear the order's `startedBy`."""
    arns: list[str] = []
    for status in ("RUNNING", "STOPPED"):
        answer = await conversation.ask(
            "ecs", "ListTasks", patience=patience, cluster=order.cluster, startedBy=order.mark, desiredStatus=status
        )
        arns += answer["taskArns"]
    return await _described(conversation, order.cluster, arns[:100], patience) if arns else []


async def _described(
    conversation: Conversation, cluster: str, arns: Sequence[str], patience: float | None = None
) -> Tasks:
    """Describe tasks that AWS has listed. They exist, even while it says that they are MISSING."""
    until = conversation.clock.now() + DESCRIBED_WITHIN
    attempt = 0
    while True:
        answer = await conversation.ask("ecs", "DescribeTasks", patience=patience, cluster=cluster, tasks=list(arns))
        found: Tasks = list(answer.get("tasks") or [])
        missing = set(arns) - {task["taskArn"] for task in found}
        pause = backoff(attempt, conversation.clock, first=1.0, most=5.0)
        if not missing or conversation.clock.now() + pause > until:
            return [*found, *({"taskArn": arn} for arn in sorted(missing))]
        await conversation.clock.sleep(pause)
        attempt += 1


# --- launched by somebody else -----------------------------------------------------------------------------------------


async def launched_before(conversation: Conversation, order: Order) -> Tasks:
    """Give the tasks that another machine has launched for this attempt already.

    Raises InvalidTask, with what differs, where they run something else, and AwsError when AWS cannot be asked.
    """
    tasks = await listed(conversation, order)
    if tasks:  # of several, it may be a part
        await _check_same(conversation, order, tasks)
    return tasks


async def bearers(conversation: Conversation, order: Order, conflict: AwsError) -> Tasks:
    """Give the tasks that bear the order's token though their request was another one, if they run what is asked for here.

    Machines that share no journal and register the same new definition at the same moment get a revision each, and then
    their requests differ in nothing else. Raises InvalidTask, with what differs, where they run something else.
    """
    arns = list(conflict.resource_ids)
    if not arns:
        raise _another_request(order, [], ["a way that AWS does not tell"])
    if len(arns) != order.count:
        raise _another_request(order, arns, [f"count: {len(arns)} instead of {order.count}"])
    tasks = await _described(conversation, order.cluster, arns)
    await _check_same(conversation, order, tasks)
    return tasks


async def _check_same(conversation: Conversation, order: Order, tasks: Tasks) -> None:
    differ = [difference for task in tasks for difference in await _differences(conversation, order, task)]
    if len(tasks) > order.total:
        differ.append(f"count: {len(tasks)} instead of {order.total}")
    if differ:
        raise _another_request(order, [str(task["taskArn"]) for task in tasks], differ)
    logger.info("Another machine has launched %s already; its task is taken up.", order.mark)


def _another_request(order: Order, arns: Sequence[str], differ: Sequence[str]) -> InvalidTask:
    return InvalidTask(
        f"run_id {order.started_by!r} was used with another request, for {', '.join(arns) or 'another task'}; it differs "
        f"in {', '.join(list(dict.fromkeys(differ))[:5])}. Repeat it with the same block, or use another run_id."
    )


async def _differences(conversation: Conversation, order: Order, task: Mapping[str, Any]) -> list[str]:
    """List in what a task is not what the order asks for, without values."""
    if "overrides" not in task:
        return ["a task that AWS does not show any more"]
    found = [] if task.get("startedBy") == order.mark else ["startedBy"]
    asked = order.request.get("overrides") or {}
    found += sameness.differences_of(sameness.settled(task["overrides"]), sameness.settled(asked))
    theirs, ours = str(task["taskDefinitionArn"]), str(order.request["taskDefinition"])
    if theirs != ours:
        one, other = [await _definition(conversation, arn) for arn in (theirs, ours)]
        found += sameness.differences(one, other, {*output_only(), "family"})
    return found


async def _definition(conversation: Conversation, arn: str) -> Mapping[str, Any]:
    answer = await conversation.ask("ecs", "DescribeTaskDefinition", taskDefinition=arn)
    described: Mapping[str, Any] = answer["taskDefinition"]
    return described
