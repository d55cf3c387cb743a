"""A run id is launched once, whoever asks for it again, and whatever became of the process that asked first.

    nothing is recorded     prepare, write the intent, launch
    an intent is recorded   send the very same request with the same token, while AWS surely remembers it; else look for a task
                            that bears the run id; else nobody can know, and nothing is started
    a task is recorded      watch it
    an end is recorded      that is the result

One process of the machine at a time is between these lines. The journal decides; AWS's own memory of the token holds for other
machines, for about an hour after the task's end.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio

from ecs_block.arn import DEFAULT_CLUSTER, parse_task_identifier, short_name
from ecs_block.engine import adopt
from ecs_block.engine.begin import Beginning, Launched, begin, send
from ecs_block.engine.evidence import listed_soon, seen, seen_soon
from ecs_block.engine.failpoint import reached
from ecs_block.engine.journal import Entry, Place
from ecs_block.engine.machine_lock import alone_on_this_machine
from ecs_block.engine.order import TOKEN_LIFE, Diary, Order, identity
from ecs_block.engine.outcome import Task
from ecs_block.engine.prepare import Ready, Run, planned, prepare
from ecs_block.engine.record import (
    Record,
    RunJournal,
    StoppedMeanwhile,
    identifier_of,
    place_of,
    recordable,
    what_differs,
    whole_request,
)
from ecs_block.engine.stop import stop
from ecs_block.errors import AwsError, EcsBlockError, InvalidTask, OutcomeUnknown, TaskLaunchFailed
from ecs_block.plan.request import Request
from ecs_block.plan.result import ECSTaskResult

logger = logging.getLogger("ecs_block")

Plan = dict[str, Any]
Again = Callable[[], Awaitable[Request | None]]
"""Gives the very request that was recorded, so that it can be sent again; None when it cannot be had."""


class _Known(Exception):
    """The run id was used before, by somebody with other credentials of the same account."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record


async def launched(run: Run, books: RunJournal, how: Beginning) -> Launched | ECSTaskResult:
    """Launch one attempt of a run under its run id, or find what is left of it; its end, if it has ended.

    Raises InvalidTask when the run id was used for something else, OutcomeUnknown when nobody can know whether a task was
    started, JournalError when the journal cannot be kept, and what a launch raises.
    """
    plan = planned(run)
    cluster = short_name(str(plan["request"].get("cluster") or DEFAULT_CLUSTER))
    place = place_of(run.conversation, cluster)
    async with alone_on_this_machine(lock_name(books.run_id, place), run.conversation.clock, courtesy=False):
        record = await _find(run, books, how.attempt, cluster, caller=caller_of(run))
        try:
            left = await _found_or_anew(run, books, how, plan, record)
        except _Known as known:
            left = await _found_or_anew(run, books, how, plan, known.record)
        if isinstance(left, Launched):
            await _stop_if_asked(run, left)
        return left


async def _found_or_anew(
    run: Run, books: RunJournal, how: Beginning, plan: Plan, record: Record | None
) -> Launched | ECSTaskResult:
    found = await _again(run, record, how, plan) if record is not None else None
    return found if found is not None else await _anew(run, books, how, plan, known=record is not None)


def lock_name(run_id: str, place: Place) -> str:
    """Name the lock that the launch of a run holds."""
    return f"run {run_id} at {place.endpoint} {place.region} {place.cluster}"


def caller_of(run: Run) -> str:
    """Name who asks, so that a run is found again before AWS has said which account this is."""
    return hashlib.sha256(repr(run.conversation.aws.key[1:]).encode()).hexdigest()[:32]


async def _find(
    run: Run, books: RunJournal, attempt: int, cluster: str, *, caller: str | None = None, account: str | None = None
) -> Record | None:
    place = place_of(run.conversation, cluster)
    entries = await books.do(
        books.journal.attempts, books.run_id,
        region=place.region, cluster=cluster, endpoint=place.endpoint, caller=caller, account=account,
    )  # fmt: skip
    entry = next((entry for entry in entries if entry.attempt == attempt), None)
    return None if entry is None else Record(books, entry)


# --- the first time ----------------------------------------------------------------------------------------------------


async def _anew(run: Run, books: RunJournal, how: Beginning, plan: Plan, *, known: bool) -> Launched | ECSTaskResult:
    """Launch; `known` says that it was tried before, but that AWS refused it, or that it was never sent."""

    async def intend(ready: Ready) -> tuple[Diary, int]:
        run.record = record = await _intent(run, books, how, plan, ready, known=known)
        return record, record.entry.tries

    try:
        return await begin(run, replace(how, intend=intend))
    except StoppedMeanwhile:
        if run.record is None:
            raise
        return await finished(run, run.record, how, _nothing)


