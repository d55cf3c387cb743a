"""The output of tasks that were launched before: where it lies, what is there of it, and then what still comes.

What is there is read in one go, from the head or, for the last lines, from the end backwards. Whoever follows goes on with
the shared log reader: a `Follower` hands over what was read already, so that no line is shown twice and none is lost.

AWS forgets a task about an hour after its end. Its stream stays; where it lies is then told by this machine's journal.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import anyio

from ecs_block.arn import TaskIdentifier, parse_task_identifier, short_name
from ecs_block.engine import adopt
from ecs_block.engine.journal import Entry
from ecs_block.engine.logs import stream_name
from ecs_block.engine.outcome import Task, complete_at_stop
from ecs_block.engine.prepare import Run
from ecs_block.engine.run import outcomes
from ecs_block.engine.watch import MISSING_PATIENCE
from ecs_block.errors import AwsError, EcsBlockError, InfrastructureNotFound, Kind
from ecs_block.plan.follow import Follower, LogEvent
from ecs_block.plan.result import ECSTaskResult

MOST_EVENTS = 10_000  # a page; API reference, GetLogEvents, limit
PAUSE = 0.05  # seconds between two looks at a taker that is full
ALL_READABLE_AFTER = 60.0  # seconds after its end that a task's last lines can be read for sure


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines are wanted."""

    since: int = 0
    """Milliseconds since 1970 (UTC)."""
    tail: int | None = None
    """How many of each task's last lines; None: all."""


@dataclass(slots=True)
class Output:
    """The output of one task."""

    task: Task
    is_over: bool
    """True when nothing can come any more."""
    exists: bool = False
    """True once its stream was seen."""
    follower: Follower = field(default_factory=Follower)

    @property
    def status(self) -> str:
        """The task's status, as it was when it was looked at."""
        return str(self.task.task.get("lastStatus"))

    @property
    def group(self) -> str:
        """Its log group."""
        return (self.task.log_options or {})["awslogs-group"]


Sink = Callable[[Output, Sequence[LogEvent]], None]


# --- where it lies -----------------------------------------------------------------------------------------------------


async def output_of(run: Run, identifier: str, entry: Entry | None = None) -> Output:
    """Find the output of a task; `entry` is what the journal has of it.

    Raises AwsError, InfrastructureNotFound for a task that nobody knows any more, EcsBlockError for one whose output does
    not go to CloudWatch Logs.
    """
    named = parse_task_identifier(identifier)
    described, is_over = await _described(run, named, entry)
    task = Task(run, described, named.cluster, _main_of(run, described, entry))
    driver = await adopt.read_definition(run, task)
    if "awslogs-group" not in (task.log_options or {}):
        raise EcsBlockError(_not_in_cloudwatch(task, driver))
    return Output(task, is_over)


async def _described(run: Run, named: TaskIdentifier, entry: Entry | None) -> tuple[Mapping[str, Any], bool]:
    """Describe a task, and tell whether nothing can come of it any more."""
    now = run.conversation.clock.wall()
    is_old = entry is not None and now.timestamp() - entry.created_at > MISSING_PATIENCE
    try:
        task = await adopt.known_task(run, *named, patience=0.0 if is_old else adopt.ATTACH_PATIENCE)
        return task, _is_over(task, now)
    except InfrastructureNotFound as error:
        if entry is not None:
            return _remembered(named.task_arn, entry), True
        raise InfrastructureNotFound(
            f"{error} Its output may still be in its log group: look there for the stream that ends in "
            f"/{short_name(named.task_arn)}."
        ) from None


def _remembered(arn: str, entry: Entry) -> Mapping[str, Any]:
    """Describe a task that AWS has forgotten, as far as the journal can."""
    outcome = entry.outcome or {}
    of_tasks = [outcome, *(outcome.get("tasks") or [])]
    of_task = next((one for one in of_tasks if str(one.get("identifier")).endswith(arn)), outcome)
    return {
        "taskArn": arn,
        "lastStatus": "STOPPED",
        "taskDefinitionArn": of_task.get("task_definition_arn") or entry.request["taskDefinition"],
        "containers": [
            {"name": item.get("name"), "runtimeId": item.get("runtime_id")} for item in of_task.get("containers") or []
        ],
    }


def _main_of(run: Run, task: Mapping[str, Any], entry: Entry | None) -> str:
    """Tell which container ran the command: a request of ours names it first."""
    overridden = ((entry.request.get("overrides") or {}) if entry else {}).get("containerOverrides")
    return str(overridden[0]["name"]) if overridden else adopt.main_of(run, task)


def _is_over(task: Mapping[str, Any], now: datetime) -> bool:
    if task.get("lastStatus") != "STOPPED":
        return False
    stopped_at = task.get("stoppedAt")
    is_old = stopped_at is not None and (now - stopped_at).total_seconds() > ALL_READABLE_AFTER
    return is_old or complete_at_stop(task)


def _not_in_cloudwatch(task: Task, driver: str | None) -> str:
    task_id = short_name(task.identifier.task_arn)
    told = f"The output of the task {task_id} is not in CloudWatch Logs: its container {task.main!r}"
    if driver is None:
        return f"{told} has no log driver. Run it with an execution role (--execution-role) and without --no-logs."
    return f"{told} has the log driver {driver!r}. Look where that one writes."


# --- what is there -----------------------------------------------------------------------------------------------------


