"""RunTask: failures first, and never two tasks where one was asked for.

RunTask answers 200 and a list of `failures` where it started nothing, or only some of the tasks. And an answer can be lost:
then the same request is sent again with the same client token, for which AWS gives the task that it has started already
(developer guide, "Ensuring idempotency"). A token that brought only failures is used up: the next try has a new one, after a
look for a task that was started all the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
from anyio.lowlevel import RunVar

from ecs_block.arn import TaskIdentifier
from ecs_block.aws import THREADS
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.evidence import Tasks, bearers, launched_before, listed, new_among, seen_soon
from ecs_block.engine.failpoint import reached
from ecs_block.engine.order import TOKEN_LIFE, Order, token_of
from ecs_block.engine.stop import stop
from ecs_block.errors import AwsError, EcsBlockError, InvalidTask, Kind, OutcomeUnknown, TaskLaunchFailed
from ecs_block.plan.advice import advice_for

logger = logging.getLogger("ecs_block")

LAUNCHES_AT_ONCE = 2 * THREADS  # some wait for a thread, so that none is idle while the event loop is busy

# Reasons in `failures` that may pass (API failure reasons): no room now, an agent away, no Fargate or Spot capacity.
_PASSING = re.compile(
    r"^RESOURCE:|^AGENT\b|Capacity is unavailable|EMPTY CAPACITY PROVIDER|NO ACTIVE INSTANCES|reached the limit on the number",
    re.IGNORECASE,
)
_CAPACITY = re.compile(r"Capacity is unavailable", re.IGNORECASE)

Delayed = Callable[[str, float], None]


async def launch(conversation: Conversation, order: Order, started: Tasks, delayed: Delayed) -> None:
    """Start the tasks of one order and append them to `started`, which may hold those that an earlier process has started.

    The list is filled as soon as AWS has answered, so that a caller who is cancelled knows what there is to stop. When it
    fails, a part that was started is stopped again. Raises TaskLaunchFailed with every reason, OutcomeUnknown when no answer
    came and nothing tells whether a task was started, InvalidTask when the token was used for something else, AwsError when
    AWS refuses the request itself, JournalError when the diary cannot be kept.
    """
    try:
        await _Launch(conversation, order, started, delayed).to_its_end()
    except EcsBlockError as error:
        await _failed(conversation, order, started, error)
        raise


async def _failed(
    conversation: Conversation, order: Order, started: Sequence[Mapping[str, Any]], error: EcsBlockError
) -> None:
    """Stop the part that was started: it is not what was asked for. Note a refusal that is sure."""
    diary = order.diary
    if started:
        reason = "not all tasks of the request could be started"
        if diary is not None:
            await diary.stop_requested(reason)
        for task in started:
            await _stop(conversation, TaskIdentifier(order.cluster, task["taskArn"]), reason)
    elif diary is not None and isinstance(error, TaskLaunchFailed | AwsError | InvalidTask):
        await diary.refused(str(error))


async def _stop(conversation: Conversation, task: TaskIdentifier, reason: str) -> None:
    try:
        await stop(conversation, task, f"ecs_block: {reason}")
    except AwsError as error:  # why the launch failed counts for more
        logger.warning("Task %s could not be stopped: %s", task, error)


class _Launch:
    """One launch under way: what was started so far, and what the next RunTask is to say."""

    def __init__(self, conversation: Conversation, order: Order, started: Tasks, delayed: Delayed) -> None:
        self._conversation = conversation
        self._clock = conversation.clock
        self._order = order
        self._wanted = order.total
        self._started = started
        self._delayed = delayed
        self._tokens_used = order.tokens_used

    async def to_its_end(self) -> None:
        """Send RunTask, with a new token each time, until all is started that is wanted, or there is no hope."""
        if self._tokens_used and self._order.diary is not None:
            # A machine with a journal of its own may have had more luck with an earlier token than this one.
            await self._know(await launched_before(self._conversation, self._order))
        while not self._complete:
            reasons = await self._try()
            if reasons is None:
                return
            if self._order.fallback is not None and any(map(_CAPACITY.search, reasons)):
                logger.info("Spot has no capacity; on-demand FARGATE is used instead.")
                self._order = replace(self._order, request=self._order.fallback, fallback=None)
            else:
                await self._rest(reasons)
            self._tokens_used += 1

    @property
    def _complete(self) -> bool:
        return len(self._started) >= self._wanted

    async def _try(self) -> list[str] | None:
        """Send one RunTask. Give why it started too little; None when that is enough."""
        order = self._part()
        if order.diary is not None:
            await order.diary.sending(order.request, order.client_token, self._tokens_used + 1)
        reached("sending")
        answer = await self._answered(order)
        reached("answered")
        self._order = replace(self._order, sent_at=None)
        await self._know(answer.get("tasks") or [])
        reasons = _reasons(answer.get("failures") or [])
        if reasons or not self._complete:
            await self._look(reasons)
            await self._settled()
        return None if self._complete or (self._started and order.partial) else reasons

    async def _look(self, reasons: Sequence[str]) -> None:
        """Find tasks that were started though RunTask reported failures, which AWS has been seen to do.

        There is no next try before AWS has shown what there is; who may not list tasks has RunTask's word alone.
        """
        patience = max(self._order.deadline - self._clock.now(), 0.0)
        try:
            await self._know(await listed(self._conversation, self._order, patience=patience))
        except AwsError as error:
            if error.temporary:
                raise OutcomeUnknown(
                    f"Nobody knows whether a task was started: RunTask said {'; '.join(reasons) or 'nothing'}, and AWS cannot "
                    f"be asked whether it has started one all the same ({error}) Look again with `aws ecs list-tasks "
                    f"--started-by {self._order.mark}` before you start another one."
                ) from None

    def _part(self) -> Order:
        """Give the order of one try: what was sent before as it was; else a token of its own, for what is still missing."""
        missing = self._wanted - len(self._started)
        request = self._order.request
        if self._order.sent_at is None and missing != self._order.count:
            request = {**request, "count": missing}
        return replace(self._order, client_token=token_of(self._order.client_token, self._tokens_used), request=request)

    async def _know(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Remember tasks that were started."""
        new = new_among(tasks, self._started)
        self._started += new
        if new and self._order.diary is not None:
            with anyio.CancelScope(shield=True):
                await self._order.diary.launched(self._started)

    async def _settled(self) -> None:
        if not self._complete and self._order.diary is not None:
            await self._order.diary.answered()

    async def _rest(self, reasons: Sequence[str]) -> None:
        """Wait before the next try. Raises TaskLaunchFailed when there is to be none."""
        pause = backoff(self._tokens_used, self._clock, first=2.0, most=60.0)
        passing = bool(reasons) and all(map(_PASSING.search, reasons))
        if not passing or self._clock.now() + pause > self._order.deadline:
            raise _not_all(self._started, reasons)
        self._delayed("; ".join(reasons), pause)
        await self._clock.sleep(pause)
        await self._look(reasons)

    # --- one RunTask, and its answer -----------------------------------------------------------------------------------

    async def _answered(self, order: Order) -> dict[str, Any]:
        """Send one RunTask until it is answered. Every sending has the same token, so all of them start the same tasks."""
        sent_at = order.sent_at or self._clock.wall().timestamp()
        until = min(order.deadline, self._clock.now() + TOKEN_LIFE)
        doubt = order.sent_at is not None
        attempt = 0
        while not (doubt and self._is_old(sent_at)):
            try:
                return await self._sent(order)
            except AwsError as error:
                doubt = doubt or error.kind is Kind.TRANSIENT
                pause = backoff(attempt, self._clock, first=1.0, most=20.0)
                if not error.temporary or self._clock.now() + pause > until:
                    return await self._without_answer(order, error, doubt=doubt)
                self._delayed(str(error), pause)
                await self._pause(order, pause, doubt=doubt)
                if order.diary is not None:
                    await order.diary.sending_again()
                attempt += 1
        return await self._evidence(order, "RunTask was sent too long ago to be sent again")

    async def _sent(self, order: Order) -> dict[str, Any]:
        async with _slots(self._conversation):
            return await self._conversation.call(
                "ecs", "RunTask", **{"startedBy": order.started_by, **order.request, "clientToken": order.client_token}
            )

    async def _pause(self, order: Order, pause: float, *, doubt: bool) -> None:
        try:
            await self._clock.sleep(pause)
        except anyio.get_cancelled_exc_class():
            if doubt:
                with anyio.CancelScope(shield=True):
                    await self._know(await seen_soon(self._conversation, order, self._started))
            raise

    def _is_old(self, sent_at: float) -> bool:
        """Tell whether a token is too old. By the wall clock: on a laptop that slept the other one has slept, too."""
        return self._clock.wall().timestamp() - sent_at > TOKEN_LIFE

    async def _without_answer(self, order: Order, error: AwsError, *, doubt: bool) -> dict[str, Any]:
        """Give the tasks of a request that was refused, or never answered.

        Raises the error where it is sure that there are none, and OutcomeUnknown where nobody can know.
        """
        if error.kind is Kind.CONFLICT:
            return {"tasks": await bearers(self._conversation, order, error)}
        if not doubt:
            raise error
        return await self._evidence(order, f"RunTask was sent, and no answer came ({error})")

    async def _evidence(self, order: Order, why: str) -> dict[str, Any]:
        """Give the tasks of a request as far as AWS shows them. Raises OutcomeUnknown where it does not show them all."""
        await self._know(await seen_soon(self._conversation, order, self._started))
        if self._complete:
            return {}
        raise OutcomeUnknown(
            f"Nobody knows whether a task was started: {why}, and no task with startedBy {order.mark} can be seen. Look again "
            f"with `aws ecs list-tasks --started-by {order.mark}` before you start another one."
        )


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


# --- failures ----------------------------------------------------------------------------------------------------------


def _not_all(started: Sequence[Mapping[str, Any]], reasons: Sequence[str]) -> TaskLaunchFailed:
    told = "; ".join(reasons) or "AWS gave no reason"
    advice = advice_for(told)
    message = f"No task was started: {told}."
    if started:
        message = f"Only {len(started)} of the tasks were started, and stopped again: {told}."
    return TaskLaunchFailed(f"{message} {advice or ''}".strip(), reasons=tuple(reasons), advice=advice)


def _reasons(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give every distinct reason, with its detail."""
    told = (
        f"{item.get('reason', 'no reason given')}{' (' + item['detail'] + ')' if item.get('detail') else ''}"
        for item in failures
    )
    return list(dict.fromkeys(told))
