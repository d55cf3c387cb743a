"""What killed processes left behind: each unfinished run is finished, or it is told what is known of it.

    an intent, never sent   nothing was started; that is recorded
    an intent, sent         the launch is finished, as by the same run id again (`once_only`)
    its tasks are known     they are watched to their end, or looked at once; the outcome is recorded
    an end is recorded      that is told

A run whose launch another process holds is left to that process. A stop that was asked for is asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from ecs_block.arn import DEFAULT_CLUSTER, parse_task_identifier, short_name
from ecs_block.engine.begin import Beginning
from ecs_block.engine.clock import Clock
from ecs_block.engine.journal import Entry
from ecs_block.engine.machine_lock import Held, alone_on_this_machine
from ecs_block.engine.once_only import adopted, finished, lock_name, rest_of, token_is_young
from ecs_block.engine.prepare import Run
from ecs_block.engine.record import Record, RunJournal
from ecs_block.engine.run import outcomes
from ecs_block.engine.stop import stop
from ecs_block.engine.watch import MISSING_PATIENCE
from ecs_block.errors import (
    AwsError,
    ClusterNotFound,
    EcsBlockError,
    InfrastructureNotFound,
    OutcomeUnknown,
    TaskLaunchFailed,
)
from ecs_block.plan.request import Request
from ecs_block.plan.result import ECSTaskResult, combined, from_record

PATIENCE = 5.0  # seconds for which an endpoint may not answer; that of an old local cloud never will
LAUNCH_PATIENCE = 30.0  # seconds for a launch, where nobody wants to wait

UNDETERMINED = "undetermined"
LAUNCHING = "launching"
NOT_STARTED = "not started"


@dataclass(frozen=True)
class Found:
    """What is known of a run."""

    entry: Entry
    state: str
    """Its outcome; else the status of its task, `launching`, `not started`, or `undetermined`: AWS could not be asked."""
    result: ECSTaskResult | None = None
    error: EcsBlockError | None = None
    """Why there is no result, where something is wrong."""

    @property
    def goes_on(self) -> bool:
        """True when it has not ended, and nothing is wrong."""
        return self.result is None and self.error is None

    @property
    def reason(self) -> str:
        """Why it is so; empty where the state says it all."""
        if self.error is not None:
            return str(self.error)
        return self.result.reason if self.result is not None else ""


Runs = Callable[[Entry], Run]
"""Gives the run of an entry: with its run id and the journal, and who talks to AWS where it was launched."""
Told = Callable[[Found], None]


async def resume(entries: Sequence[Entry], runs: Runs, told: Told, *, wait: bool = True) -> list[Found]:
    """Finish runs, all at once, and tell each when it is known; what stands in the way of one does not harm the others."""
    found: dict[int, Found] = {}

    async def one(index: int) -> None:
        entry = entries[index]
        try:
            found[index] = recorded(entry) or await resumed(runs(entry), entry, wait=wait)
        except EcsBlockError as error:  # there is no such profile, no region
            found[index] = Found(entry, UNDETERMINED, error=error)
        told(found[index])

    async with anyio.create_task_group() as group:
        for index in range(len(entries)):
            group.start_soon(one, index)
    return [found[index] for index in range(len(entries))]


async def resumed(run: Run, entry: Entry, *, wait: bool = True) -> Found:
    """Finish one run, or tell what is known of it. `run` needs a journal. Raises nothing of ours."""
    assert run.journal is not None  # noqa: S101
    try:
        return await _resumed(run, run.journal, entry, wait=wait)
    except Held:
        return Found(entry, LAUNCHING)
    except OutcomeUnknown as error:
        return Found(entry, "unknown", error=_with_advice(run, entry, error))
    except TaskLaunchFailed as error:
        return Found(entry, NOT_STARTED, error=error)
    except EcsBlockError as error:
        return Found(entry, UNDETERMINED, error=error)


async def give_up(books: RunJournal, entry: Entry, clock: Clock) -> Found:
    """Record that nobody will look for the outcome of a run any more. AWS is not asked, and nothing is stopped."""
    try:
        async with alone_on_this_machine(lock_name(entry.run_id, entry.place), clock, courtesy=False, wait=False):
            record = await _read(books, entry)
            gave_up = "It was given up, so nobody looks for it any more; use another run id to run it again."
            return recorded(record.entry) or await _recorded_unknown(record, gave_up)
    except Held:
        return Found(entry, LAUNCHING)


# --- one run -----------------------------------------------------------------------------------------------------------


async def _resumed(run: Run, books: RunJournal, entry: Entry, *, wait: bool) -> Found:
    if not entry.launch_is_open:
        return await _known(run, Record(books, entry), wait=wait)
    if entry.sent_at is not None:
        await _ask(run, "ListTasks", cluster=_cluster(entry), startedBy=_started_by(entry), desiredStatus="RUNNING")
    lock = lock_name(entry.run_id, entry.place)
    async with alone_on_this_machine(lock, run.conversation.clock, courtesy=False, wait=False):
        record = await _read(books, entry)  # whoever had the lock may have launched it meanwhile
        found = await _finished(run, record, wait=wait) if record.entry.launch_is_open else None
    return found or await _known(run, await _read(books, entry), wait=wait)


async def _read(books: RunJournal, entry: Entry) -> Record:
    return Record(books, await books.do(books.journal.entry, entry.number))


async def _finished(run: Run, record: Record, *, wait: bool) -> Found | None:
    """Finish a launch. Gives what is known where it brought no task."""
    entry = record.entry
    run.record = record
    if entry.is_free:
        never_sent = "It was never sent to AWS: its process ended before that."
        await record.refused(never_sent)
        return Found(entry, NOT_STARTED, error=TaskLaunchFailed(f"Nothing was started. {never_sent}"))

    async def again() -> Request | None:
        return entry.request if entry.whole else None

    patience = run.fields.task_start_timeout_seconds if wait else LAUNCH_PATIENCE
    run.start_by = run.conversation.clock.now() + patience
    found = await finished(run, record, Beginning(attempt=entry.attempt), again)
    run.start_by = math.inf  # the limits on a task's times were its own process's
    return Found(entry, found.outcome, found) if isinstance(found, ECSTaskResult) else None


async def _known(run: Run, record: Record, *, wait: bool) -> Found:
    """Wait for the end of tasks that are known, or tell their status; record the outcome where there is one."""
    run.record, entry = record, record.entry
    if (told := recorded(entry)) is not None:
        return told
    described = await _described(run, entry.tasks)
    if not described and _is_old(run, entry):
        return await _recorded_unknown(
            record,
            "AWS does not know its task any more: it forgets one about an hour after its end. Its log stream, and the ECS "
            "events in CloudTrail or EventBridge, are what is left to look at.",
        )
    if entry.stop_reason is not None:
        for task in entry.tasks:
            reason = f"ecs_block (run {entry.run_id}): {entry.stop_reason}"
            await stop(run.conversation, parse_task_identifier(task), reason)
    on_their_way = [str(task.get("lastStatus")) for task in described if task.get("lastStatus") != "STOPPED"]
    if not wait and not described:
        return Found(
            entry, UNDETERMINED, error=InfrastructureNotFound("AWS does not know its task yet; look again soon.")
        )
    if not wait and on_their_way:
        return Found(entry, on_their_way[0])
    tasks = (await adopted(run, record, Beginning(attempt=entry.attempt), entry.tasks)).tasks
    result = combined([*await outcomes(tasks), *rest_of(run, entry, len(tasks))])
    if isinstance(result.error, AwsError):
        return Found(entry, UNDETERMINED, error=result.error)  # it may be seen another time
    await record.ended(result)
    return Found(entry, result.outcome, result)


async def _described(run: Run, identifiers: Sequence[str]) -> list[Mapping[str, Any]]:
    named = [parse_task_identifier(text) for text in identifiers]
    try:
        answer = await _ask(run, "DescribeTasks", cluster=named[0].cluster, tasks=[task.task_arn for task in named])
    except ClusterNotFound:
        return []
    return list(answer.get("tasks") or [])


async def _ask(run: Run, operation: str, **params: Any) -> dict[str, Any]:
    """Ask ECS, but not for long: whoever does not answer now may never do."""
    return await run.conversation.ask("ecs", operation, patience=PATIENCE, **params)


def _is_old(run: Run, entry: Entry) -> bool:
    """Tell whether AWS should have known the tasks for a while, by a clock that may have been set back."""
    age = run.conversation.clock.wall().timestamp() - (entry.sent_at or entry.created_at)
    return not 0 <= age < 2 * MISSING_PATIENCE


# --- what is told ------------------------------------------------------------------------------------------------------


def recorded(entry: Entry) -> Found | None:
    """Tell what is recorded of a run that has ended, or that AWS refused; None for one that is to be looked at."""
    if entry.outcome is not None:
        result = from_record(entry.outcome)
        may_be_seen = result.outcome == "unknown" and entry.tasks
        return None if may_be_seen else Found(entry, result.outcome, result)
    if entry.state == "refused":
        return Found(entry, NOT_STARTED, error=TaskLaunchFailed(f"Nothing was started. {entry.refused}"))
    return None


async def _recorded_unknown(record: Record, why: str) -> Found:
    entry = record.entry
    error = OutcomeUnknown(
        f"Nobody knows what became of the run {entry.run_id!r}. {why}", identifier=next(iter(entry.tasks), None)
    )
    result = ECSTaskResult(identifier=error.identifier, outcome="unknown", reason=str(error), attempt=entry.attempt)
    each = [result.model_copy(update={"identifier": task}) for task in entry.tasks]
    result = combined(each) if len(each) > 1 else result
    error.result = result = result.model_copy(update={"error": error})
    await record.ended(result)
    return Found(entry, "unknown", result)


def _with_advice(run: Run, entry: Entry, error: OutcomeUnknown) -> OutcomeUnknown:
    """Say what to do about a launch of which nothing is known."""
    if not entry.whole and entry.stop_reason is None and token_is_young(run, entry):
        return OutcomeUnknown(
            f"Nobody knows whether a task of the run {entry.run_id!r} was started, and its request cannot be sent again from "
            "here: it holds secrets, which are not recorded. Repeat its command with the same run id within the hour: AWS "
            "then gives the task that it has started, or starts it."
        )
    return OutcomeUnknown(f"{error} `ecs-block resume --give-up {entry.run_id}` stops asking for it.")


def _cluster(entry: Entry) -> str:
    return str(entry.request.get("cluster") or DEFAULT_CLUSTER)


def _started_by(entry: Entry) -> str:
    return str(entry.request.get("startedBy", entry.started_by))


def short_ids(entry: Entry) -> list[str]:
    """Give the short ids of an entry's tasks."""
    return [short_name(task.rpartition("::")[2]) for task in entry.tasks]