async def _nothing() -> Request | None:
    """Send nothing again."""
    return None


async def _intent(run: Run, books: RunJournal, how: Beginning, plan: Plan, ready: Ready, *, known: bool) -> Record:
    account = ready.revision.arn.split(":")[4]
    cluster = short_name(str(ready.request.get("cluster") or DEFAULT_CLUSTER))
    if not known:
        other = await _find(run, books, how.attempt, cluster, account=account)
        if other is not None and not other.entry.is_free:
            raise _Known(other)
    token, started_by = identity(books.run_id, how.attempt, ready.request.get("cluster"))
    entry = await books.do(
        books.journal.intend,
        run_id=books.run_id, attempt=how.attempt, place=place_of(run.conversation, cluster, account), caller=caller_of(run),
        token=token, started_by=started_by, plan=plan, profile=run.profile, **recordable(ready.request),
    )  # fmt: skip
    reached("intended")
    return Record(books, entry)


# --- again -------------------------------------------------------------------------------------------------------------


async def _again(run: Run, record: Record, how: Beginning, plan: Plan) -> Launched | ECSTaskResult | None:
    """Give what is left of an earlier launch; None when it is certain that nothing was started."""
    entry = record.entry
    if entry.is_free:
        return None
    if found := what_differs(entry.plan, plan):
        raise InvalidTask(
            f"run_id {run.run_id!r} was used for another request; it differs in {', '.join(found[:5])}"
            f"{', …' if len(found) > 5 else ''}. Repeat it with the same block, or use another run_id."
        )
    run.record = record
    run.start_by = run.conversation.clock.now() + run.fields.task_start_timeout_seconds
    result = record.result()
    if result is not None and not (result.outcome == "unknown" and entry.tasks):
        logger.info("The run %s has ended before: %s", run.run_id, result.headline())
        return result
    if entry.state == "refused" or (entry.state == "intended" and entry.sent_at is None):
        return await record.stopped_before()
    try:
        return await _taken_up(run, record, how)
    except anyio.get_cancelled_exc_class():
        if run.stops_on_interrupt:
            with anyio.CancelScope(shield=True):
                await _interrupted(run, record, how)
        raise


async def _taken_up(run: Run, record: Record, how: Beginning) -> Launched | ECSTaskResult:
    if record.entry.launch_is_open:
        return await finished(run, record, how, lambda: _to_send_again(run, record, how))
    return await adopted(run, record, how, record.entry.tasks)


async def _interrupted(run: Run, record: Record, how: Beginning) -> None:
    """Note a stop that came before the tasks were taken up, and stop those that can be seen."""
    reason, identifiers = "the run was interrupted", list(record.entry.tasks)
    await record.stop_requested(reason)
    if record.entry.launch_is_open:
        tasks = await seen_soon(run.conversation, _order(run, record, how))
        await record.launched(tasks)
        identifiers += [str(identifier_of(record.entry.request, task)) for task in tasks]
    await _stop(run, reason, list(dict.fromkeys(identifiers)))


async def _stop_if_asked(run: Run, left: Launched) -> None:
    """Ask for a stop that was recorded, before or meanwhile: whoever recorded it may not have known of the tasks."""
    reason = run.record.entry.stop_reason if run.record is not None else None
    if reason is None:
        return
    try:
        await _stop(run, reason, [str(task.identifier) for task in left.tasks])
    except anyio.get_cancelled_exc_class():
        await left.release()
        raise


async def _stop(run: Run, reason: str, identifiers: Sequence[str]) -> None:
    """Ask for a stop that was recorded: whoever recorded it may not have lived to ask AWS."""
    for text in identifiers:
        try:
            await stop(run.conversation, parse_task_identifier(text), f"ecs_block (run {run.run_id}): {reason}")
        except AwsError as error:
            run.teller.trouble(f"Task {text} could not be stopped: {error}", text)


