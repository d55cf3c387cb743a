"""RunTask: failures first, and never two tasks where one was asked for.

RunTask answers 200 and a list of `failures` where it started nothing, or only some of the tasks. And an answer can be lost:
then the same request is sent again with the same client token, for which AWS gives the task that it has started already
(developer guide, "Ensuring idempotency"). A token that brought only failures is used up: the next try has a new one, after a
look for a task that was started all the same.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Protocol

import anyio
from anyio.lowlevel import RunVar

from ecs_block.arn import DEFAULT_CLUSTER, short_name
from ecs_block.aws import THREADS
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.failpoint import reached
from ecs_block.errors import AwsError, InvalidTask, Kind, OutcomeUnknown, TaskLaunchFailed
from ecs_block.plan.advice import advice_for
from ecs_block.plan.request import Request, attempt_of

logger = logging.getLogger("ecs_block")

LAUNCHES_AT_ONCE = 2 * THREADS  # some wait for a thread, so that none is idle while the event loop is busy
LONGEST_STARTED_BY = 128  # characters
DESCRIBED_WITHIN = 60.0  # seconds for which DescribeTasks may not know a task that ListTasks knows
LISTED_WITHIN = 10.0  # seconds after which ListTasks surely knows a task that RunTask started
TOKEN_LIFE = 55 * 60.0  # seconds; AWS keeps a token for an hour after its task has ended, so this is surely within it

# Reasons in `failures` that may pass (API failure reasons): no room now, an agent away, no Fargate or Spot capacity.
_PASSING = re.compile(
    r"^RESOURCE:|^AGENT\b|Capacity is unavailable|EMPTY CAPACITY PROVIDER|NO ACTIVE INSTANCES|reached the limit on the number",
    re.IGNORECASE,
)
_CAPACITY = re.compile(r"Capacity is unavailable", re.IGNORECASE)

Delayed = Callable[[str, float], None]


class Diary(Protocol):
    """Who keeps a diary of a launch, on disk, so that another process can finish it. Each entry is made before the deed."""

    async def sending(self, request: Request, token: str, tokens_used: int) -> None:
        """Note a RunTask that is about to be sent. Raises JournalError, and then nothing is sent."""

    async def launched(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Note the tasks that RunTask gave."""

    async def refused(self, reason: str) -> None:
        """Note that nothing was started, and that AWS will start nothing."""

    async def stop_requested(self, reason: str) -> None:
        """Note that the run is to end: nothing may be started for it any more."""


@dataclass(frozen=True)
class Order:
    """What is to be launched, under which identity, until when (on the conversation's clock)."""

    request: Request
    fallback: Request | None
    """What to send instead once Spot has no capacity."""
    client_token: str
    started_by: str
    deadline: float
    partial: bool = False
    """Whether a part of the tasks is welcome, the rest being launched otherwise."""
    attempt: int = 1
    """Which attempt of the run it is."""
    tokens_used: int = 0
    """How many tokens of this attempt have brought only failures before."""
    diary: Diary | None = None
    doubt: bool = False
    """Whether it may have been sent before, so that a refusal proves nothing."""


_launches = itertools.count(1)


@cache
def _process_part(process: int) -> str:
    """The random part of a process's tokens. One for all: the system's randomness is slow to ask for."""
    return uuid.uuid4().hex


def identity(run_id: str | None, attempt: int, cluster: str | None) -> tuple[str, str]:
    """Make the client token and the `startedBy` of one attempt.

    With a run id they are made of it, so that a second launch of the same attempt is the same launch to AWS; a token counts
    within a cluster. Without one they are new.
    """
    if run_id is None:
        token = f"{_process_part(os.getpid())}-{next(_launches)}"
        return token, f"ecs-block/{token}"
    name = f"{short_name(cluster or DEFAULT_CLUSTER)}\n{run_id}\n{attempt}"
    return hashlib.sha256(name.encode()).hexdigest()[:56], run_id


def check_run_id(run_id: str) -> None:
    """Refuse a run id that cannot be a task's `startedBy` (API reference, RunTask). Raises InvalidTask."""
    refused = sorted(set(re.findall(r"[^a-zA-Z0-9_/-]", run_id)))
    if refused:
        raise InvalidTask(
            f"run_id {run_id!r} holds {', '.join(map(repr, refused))}, which AWS refuses in startedBy; use letters, digits, "
            "'-', '_' and '/'."
        )
    if not 0 < len(run_id) <= LONGEST_STARTED_BY:
        raise InvalidTask(f"run_id has {len(run_id)} characters; AWS accepts 1 to {LONGEST_STARTED_BY} in startedBy.")


