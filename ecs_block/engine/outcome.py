"""One task from its launch to its end: watch it, stop it when its time is up or the caller is gone, say what became of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ecs_block.arn import TaskIdentifier, short_name
from ecs_block.engine.logs import LogReader, reader_for, stream_name
from ecs_block.engine.prepare import Run
from ecs_block.engine.stop import stop
from ecs_block.engine.stream import Sink, Stream
from ecs_block.engine.watch import MISSING_PATIENCE, RUNNING, STOPPED, Watched, Watcher, watcher_for
from ecs_block.errors import (
    AwsError,
    EcsBlockError,
    OutcomeUnknown,
    TaskRunTimeout,
    TaskStartFailed,
    TaskStartTimeout,
)
from ecs_block.plan.advice import advice_for
from ecs_block.plan.follow import Follower
from ecs_block.plan.result import ECSTaskResult, LogComplete, result_of
from ecs_block.plan.verdict import NO_EXIT_CODE, Verdict, judge

STOP_PATIENCE = 300.0  # seconds from StopTask to STOPPED: a stopTimeout of up to 120 s, and the network's removal
SEEN_WITHIN = 60.0  # seconds; an older look says nothing of how it is now
TAIL = 20  # lines

# A platform may say of itself that all lines can be read as soon as it says STOPPED. AWS does not; LocalCloud does.
LOG_DELIVERY = ("ecs-block.log-delivery", "complete-when-stopped")


@dataclass(slots=True)
class Task:
    """A task of a run, and what has to be known to judge it."""

    run: Run
    task: Mapping[str, Any]
    cluster: str
    """As it was given, else the cluster's ARN."""
    main: str
    essential: frozenset[str] | None = None
    log_options: Mapping[str, str] | None = None
    attempt: int = 1
    start_by: float = math.inf
    on_start: Callable[[], None] | None = None
    output_prefix: str = ""
    sink: Sink | None = None
    """Takes the output, whatever the block says of it; None: it goes where the run's does."""
    follower: Follower | None = None
    """Knows what was shown of the output before."""
    told: str = field(default="", init=False)
    stream: Stream | None = field(default=None, init=False)
    timeout: EcsBlockError | None = field(default=None, init=False)
    result: ECSTaskResult | None = field(default=None, init=False)
    """What became of it, once that is known; also where the run was cancelled."""

    @property
    def identifier(self) -> TaskIdentifier:
        """What names the task to everybody."""
        return TaskIdentifier(self.cluster, str(self.task["taskArn"]))

    @property
    def is_shown(self) -> bool:
        """True when somebody wants its output, and it can be read."""
        return self.log_options is not None and (self.sink is not None or bool(self.run.fields.stream_output))


async def outcome_of(task: Task) -> ECSTaskResult:
    """Wait for a task's end. What `run()` would raise is in the result's `error`.

    On cancellation the task is stopped first (unless the block says otherwise), and its last lines are shown.
    """
    run = task.run
    watcher = watcher_for(run.conversation, task.cluster)
    reader = reader_for(run.conversation)
    watched = watcher.add(task.task, run.fields.task_watch_poll_interval)
    identifier = str(task.identifier)
    run.control.identifiers[identifier] = None
    try:
        failure = await _to_its_end(task, watcher, watched, reader)
        result = await _result(task, watched, failure)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True) as scope:
            run.control.settling(scope)
            await _stop_and_settle(task, watcher, watched, reader)
        raise
    except Exception:  # a fault of our own must not leave a task behind
        with anyio.CancelScope(shield=True):
            await _unwatchable(task)
        raise
    finally:
        watcher.remove(watched)
        if task.stream is not None:
            reader.close(task.stream)
    task.result = result
    del run.control.identifiers[identifier]
    run.teller.ended(result)
    return result


async def _to_its_end(task: Task, watcher: Watcher, watched: Watched, reader: LogReader) -> EcsBlockError | None:
    """Watch and show the output until both have ended. Returns what kept the end from being seen."""
    if not task.is_shown:
        return await _watch(task, watcher, watched, reader, None)
    # Nothing inside may raise but a cancellation: a task group would wrap it.
    async with anyio.create_task_group() as group:
        failure = await _watch(task, watcher, watched, reader, group)
        if task.stream is not None:
            reader.stopped(task.stream, complete_at_stop=complete_at_stop(watched.task))
    return failure


