"""The engine's two seams, scripted: a clock that jumps, and an ECS in memory that lives on it."""

from __future__ import annotations

import asyncio
import heapq
import inspect
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel
import trio.testing

from ecs_block import ECSTask
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Journal
from ecs_block.engine.prepare import Control, Run
from ecs_block.engine.record import RunJournal
from ecs_block.engine.teller import Teller
from ecs_block.errors import AwsError, ClusterNotFound, Kind, TaskDefinitionNotFound
from ecs_block.events import Event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


class SimulatedClock:
    """Time passes only when everybody waits, and then at once."""

    def __init__(self, seed: int = 0) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._order = itertools.count()
        self._random = random.Random(seed)

    def now(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self._now)

    def random(self) -> float:
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        await self.wake_in(seconds).wait()

    def wake_in(self, seconds: float) -> anyio.Event:
        """Give an event that is set after some seconds."""
        wake = anyio.Event()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), wake))
        return wake

    async def drive(self) -> None:
        while True:
            await everybody_waits()
            if self._sleepers:
                self._now, _, wake = heapq.heappop(self._sleepers)
                wake.set()


async def everybody_waits() -> None:
    """Return when no other task of this event loop has anything to do."""
    try:
        this = asyncio.current_task()
    except RuntimeError:
        await trio.testing.wait_all_tasks_blocked()
        return
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    rounds = (
        0  # in which all tasks waited, and callbacks ran: one may wake a task, and a cancelled scope is never still
    )
    while rounds < 30:  # anyio's own function looks ten times a second
        await asyncio.sleep(0)
        waiters = [task._fut_waiter for task in asyncio.all_tasks() if task is not this]  # type: ignore[attr-defined]
        all_wait = all(waiter is not None and not waiter.done() for waiter in waiters)
        if all_wait and not ready:
            return
        rounds = rounds + 1 if all_wait else 0


def simulate(work: Callable[[SimulatedClock], Awaitable[Any]], backend: str = "asyncio") -> Any:
    """Run a coroutine on a clock of its own and give its value."""

    async def main() -> Any:
        clock = SimulatedClock()
        value, failure = None, None
        async with anyio.create_task_group() as group:
            group.start_soon(clock.drive)
            try:
                value = await work(clock)
            except Exception as error:  # a task group would wrap it
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return value

    return anyio.run(main, backend=backend)


def refused(code: str, message: str = "", kind: Kind = Kind.INVALID, operation: str = "ecs:Test") -> AwsError:
    """Make the error of a refused call."""
    return AwsError(
        f"{operation} failed: {message} ({code}).", operation=operation, code=code, kind=kind, aws_message=message
    )


def throttled() -> AwsError:
    return refused("ThrottlingException", "Rate exceeded", Kind.THROTTLED)


def conflict(arns: Sequence[str]) -> AwsError:
    """Make the error of a client token that was used for another request."""
    return AwsError(
        "ecs:RunTask failed: another request has this token.",
        operation="ecs:RunTask",
        code="ConflictException",
        kind=Kind.CONFLICT,
        resource_ids=tuple(arns),
    )


def lost() -> AwsError:
    return AwsError("ecs:Test got no answer: read timed out", operation="ecs:Test", kind=Kind.TRANSIENT)