async def launch(conversation: Conversation, order: Order, started: list[Mapping[str, Any]], delayed: Delayed) -> None:
    """Start the tasks of one order and append them to `started` as RunTask gave them.

    The list is filled as soon as AWS has answered, so that a caller who is cancelled knows what there is to stop. Raises
    TaskLaunchFailed with every reason, OutcomeUnknown when no answer came and nothing tells whether a task was started,
    AwsError when AWS refuses the request itself, JournalError when the diary cannot be kept.
    """
    try:
        await _launch(conversation, order, started, delayed)
    except (TaskLaunchFailed, AwsError) as error:
        if order.diary is not None:
            await order.diary.refused(str(error))
        raise


async def _launch(conversation: Conversation, order: Order, started: list[Mapping[str, Any]], delayed: Delayed) -> None:
    wanted = int(order.request.get("count", 1))
    attempt = order.tokens_used
    while True:
        part = _part(order, attempt, wanted - len(started), wanted)
        if order.diary is not None:
            await order.diary.sending(part.request, part.client_token, attempt + 1)
        reached("sending")
        answer = await _answered(conversation, part, started, delayed)
        reached("answered")
        started += answer.get("tasks") or []
        if order.diary is not None and started:
            with anyio.CancelScope(shield=True):
                await order.diary.launched(started)
        reasons = _reasons(answer.get("failures") or [])
        if started and order.partial and reasons:
            started += await _found_after_all(conversation, order, started)
        if len(started) >= wanted or (started and order.partial):
            return
        if order.fallback is not None and any(map(_CAPACITY.search, reasons)):
            started += await _found_after_all(conversation, order, started)
            if len(started) >= wanted:
                return
            logger.info("Spot has no capacity; on-demand FARGATE is used instead.")
            order = replace(order, request=order.fallback, fallback=None)
            attempt += 1
            continue
        pause = backoff(attempt, conversation.clock, first=2.0, most=60.0)
        passing = bool(reasons) and all(map(_PASSING.search, reasons))
        if not passing or conversation.clock.now() + pause > order.deadline:
            await _give_up(conversation, order, started, reasons)  # raises
        delayed("; ".join(reasons), pause)
        await conversation.clock.sleep(pause)
        started += await _found_after_all(conversation, order, started)
        if len(started) >= wanted:
            return
        attempt += 1
        order = replace(order, doubt=False)


def _part(order: Order, attempt: int, missing: int, wanted: int) -> Order:
    """Give the order of one try: a token of its own, and only for what is still missing."""
    token = token_of(order.client_token, attempt)
    request = order.request if missing == wanted else {**order.request, "count": missing}
    return replace(order, client_token=token, request=request)


def token_of(base: str, used: int) -> str:
    """Give the client token that follows so many used ones; at most 64 characters (API reference, RunTask)."""
    return base if used == 0 else f"{base[:58]}-{used + 1}"


async def _answered(
    conversation: Conversation, order: Order, started: list[Mapping[str, Any]], delayed: Delayed
) -> dict[str, Any]:
    """Send one RunTask until it is answered. Every sending has the same token, so all of them start the same tasks."""
    sent_at = conversation.clock.now(), conversation.clock.wall()
    until = min(order.deadline, sent_at[0] + TOKEN_LIFE)
    doubt = order.doubt
    attempt = 0
    while True:
        try:
            async with _slots(conversation):
                return await conversation.call(
                    "ecs",
                    "RunTask",
                    **{"startedBy": order.started_by, **order.request, "clientToken": order.client_token},
                )
        except AwsError as error:
            if not error.temporary:
                if doubt:
                    return await _evidence(conversation, order, error)
                raise
            doubt = doubt or error.kind is Kind.TRANSIENT
            pause = backoff(attempt, conversation.clock, first=1.0, most=20.0)
            if conversation.clock.now() + pause > until or _slept(conversation, sent_at[1]):
                if doubt:
                    return await _evidence(conversation, order, error)
                raise
            delayed(str(error), pause)
            try:
                await conversation.clock.sleep(pause)
            except anyio.get_cancelled_exc_class():
                if doubt:
                    with anyio.CancelScope(shield=True):
                        started += await _seen_soon(conversation, order)
                raise
            attempt += 1


def _slept(conversation: Conversation, sent_at: datetime) -> bool:
    """Tell whether the token is too old though the clock did not see it: a laptop that slept has a clock that did too."""
    return (conversation.clock.wall() - sent_at).total_seconds() > TOKEN_LIFE


_slots_of_loop: RunVar[dict[tuple[Any, ...], anyio.Semaphore]] = RunVar("ecs_block_launch_slots")


def _slots(conversation: Conversation) -> anyio.Semaphore:
    """Let a few launches of an event loop be under way at once.

    The others wait here and not for a thread: so looks and logs soon find one, and a launch hears of a throttle before it is
    sent.
    """
    try:
        known = _slots_of_loop.get()
    except LookupError:
        known = {}
        _slots_of_loop.set(known)
    return known.setdefault(conversation.aws.key, anyio.Semaphore(LAUNCHES_AT_ONCE))