async def _watch(
    task: Task, watcher: Watcher, watched: Watched, reader: LogReader, group: TaskGroup | None
) -> EcsBlockError | None:
    """Watch until the task is STOPPED; `group` follows its output, if given. Returns what kept the end from being seen."""
    watcher.wake_at(watched, task.start_by)
    _tell_status(task, watched)
    if watched.has_started or watched.rank >= STOPPED:  # it ran before it was watched: no news will say so
        _started(task, watcher, watched, reader, group)
    while watched.rank < STOPPED:
        try:
            await watcher.news(watched)
        except AwsError as error:
            await _unwatchable(task)
            return error
        _tell_status(task, watched)
        if watched.has_started or watched.rank >= STOPPED:
            _started(task, watcher, watched, reader, group)
        if _is_lost(watched, task.run.conversation.clock.now()):
            return _lost(task)
        gone_on_too_long = task.run.conversation.clock.now() >= watched.deadline
        if gone_on_too_long and watched.rank < STOPPED:
            if _was_stopped(task, watched):
                return task.timeout  # long ago, and still it is not STOPPED
            if task.timeout is not None:
                watcher.wake_at(watched, task.run.conversation.clock.now() + SEEN_WITHIN)
                continue
            await _time_is_up(task, watcher, watched)
    return None


def _tell_status(task: Task, watched: Watched) -> None:
    if watched.status and watched.status != task.told:
        task.run.teller.status(str(task.identifier), watched.status, task.told or None)
        task.told = watched.status


def _started(task: Task, watcher: Watcher, watched: Watched, reader: LogReader, group: TaskGroup | None) -> None:
    """Do once what follows from the start: tell the caller, count the run's time, follow the output."""
    if task.on_start is not None:
        task.on_start()
        task.on_start = None
    if task.start_by < math.inf and task.timeout is None:
        limit = task.run.fields.task_run_timeout_seconds
        task.start_by = math.inf
        watcher.wake_at(watched, task.run.conversation.clock.now() + limit if limit is not None else math.inf)
    if task.stream is None and task.log_options is not None and task.is_shown:
        name = stream_name(task.log_options, task.main, watched.task)
        if name is not None and group is not None and _ran(watched, task.main):
            sink = task.sink or task.run.teller.lines(str(task.identifier), prefix=task.output_prefix)
            region = task.log_options.get("awslogs-region")
            task.stream = reader.open(task.log_options["awslogs-group"], name, region, sink, task.follower)
            if complete_at_stop(watched.task):
                task.stream.settling.hold = 0.0
            group.start_soon(reader.drained, task.stream)


def _ran(watched: Watched, main: str) -> bool:
    """Tell whether a container may have written something: a task that never started has no stream."""
    if watched.has_started or watched.rank < STOPPED:
        return True
    return any(item.get("exitCode") is not None for item in watched.task.get("containers") or [])


def complete_at_stop(task: Mapping[str, Any]) -> bool:
    """Tell whether the platform says that all lines of a task can be read once it is STOPPED."""
    said = {(item.get("name"), item.get("value")) for item in task.get("attributes") or []}
    return LOG_DELIVERY in said


def _was_stopped(task: Task, watched: Watched) -> bool:
    """Tell whether a task that was told to stop is to be taken for stopped: not while AWS cannot show how it ended."""
    if not isinstance(task.timeout, TaskStartTimeout | TaskRunTimeout):
        return task.timeout is not None  # an interrupted caller does not wait for that
    return task.run.conversation.clock.now() - watched.seen_at <= SEEN_WITHIN


def _is_lost(watched: Watched, now: float) -> bool:
    return watched.missing_since is not None and now - watched.missing_since >= MISSING_PATIENCE


def _lost(task: Task) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"Nobody knows what became of the task {task.identifier}: AWS has not known it for {MISSING_PATIENCE:.0f} s (it "
        "forgets a task about an hour after its end). Its log stream and the ECS events in CloudTrail or EventBridge are what "
        "is left to look at; nothing was started in its place.",
        identifier=str(task.identifier),
    )


async def _unwatchable(task: Task) -> None:
    """Stop a task that nobody can watch: a task that is left alone is a task that is paid for."""
    if not task.run.stops_on_interrupt:
        return
    try:
        await _stop(task, "it cannot be watched")
    except AwsError as error:
        task.run.teller.trouble(f"The task could not be stopped either: {error}", str(task.identifier))


async def _stop(task: Task, reason: str) -> None:
    task.run.teller.stopping(str(task.identifier), reason)
    if task.run.record is not None:
        await task.run.record.stop_requested(reason)
    named = f" (run {task.run.run_id})" if task.run.run_id else ""
    await stop(task.run.conversation, task.identifier, f"ecs_block{named}: {reason}")


async def _time_is_up(task: Task, watcher: Watcher, watched: Watched) -> None:
    """Stop a task whose time is up; the watch then goes on until it is STOPPED."""
    fields, identifier = task.run.fields, str(task.identifier)
    if task.start_by < math.inf:
        waits_for = {"PROVISIONING": "capacity and a network", "PENDING": "its image"}.get(watched.status, "its start")
        task.timeout = TaskStartTimeout(
            f"Task {identifier} was still {watched.status or 'not to be seen'} after {fields.task_start_timeout_seconds} s "
            f"(task_start_timeout_seconds), waiting for {waits_for}; it was stopped. Raise the timeout, or look at what AWS "
            f"says: aws ecs describe-tasks --cluster {short_name(task.cluster)} --tasks {short_name(identifier)}.",
            identifier=identifier,
        )
    else:
        task.timeout = TaskRunTimeout(
            f"Task {identifier} ran longer than {fields.task_run_timeout_seconds} s (task_run_timeout_seconds); it was "
            "stopped. Raise the timeout if it needs more.",
            identifier=identifier,
        )
    kind = "task_start_timeout_seconds" if isinstance(task.timeout, TaskStartTimeout) else "task_run_timeout_seconds"
    watcher.wake_at(watched, task.run.conversation.clock.now() + STOP_PATIENCE)
    try:
        await _stop(task, f"{kind} is over")
    except AwsError as error:
        task.run.teller.trouble(f"Task {identifier} could not be stopped: {error}", identifier)