async def show(
    outputs: Sequence[Output], asked: Asked, sink: Sink, is_full: Callable[[], bool] = lambda: False
) -> None:
    """Hand on the lines that are there; those of several tasks in the order of their times. Raises AwsError.

    Nothing more is read while `is_full` says so: whoever takes the lines may be slower than AWS.
    """
    reading = {index: _pages(output, asked) for index, output in enumerate(outputs)}
    waiting: dict[int, deque[LogEvent]] = {index: deque() for index in reading}
    while True:
        for index in [index for index in reading if not waiting[index]]:
            page = await anext(reading[index], None)
            if page is None:
                del reading[index], waiting[index]
            else:
                waiting[index].extend(page)
        if not reading:
            return
        index, lines = _first_of(waiting)
        sink(outputs[index], lines)
        while is_full():
            await outputs[index].task.run.conversation.clock.sleep(PAUSE)


def _first_of(waiting: Mapping[int, deque[LogEvent]]) -> tuple[int, list[LogEvent]]:
    """Take the oldest lines: as many of one task as come before those of every other."""
    heads = sorted((lines[0].timestamp, index) for index, lines in waiting.items())
    first = heads[0][1]
    until = heads[1] if len(heads) > 1 else (math.inf, 0)
    taken, lines = [], waiting[first]
    while lines and (lines[0].timestamp, first) < until:
        taken.append(lines.popleft())
    return first, taken


async def _pages(output: Output, asked: Asked) -> AsyncIterator[list[LogEvent]]:
    """Give the lines of one task, oldest first, none of the pages empty."""
    try:
        if asked.tail is not None:
            lines = await _last(output, asked.since, asked.tail)
            if lines:
                yield lines
            return
        output.follower = Follower(since=asked.since)
        # A task may write faster than it is read: then the end is what was the newest line at the beginning.
        newest = await _backwards(output, asked.since, 1) if output.status != "STOPPED" else []
        until = newest[-1].timestamp if newest else math.inf
        async for lines in _forwards(output, asked.since, until):
            yield lines
    except AwsError as error:
        if error.kind is not Kind.NOT_FOUND:  # the driver makes the stream with the first lines
            raise


async def _forwards(output: Output, since: int, until: float) -> AsyncIterator[list[LogEvent]]:
    token: str | None = None
    while True:
        answer = await _get(output, since, token, startFromHead=True)
        lines = _lines(answer)
        if lines:
            output.follower.along_token(lines)
            output.follower.end_sweep()
            yield lines
        # Pages may be empty before the end; only a token that repeats is the end (API reference, GetLogEvents).
        if answer.get("nextForwardToken") in (None, token) or (lines and lines[-1].timestamp > until):
            return
        token = answer["nextForwardToken"]


async def _last(output: Output, since: int, count: int) -> list[LogEvent]:
    """Give the last lines. What came before them is none of the follower's business, later ones of their time are."""
    found = await _backwards(output, since, max(count, 1))
    oldest = len(found) - max(count, 1)
    output.follower = Follower(since=found[oldest].timestamp if oldest >= 0 else since)
    output.follower.along_token(found)
    return found[-count:] if count else []


async def _backwards(output: Output, since: int, count: int) -> list[LogEvent]:
    """Give at least the last lines, and all that share a millisecond with the first of them."""
    found: list[LogEvent] = []
    token: str | None = None
    while True:
        wanted = max(count - len(found), 0) + 1
        answer = await _get(output, since, token, limit=min(wanted, MOST_EVENTS))
        found = _lines(answer) + found
        oldest = len(found) - count
        enough = oldest > 0 and found[0].timestamp < found[oldest].timestamp
        if enough or answer.get("nextBackwardToken") in (None, token):
            return found
        token = answer["nextBackwardToken"]


async def _get(output: Output, since: int, token: str | None, **how: Any) -> Mapping[str, Any]:
    task = output.task
    options = task.log_options or {}
    name = stream_name(options, task.main, task.task)
    if name is None:  # it is named after a container that is not there yet
        return {}
    place: dict[str, Any] = {"startTime": since} if since else {}
    if token is not None:
        place["nextToken"] = token
    answer = await task.run.conversation.ask(
        "logs",
        "GetLogEvents",
        region=options.get("awslogs-region"),
        logGroupName=output.group,
        logStreamName=name,
        **place,
        **how,
    )
    output.exists = True
    return answer


def _lines(answer: Mapping[str, Any]) -> list[LogEvent]:
    return [LogEvent.from_api(event) for event in answer.get("events") or []]


# --- what still comes --------------------------------------------------------------------------------------------------


async def follow(outputs: Sequence[Output], sink: Sink) -> list[ECSTaskResult]:
    """Hand on what comes until the tasks have ended and their streams are drained; gives what became of the tasks.

    Raises AwsError when a task cannot be watched, and what the sink raises, as soon as it does.
    """
    failure: Exception | None = None
    results: list[ECSTaskResult] = []
    with anyio.CancelScope() as scope:

        def guarded(output: Output, lines: Sequence[LogEvent]) -> None:
            nonlocal failure
            try:
                sink(output, lines)
            except Exception as error:
                failure = error
                scope.cancel()
                raise

        for output in outputs:
            output.task.follower, output.task.sink = output.follower, partial(guarded, output)
        results = await outcomes([output.task for output in outputs if not output.is_over])
    if failure is not None:
        raise failure
    for result in results:
        if isinstance(result.error, AwsError):
            raise result.error
    return results