async def finished(run: Run, record: Record, how: Beginning, again: Again) -> Launched | ECSTaskResult:
    """Finish a launch of which nobody knows how far it came. Raises OutcomeUnknown, and what a launch raises."""
    entry, order = record.entry, _order(run, record, how)
    known = [{"taskArn": parse_task_identifier(text).task_arn} for text in entry.tasks]
    if may_be_finished(run, entry) and (request := await again()) is not None:
        logger.info("The launch of the run %s was not finished; the same request is sent again.", run.run_id)
        try:
            tasks = await send(run, replace(order, request=request), known)
        except StoppedMeanwhile:
            entry = record.entry
        else:
            identifiers = [str(identifier_of(request, task)) for task in tasks]
            return await adopted(run, record, how, identifiers, taken_up=False)
    # An end is recorded only if AWS itself says that there is no task, also when one of just now would be listed.
    look = seen if entry.stop_reason is None else listed_soon
    tasks = [*known, *await look(run.conversation, order, known)]
    if tasks:
        await record.launched(tasks)
        left = await adopted(run, record, how, [str(identifier_of(entry.request, task)) for task in tasks])
        return replace(left, rest=rest_of(run, entry, len(tasks)))
    # A task that has ended would still be listed while its token is young.
    if entry.stop_reason is not None and (entry.sent_at is None or token_is_young(run, entry)):
        told = f"The run was stopped ({entry.stop_reason}) while it was launched, and no task of it can be seen."
        result = ECSTaskResult(outcome="stopped", reason=told, attempt=how.attempt)
        await record.ended(result)
        return result
    raise OutcomeUnknown(
        f"Nobody knows whether a task of the run {run.run_id!r} was started: its launch was not finished, AWS's memory of it "
        f"is over, and no task with startedBy {entry.started_by} can be seen. Nothing was started in its place. If you know "
        "that there was none, use another run_id."
    )


def _order(run: Run, record: Record, how: Beginning) -> Order:
    """Give the order of a launch that is to be finished: with the token that was sent last, if it was not answered."""
    entry = record.entry
    return Order(
        entry.request, None, identity(run.run_id, how.attempt, entry.request.get("cluster"))[0], entry.started_by, run.start_by,
        wanted=entry.count, attempt=how.attempt, diary=record, sent_at=entry.sent_at,
        tokens_used=entry.tries if entry.sent_at is None else max(entry.tries - 1, 0),
    )  # fmt: skip


def may_be_finished(run: Run, entry: Entry) -> bool:
    """Tell whether a launch may go on: while AWS knows what was sent; if it has said what came of it, for as long."""
    if entry.stop_reason is not None:
        return False
    return token_is_young(run, entry) if entry.sent_at is not None else abs(_age(run, entry.created_at)) < TOKEN_LIFE


def rest_of(run: Run, entry: Entry, seen: int) -> tuple[ECSTaskResult, ...]:
    """Give a result for each task that was asked for beside those that are seen."""
    if entry.count <= seen:
        return ()
    error: EcsBlockError
    if entry.stop_reason is not None and (entry.sent_at is None or token_is_young(run, entry)):
        told = f"It was not started, because the run was stopped ({entry.stop_reason})."
        return (ECSTaskResult(outcome="stopped", reason=told, attempt=entry.attempt),) * (entry.count - seen)
    if entry.sent_at is None:
        error = TaskLaunchFailed(
            f"Only {seen} of the {entry.count} tasks of the run {run.run_id!r} were started: its launch was not finished."
        )
        return (ECSTaskResult(outcome="start_failed", reason=str(error), error=error),) * (entry.count - seen)
    error = OutcomeUnknown(
        f"Nobody knows whether another task of the run {run.run_id!r} was started: its launch was not finished, AWS's memory "
        "of it is over, and no such task can be seen. Nothing was started in its place."
    )
    return (ECSTaskResult(outcome="unknown", reason=str(error), error=error),) * (entry.count - seen)


def token_is_young(run: Run, entry: Entry) -> bool:
    """Tell whether AWS surely remembers the token. An intent from the future proves nothing."""
    return 0 <= _age(run, entry.sent_at or 0.0) < TOKEN_LIFE


def _age(run: Run, at: float) -> float:
    return run.conversation.clock.wall().timestamp() - at


async def _to_send_again(run: Run, record: Record, how: Beginning) -> Request | None:
    """Give the very request that was recorded; None when a secret in it is another one now."""
    if record.entry.whole:
        return record.entry.request
    ready = await prepare(run, on_demand=how.on_demand)
    return whole_request(record.entry, ready.request)


async def adopted(
    run: Run, record: Record, how: Beginning, identifiers: Sequence[str], *, taken_up: bool = True
) -> Launched:
    """Take up tasks that were launched before, or by a request that was sent again."""
    request = record.entry.request
    tasks = []
    for text in identifiers:
        identifier = parse_task_identifier(text)
        known = {"taskArn": identifier.task_arn, "taskDefinitionArn": request["taskDefinition"]}
        main = str(request["overrides"]["containerOverrides"][0]["name"])
        task = Task(run, known, identifier.cluster, main, attempt=how.attempt, start_by=run.start_by)
        if (started := how.started) is not None:
            task.on_start = lambda text=text: started(text)
        if len(identifiers) > 1:
            task.output_prefix = f"[{identifier.task_arn[-6:]}] "
        await adopt.learn_definition(run, task)
        run.teller.launched(text, str(request["taskDefinition"]), how.attempt, taken_up=taken_up)
        tasks.append(task)
    return Launched(None, tasks)