async def _stop_and_settle(task: Task, watcher: Watcher, watched: Watched, reader: LogReader) -> None:
    """After a cancellation: stop the task, see it end, show its last lines. A block may want it left alone."""
    identifier = str(task.identifier)
    if not task.run.stops_on_interrupt:
        task.run.teller.trouble(f"Interrupted; task {identifier} was left running.", identifier)
        return
    try:
        await _stop(task, "the run was interrupted")
    except AwsError as error:
        task.run.teller.trouble(f"Task {identifier} could not be stopped: {error}", identifier)
        return
    task.timeout = EcsBlockError("interrupted")  # only the end is waited for now, and not for ever
    task.start_by = task.run.conversation.clock.now() + STOP_PATIENCE
    failure = await _watch(task, watcher, watched, reader, None)
    if failure is not None:
        return
    if task.stream is not None:
        reader.stopped(task.stream, complete_at_stop=complete_at_stop(watched.task))
        await reader.drained(task.stream)
    task.run.control.identifiers.pop(identifier, None)
    judged = judge(watched.task, task.main, task.essential)
    task.result = _made(task, watched, judged, _log_complete(task))
    task.run.teller.ended(task.result)


# --- the result --------------------------------------------------------------------------------------------------------


async def _result(task: Task, watched: Watched, failure: EcsBlockError | None) -> ECSTaskResult:
    if failure is not None and failure is not task.timeout:
        judged = Verdict("unknown", NO_EXIT_CODE, str(failure))
        return _with_error(_made(task, watched, judged, _log_complete(task)), failure)
    judged = judge(watched.task, task.main, task.essential)
    if failure is not None:  # stopped for a timeout, and AWS never said STOPPED
        judged = Verdict("stopped", judged.status_code, str(failure))
    result = _made(task, watched, judged, _log_complete(task), await _tail(task, watched, judged))
    if task.timeout is not None and result.outcome not in ("succeeded", "failed"):
        return _with_error(result.model_copy(update={"outcome": "stopped"}), task.timeout)
    if result.outcome == "start_failed":
        return _with_error(result, _start_failed(result))
    return result


def _made(
    task: Task, watched: Watched, judged: Verdict, log_complete: LogComplete, tail: tuple[str, ...] = ()
) -> ECSTaskResult:
    return result_of(
        watched.task or task.task,
        judged,
        cluster=task.cluster,
        main=task.main,
        log_complete=log_complete,
        log_tail=tail,
        advice=advice_for(judged.reason) if judged.outcome != "succeeded" else None,
        attempt=task.attempt,
    )


def _with_error(result: ECSTaskResult, error: EcsBlockError) -> ECSTaskResult:
    with_error = result.model_copy(update={"error": error})
    if isinstance(error, OutcomeUnknown | TaskStartFailed | TaskStartTimeout | TaskRunTimeout):
        error.result = with_error
    return with_error


def _start_failed(result: ECSTaskResult) -> TaskStartFailed:
    message = f"Task {result.identifier} could not start. {result.reason} {result.advice or ''}".strip()
    return TaskStartFailed(message, identifier=result.identifier, result=result, advice=result.advice)


def _log_complete(task: Task) -> LogComplete:
    if task.stream is None:
        return "unknown"
    # With this mode the driver itself drops lines when its buffer is full, and tells nobody.
    drops = (task.log_options or {}).get("mode") == "non-blocking"
    return "unknown" if drops and task.stream.complete == "yes" else task.stream.complete


async def _tail(task: Task, watched: Watched, judged: Verdict) -> tuple[str, ...]:
    """Give the last lines of output: those that were shown, or for a failure those that can be had with one call."""
    if task.stream is not None:
        return tuple(task.stream.tail)
    if judged.outcome == "succeeded" or task.log_options is None or watched.rank <= RUNNING:
        return ()
    name = stream_name(task.log_options, task.main, watched.task)
    if name is None or not _ran(watched, task.main):
        return ()
    try:
        answer = await task.run.conversation.call(
            "logs",
            "GetLogEvents",
            region=task.log_options.get("awslogs-region"),
            logGroupName=task.log_options["awslogs-group"],
            logStreamName=name,
            limit=TAIL,
        )
    except (AwsError, KeyError):
        return ()  # the lines are an extra; the caller may not even be allowed to read them
    return tuple(str(event.get("message", "")) for event in answer["events"])