async def _evidence(conversation: Conversation, order: Order, error: AwsError) -> dict[str, Any]:
    """Look for a task of a request whose answers were all lost. Raises OutcomeUnknown when there is none to be seen."""
    tasks = await _seen_soon(conversation, order)
    if tasks:
        return {"tasks": tasks, "failures": []}
    raise OutcomeUnknown(
        f"Nobody knows whether a task was started: RunTask was sent, and no answer came ({error}) No task with startedBy "
        f"{_started_by_value(order)} can be seen. Look again with `aws ecs list-tasks --started-by "
        f"{_started_by_value(order)}` before you start another one."
    )


async def seen(conversation: Conversation, order: Order) -> list[Mapping[str, Any]]:
    """List the tasks of this attempt that bear the order's own `startedBy`, as far as AWS can be asked."""
    try:
        return await listed(conversation, order)
    except AwsError:
        return []


async def listed(conversation: Conversation, order: Order) -> list[Mapping[str, Any]]:
    """List the tasks of this attempt that bear the order's own `startedBy`. Raises AwsError when AWS cannot be asked."""
    if _started_by_value(order) != order.started_by:
        return []  # a startedBy of the user's own may be shared by other tasks, and proves nothing
    tasks = await _started_by(conversation, order)
    return [task for task in tasks if attempt_of(task) in (None, str(order.attempt))]


async def _found_after_all(
    conversation: Conversation, order: Order, known: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Find tasks that were started although RunTask reported failures, which AWS has been seen to do."""
    found = await seen(conversation, order)
    arns = {task["taskArn"] for task in known}
    return [task for task in found if task["taskArn"] not in arns]


async def _seen_soon(conversation: Conversation, order: Order) -> list[Mapping[str, Any]]:
    """List the order's tasks; a task that was only just started may not be listed yet."""
    until = conversation.clock.now() + LISTED_WITHIN
    while True:
        tasks = await seen(conversation, order)
        if tasks or conversation.clock.now() >= until or _started_by_value(order) != order.started_by:
            return tasks
        await conversation.clock.sleep(1.0)


def _started_by_value(order: Order) -> str:
    return str(order.request.get("startedBy", order.started_by))


async def _started_by(conversation: Conversation, order: Order) -> list[Mapping[str, Any]]:
    """List the tasks, running or ended, that bear the order's `startedBy`."""
    cluster = order.request.get("cluster", DEFAULT_CLUSTER)
    arns: list[str] = []
    for status in ("RUNNING", "STOPPED"):
        answer = await conversation.ask(
            "ecs", "ListTasks", cluster=cluster, startedBy=_started_by_value(order), desiredStatus=status
        )
        arns += answer["taskArns"]
    if not arns:
        return []
    return await _described(conversation, cluster, arns[:100])


async def _described(conversation: Conversation, cluster: str, arns: Sequence[str]) -> list[Mapping[str, Any]]:
    """Describe tasks that AWS has listed. They exist, even while it says that they are MISSING."""
    until = conversation.clock.now() + DESCRIBED_WITHIN
    attempt = 0
    while True:
        answer = await conversation.ask("ecs", "DescribeTasks", cluster=cluster, tasks=list(arns))
        found: list[Mapping[str, Any]] = list(answer.get("tasks") or [])
        missing = set(arns) - {task["taskArn"] for task in found}
        pause = backoff(attempt, conversation.clock, first=1.0, most=5.0)
        if not missing or conversation.clock.now() + pause > until:
            return [*found, *({"taskArn": arn} for arn in sorted(missing))]
        await conversation.clock.sleep(pause)
        attempt += 1


async def _give_up(
    conversation: Conversation, order: Order, started: Sequence[Mapping[str, Any]], reasons: Sequence[str]
) -> None:
    for task in started:  # a part of the tasks is not what was asked for
        await conversation.ask(
            "ecs",
            "StopTask",
            cluster=order.request.get("cluster", DEFAULT_CLUSTER),
            task=task["taskArn"],
            reason="ecs_block: not all tasks of the request could be started",
        )
    told = "; ".join(reasons) or "AWS gave no reason"
    advice = advice_for(told)
    message = f"No task was started: {told}."
    if started:
        message = f"Only {len(started)} of the tasks were started, and stopped again: {told}."
    raise TaskLaunchFailed(f"{message} {advice or ''}".strip(), reasons=tuple(reasons), advice=advice)


def _reasons(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give every distinct reason, with its detail."""
    told = (
        f"{item.get('reason', 'no reason given')}{' (' + item['detail'] + ')' if item.get('detail') else ''}"
        for item in failures
    )
    return list(dict.fromkeys(told))