class FakeAws:
    """An ECS, a VPC and log streams in memory. A task's life is a list of (seconds after launch, changes)."""

    region = "eu-test-1"
    endpoint = "https://ecs.eu-test-1.amazonaws.test"
    task_events_queue_url: str | None = None

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.key = ("fake", next(_numbers))
        self.calls: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.definitions: dict[str, list[dict[str, Any]]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, list[str]] = {}
        self.asked: dict[str, str] = {}
        self.lives: list[list[tuple[float, dict[str, Any]]]] = []
        self.answers: dict[str, list[Any]] = {}
        self.log_events: list[tuple[float, int, str]] = []
        self.heard = -1.0
        self.subnets = [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone} for zone in "abc"]
        self.vpcs = [{"VpcId": "vpc-default"}]

    def answer_next(self, operation: str, *answers: Any) -> None:
        """Let the next calls of an operation raise an error, or give an answer; after an `After`, it takes effect first."""
        self.answers.setdefault(operation, []).extend(answers)

    def forget(self, service: str) -> None:
        """Keep nothing."""

    async def call(self, service: str, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        self.calls[operation] += 1
        self.requests.append((operation, params))
        queued = self.answers.get(operation)
        scripted = queued.pop(0) if queued else None
        if isinstance(scripted, After):
            getattr(self, operation)(**params)
            raise scripted.error
        if isinstance(scripted, Exception):
            raise scripted
        if scripted is not None:
            return scripted
        answer = getattr(self, operation)(**params)
        return await answer if inspect.isawaitable(answer) else answer

    def sent(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of all calls of an operation."""
        return [params for name, params in self.requests if name == operation]

    # --- definitions ----------------------------------------------------------------------------------------------------

    def DescribeTaskDefinition(self, taskDefinition: str) -> dict[str, Any]:
        family, _, revision = taskDefinition.rsplit("/", 1)[-1].partition(":")
        found = self.definitions.get(family, [])
        if revision:
            found = [item for item in found if str(item["revision"]) == revision]
        else:
            found = [item for item in found if item["status"] == "ACTIVE"]
        if not found:
            raise TaskDefinitionNotFound("no such definition", kind=Kind.NOT_FOUND, code="ClientException")
        return {"taskDefinition": found[-1]}

    def RegisterTaskDefinition(self, **definition: Any) -> dict[str, Any]:
        revisions = self.definitions.setdefault(definition["family"], [])
        number = len(revisions) + 1
        arn = f"arn:aws:ecs:{self.region}:1:task-definition/{definition['family']}:{number}"
        made = {**definition, "revision": number, "status": "ACTIVE", "taskDefinitionArn": arn}
        revisions.append(made)
        return {"taskDefinition": made}

    def DeregisterTaskDefinition(self, taskDefinition: str) -> dict[str, Any]:
        made = self.DescribeTaskDefinition(taskDefinition)["taskDefinition"]
        made["status"] = "INACTIVE"
        return {"taskDefinition": made}

    # --- network --------------------------------------------------------------------------------------------------------

    def DescribeVpcs(self, Filters: Any) -> dict[str, Any]:
        return {"Vpcs": self.vpcs}

    def DescribeSubnets(self, Filters: Any, NextToken: str | None = None) -> dict[str, Any]:
        start = int(NextToken or 0)
        page = {"Subnets": self.subnets[start : start + 5]}
        return {**page, "NextToken": str(start + 5)} if start + 5 < len(self.subnets) else page

    # --- tasks ----------------------------------------------------------------------------------------------------------

    def RunTask(self, taskDefinition: str, clientToken: str, **request: Any) -> dict[str, Any]:
        asked = json.dumps([taskDefinition, request], sort_keys=True)
        if clientToken in self.tokens:
            if self.asked[clientToken] != asked:
                raise conflict(self.tokens[clientToken])
            return {"tasks": [self._seen(arn) for arn in self.tokens[clientToken]], "failures": []}
        definition = self.DescribeTaskDefinition(taskDefinition)["taskDefinition"]
        if definition["status"] != "ACTIVE":
            raise refused("ClientException", "TaskDefinition is inactive")
        arns = [self._made(definition, request) for _ in range(request.get("count", 1))]
        self.tokens[clientToken], self.asked[clientToken] = arns, asked
        return {"tasks": [self._seen(arn) for arn in arns], "failures": []}

    def _made(self, definition: dict[str, Any], request: dict[str, Any]) -> str:
        cluster = request.get("cluster", "default").rsplit("/", 1)[-1]
        arn = f"arn:aws:ecs:{self.region}:1:task/{cluster}/{next(_numbers):032x}"
        main = request["overrides"]["containerOverrides"][0]["name"]
        self.tasks[arn] = {
            "born": self.clock.now(),
            "life": self.lives.pop(0) if self.lives else life_of(10.0),
            "startedBy": request.get("startedBy"),
            "main": main,
            "base": {
                "taskArn": arn,
                "clusterArn": f"arn:aws:ecs:{self.region}:1:cluster/{cluster}",
                "taskDefinitionArn": definition["taskDefinitionArn"],
                "containers": [{"name": main}],
                "overrides": request["overrides"],
                "startedBy": request.get("startedBy"),
            },
        }
        return arn

    def _seen(self, arn: str) -> dict[str, Any] | None:
        task = self.tasks[arn]
        age = self.clock.now() - task["born"]
        seen, version = dict(task["base"]), 0
        for at, changes in task["life"]:
            if at <= age:
                version += 1
                seen |= changes
        if seen.get("lastStatus") == "GONE":
            return None
        if "exitCode" in seen:
            seen["containers"] = [{"name": task["main"], "exitCode": seen.pop("exitCode")}]
        return {**seen, "version": version}

    def DescribeTasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        if len(tasks) > 100:
            raise refused("InvalidParameterException", "Tasks can not be more than 100")
        if cluster == "gone":
            raise ClusterNotFound("Cluster not found.", kind=Kind.NOT_FOUND)
        seen = {arn: self._seen(arn) if arn in self.tasks else None for arn in tasks}
        return {
            "tasks": [task for task in seen.values() if task is not None],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn, task in seen.items() if task is None],
        }

    def StopTask(self, cluster: str, task: str, reason: str) -> dict[str, Any]:
        found = self.tasks.get(task)
        if found is None:
            raise refused("InvalidParameterException", "The referenced task was not found.")
        seen = self._seen(task)
        if seen is not None and seen.get("lastStatus") != "STOPPED":
            age = self.clock.now() - found["born"]
            found["life"] = [step for step in found["life"] if step[0] <= age]
            found["life"].append((age, {"lastStatus": "STOPPING"}))
            ended = {"lastStatus": "STOPPED", "stopCode": "UserInitiated", "stoppedReason": reason, "exitCode": 143}
            found["life"].append((age + 2, ended))
        return {"task": self._seen(task) or {}}

    def ListTasks(self, cluster: str, startedBy: str, desiredStatus: str) -> dict[str, Any]:
        found = []
        for arn, task in self.tasks.items():
            seen = self._seen(arn)
            stopped = seen is not None and seen.get("lastStatus") == "STOPPED"
            if task["startedBy"] == startedBy and stopped == (desiredStatus == "STOPPED"):
                found.append(arn)
        return {"taskArns": found}

    # --- events ---------------------------------------------------------------------------------------------------------

    async def ReceiveMessage(self, QueueUrl: str, MaxNumberOfMessages: int, WaitTimeSeconds: int) -> dict[str, Any]:
        """Give the events of all changes since the last time, and wait for one if there is none."""
        until = self.clock.now() + WaitTimeSeconds
        while True:
            changes = [(task["born"] + at, arn) for arn, task in self.tasks.items() for at, _ in task["life"]]
            new = sorted(change for change in changes if self.heard < change[0] <= self.clock.now())
            if new or self.clock.now() >= until:
                break
            await self.clock.sleep(0.5)
        self.heard = self.clock.now()
        bodies = [{"detail-type": "ECS Task State Change", "detail": {"taskArn": arn}} for _, arn in new]
        texts = [*map(json.dumps, bodies), "not json", "[]"] if new else []
        return {"Messages": [{"Body": text, "ReceiptHandle": str(index)} for index, text in enumerate(texts)]}

    def DeleteMessageBatch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:
        return {}

    # --- logs -----------------------------------------------------------------------------------------------------------

    def GetLogEvents(self, logGroupName: str, logStreamName: str, **position: Any) -> dict[str, Any]:
        """Answer as CloudWatch does: by timestamp; a token passes late events that belong before it."""
        now = self.clock.now()
        visible = [
            (timestamp, number, message)
            for number, (at, timestamp, message) in enumerate(self.log_events)
            if at <= now and timestamp >= position.get("startTime", 0)
        ]
        visible.sort(key=lambda event: event[:2])
        last = tuple(map(int, position["nextToken"].split("/"))) if "nextToken" in position else (-1, -1)
        page = [event for event in visible if event[:2] > last][:3]
        token = page[-1][:2] if page else last
        events = [{"timestamp": t, "message": m, "ingestionTime": t} for t, _, m in page]
        return {"events": events, "nextForwardToken": f"{token[0]}/{token[1]}"}

    def FilterLogEvents(
        self, logGroupName: str, logStreamNames: list[str], startTime: int = 0, nextToken: str = "0"
    ) -> dict[str, Any]:
        """Answer for several streams, which all hold the same events here, in pages of a hundred."""
        now = self.clock.now()
        visible = [
            (timestamp, number, name, message)
            for number, (at, timestamp, message) in enumerate(self.log_events)
            for name in logStreamNames
            if at <= now and timestamp >= startTime
        ]
        visible.sort()
        start, end = int(nextToken), int(nextToken) + 100
        page = visible[start:end]
        events = [{"timestamp": t, "message": m, "ingestionTime": t, "logStreamName": name} for t, _, name, m in page]
        return {"events": events, **({"nextToken": str(end)} if end < len(visible) else {})}


class After:
    """The call takes effect, and then its answer is lost."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def life_of(seconds: float, *, code: int | None = 0, **end: Any) -> list[tuple[float, dict[str, Any]]]:
    """The usual life: PROVISIONING, PENDING after 1 s, RUNNING after 2 s, STOPPED `seconds` later."""
    stopped = {
        "lastStatus": "STOPPED",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
    }
    if code is not None:
        stopped["exitCode"] = code
    return [
        (0.0, {"lastStatus": "PROVISIONING"}),
        (1.0, {"lastStatus": "PENDING"}),
        (2.0, {"lastStatus": "RUNNING", "startedAt": EPOCH}),
        (2.0 + seconds, {**stopped, **end}),
    ]


def make_run(
    aws: FakeAws,
    clock: SimulatedClock,
    seen: list[Event] | None = None,
    run_id: str | None = None,
    journal: Journal | None = None,
    **fields: Any,
) -> Run:
    """Make a run of a block against the fake. The journal's work is done at once: a thread's time is not the clock's."""
    task = ECSTask(**{"command": ["true"], **fields})
    hook = seen.append if seen is not None else None
    return Run(
        task,
        Conversation(aws, clock),
        Teller(task.name, hook, fields.get("output")),
        Control(),
        run_id,
        stops_on_interrupt=task.stop_on_interrupt,
        journal=None if journal is None or run_id is None else RunJournal(journal, run_id, _at_once),
    )


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()
