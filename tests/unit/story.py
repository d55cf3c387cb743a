# ruff: noqa: N802, N803  (the cloud is called as AWS's operations are spelled)
"""Stories: processes of one machine, a cloud that outlives them, and what befalls both, in simulated time.

A story is a value: jobs, and steps with the seconds between them. `play` tells it, then lets all faults end, repeats each
command once, and returns what went against the rules, in words; the rules are those of FAULTS.md, I1 to I7 (I2 is the agent's).

What the world is like:

- The machine has one monotonic clock, which stands still while it sleeps, a time of day that somebody may set, one journal
  and one folder of locks. A process has its own line to the cloud, its own `Journal`, and may die at any touch of either;
  what is left of it then touches nothing any more.
- The cloud remembers a token for an hour after its tasks have ended (at most a day), and a task for an hour after its end.
- A call in flight is not abandoned by a cancellation, as `Aws.call` promises. It may be lost on its way there, on its way
  back, or arrive after its sender has given up.
"""

from __future__ import annotations

import contextvars
import copy
import itertools
import logging
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr
from scripted import EPOCH, FakeAws, SimulatedClock, lost, refused, throttled

from ecs_block import ECSTask
from ecs_block.engine import machine_lock
from ecs_block.engine import run as engine
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.journal import Entry, Journal
from ecs_block.engine.prepare import Control, Run
from ecs_block.engine.record import RunJournal
from ecs_block.engine.resume import Found, resume
from ecs_block.engine.stop import kill
from ecs_block.engine.teller import Teller
from ecs_block.errors import (
    AwsError,
    ClusterNotFound,
    EcsBlockError,
    InfrastructureNotFound,
    InvalidTask,
    JournalError,
    Kind,
    OutcomeUnknown,
    TaskLaunchFailed,
    TaskRunTimeout,
    TaskStartFailed,
    TaskStartTimeout,
)
from ecs_block.events import Event, LogLine, TaskLaunched
from ecs_block.plan.result import ECSTaskResult

HOUR = 3600.0
TASK_KEPT = HOUR  # seconds after its end for which the cloud knows a task
TOKEN_KEPT = HOUR  # likewise a token, after the end of its tasks…
TOKEN_KEPT_AT_MOST = 24 * HOUR  # …but not after this
LATENCY = 0.05  # seconds, each way
UNANSWERED = 5.0  # seconds after which a call waits for its answer no more
LATE = 4.0  # seconds after that at which a late request takes effect all the same
OLD = 8.0  # seconds of which an old copy is old

CANARIES = tuple(f"kanarie-{name}-5d41402a" for name in ("named", "hidden", "referred", "argument"))


# --- what a story is made of -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Life:
    """What a task does if nobody interferes: RUNNING after `start` seconds, for `seconds`."""

    seconds: float = 10.0
    end: str = "0"
    """Its exit code; or `none`, `spot`, `unstarted`."""
    start: float = 2.0


@dataclass(frozen=True)
class Job:
    """A block and its run id; the run id is the job's place in the story."""

    lives: tuple[Life, ...] = (Life(),)
    """Of the tasks in the order of their birth; the last one's for all that come later."""
    count: int = 1
    retries: int = 0
    spot: bool = False
    streams: bool = False
    stops: bool = True
    start_timeout: int = 900
    run_timeout: int | None = None
    poll: float = 30.0
    grace: float = 2.0
    """Seconds from a stop to STOPPED."""
    traps: bool = False
    """Whether the program exits with 0 when it is stopped."""
    open: bool = False
    """Whether it has no secrets, so that the journal holds the whole request."""


@dataclass(frozen=True)
class Touch:
    """A process dies at its n-th touch of the cloud or the journal, before or after it took effect."""

    number: int
    before: bool = False


@dataclass(frozen=True)
class Moment:
    """A process dies at the n-th time that it comes to a moment of `ecs_block.engine.failpoint`."""

    name: str
    time: int = 1


@dataclass(frozen=True)
class Start:
    """A command; `alongside` another one in a process that lives already."""

    job: int = 0
    verb: str = "run"
    doom: Touch | Moment | None = None
    alongside: bool = False


@dataclass(frozen=True)
class ToCommand:
    """What befalls one of the commands that run."""

    which: int = 0


class Interrupt(ToCommand):
    """Ctrl-C."""


class Detach(ToCommand):
    """A second Ctrl-C."""


class Die(ToCommand):
    """The process of a command gets SIGKILL."""


@dataclass(frozen=True)
class ToJob:
    """What befalls the tasks of a job."""

    job: int = 0


class Stop(ToJob):
    """`ecs-block stop` by another process: told to the journal, and to the cloud."""


class StopByHand(ToJob):
    """StopTask by somebody in the console."""


class Reclaim(ToJob):
    """Spot takes the tasks away."""


@dataclass(frozen=True)
class SetClock:
    """The time of day jumps."""

    seconds: float


@dataclass(frozen=True)
class Sleep:
    """The lid is closed: the cloud goes on, and the monotonic clock does not."""

    seconds: float


CALLS = ("lost", "answer lost", "late", "throttled", "broken", "broken after", "denied", "expired")
LAUNCHES = ("full", "half", "liar", "impossible")
LOOKS = ("old", "missing")
OPERATIONS = {
    "all": None,
    "launch": {"RunTask"},
    "read": {"DescribeTasks", "ListTasks"},
    "stop": {"StopTask"},
    "definition": {"DescribeTaskDefinition", "RegisterTaskDefinition"},
    "logs": {"GetLogEvents", "FilterLogEvents"},
}


@dataclass(frozen=True)
class Fault:
    """For some seconds, calls of some operations meet this; or the disk of the journal is full."""

    kind: str
    seconds: float
    on: str = "all"

    def meets(self, operation: str) -> bool:
        met = OPERATIONS[self.on]
        return met is None or operation in met


Step = Start | Interrupt | Detach | Die | Stop | StopByHand | Reclaim | SetClock | Sleep | Fault


@dataclass(frozen=True)
class Story:
    """Jobs, and steps with the seconds that pass before each."""

    steps: tuple[tuple[float, Step], ...]
    jobs: tuple[Job, ...] = (Job(),)
    lag: float = 0.0
    """Seconds until a new task can be described and listed, and until a line of output can be read."""
    seed: int = 0


# --- time --------------------------------------------------------------------------------------------------------------


class ProcessClock:
    """The machine's clock as one process reads it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._random = random.Random(f"{process.number} {process.world.story.seed}")

    def now(self) -> float:
        return self._process.world.time.now()

    def wall(self) -> datetime:
        return self._process.world.wall()

    def random(self) -> float:
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        process = self._process
        if process.dead:
            raise PowerCut
        wake = process.world.time.wake_in(seconds)
        process.waiting.add(wake)
        try:
            await wake.wait()
        finally:
            process.waiting.discard(wake)
            if process.dead:
                raise PowerCut


class CloudClock:
    """The cloud's clock: it does not stop for a laptop, and nobody sets it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.time.now() + self._world.slept


# --- the cloud ---------------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """A request on its way: who sent it, and when in the order of all that counts."""

    number: int
    process: Process | None
    operation: str
    params: dict[str, Any]


@dataclass
class Token:
    """What the cloud remembers of a RunTask."""

    params: dict[str, Any]
    arns: list[str]
    failures: list[dict[str, str]]
    born: float


class Cloud(FakeAws):
    """An ECS that forgets, is late, is full, and answers with old copies."""

    def __init__(self, world: World) -> None:
        super().__init__(CloudClock(world))  # type: ignore[arg-type]
        self.world = world
        self.known_tokens: dict[tuple[str, str], Token] = {}
        self.sent: Sent | None = None  # type: ignore[assignment]
        self.born: Counter[tuple[str, str]] = Counter()

    # --- what is true, whoever asks ---

    def of(self, run_id: str, attempt: int | None = None) -> list[str]:
        """Give the tasks of a run."""
        found = [arn for arn, task in self.tasks.items() if task["run"] == run_id]
        return found if attempt is None else [arn for arn in found if self.tasks[arn]["attempt"] == str(attempt)]

    def state(self, arn: str, at: float | None = None) -> dict[str, Any] | None:
        """Give a task as it is; None before its birth."""
        task = self.tasks[arn]
        age = (self.clock.now() if at is None else at) - task["born"]
        if age < 0:
            return None
        seen, version = dict(task["base"]), 0
        for since, changes in task["life"]:
            if since <= age:
                version += 1
                seen |= changes
        code = seen.pop("code", None)
        if code is not None:
            seen["containers"] = [{"name": task["main"], "exitCode": code}]
        return {**seen, "version": version}

    def ended_at(self, arn: str, at: float) -> float | None:
        """Give when a task reached STOPPED; None if it has not."""
        task = self.tasks[arn]
        ends = [task["born"] + since for since, changes in task["life"] if changes.get("lastStatus") == "STOPPED"]
        return ends[0] if ends and ends[0] <= at else None

    def goes_on(self, arn: str) -> bool:
        """Tell whether a task has not ended."""
        return self.ended_at(arn, self.clock.now()) is None

    def is_left(self, arn: str) -> bool:
        """Tell whether a task goes on, and nobody has asked for its end."""
        return self.goes_on(arn) and not self.tasks[arn]["stop asked"]

    def known(self, arn: str, at: float | None = None) -> bool:
        """Tell whether the cloud says what it knows of a task: not yet, and not for ever."""
        at = self.clock.now() if at is None else at
        ended_at = self.ended_at(arn, at)
        return at - self.tasks[arn]["born"] >= self.tasks[arn]["lag"] and (
            ended_at is None or at - ended_at < TASK_KEPT
        )

    # --- launching ---

    def RunTask(self, taskDefinition: str, clientToken: str, **request: Any) -> dict[str, Any]:
        params = copy.deepcopy({"taskDefinition": taskDefinition, **request})
        key = _short(request.get("cluster", "default")), clientToken
        known = self.known_tokens.get(key)
        if known is not None and self._remembered(known):
            if known.params != params:
                raise _conflict(known.arns)
            return {"tasks": [self._again(arn) for arn in known.arns], "failures": known.failures}
        definition = self.DescribeTaskDefinition(taskDefinition)["taskDefinition"]
        if definition["status"] != "ACTIVE":
            raise refused("ClientException", "TaskDefinition is inactive")
        wanted, failures, shown = self._room(request)
        arns = [self._made(definition, request, shown) for _ in range(wanted)]
        self.known_tokens[key] = Token(params, arns if shown else [], failures, self.clock.now())
        return {"tasks": [self.state(arn) for arn in arns] if shown else [], "failures": failures}

    def _remembered(self, token: Token) -> bool:
        now = self.clock.now()
        ends = [self.ended_at(arn, now) for arn in token.arns] or [token.born]
        kept_until = max(now if end is None else end + TOKEN_KEPT for end in ends)
        return now <= kept_until and now < token.born + TOKEN_KEPT_AT_MOST

    def _again(self, arn: str) -> dict[str, Any] | None:
        """Of an ended task, RunTask tells only that."""
        if self.goes_on(arn):
            return self.state(arn)
        return {"taskArn": arn, "lastStatus": "STOPPED", "desiredStatus": "STOPPED"}

    def _room(self, request: Mapping[str, Any]) -> tuple[int, list[dict[str, str]], bool]:
        """Tell how many tasks are started, what is said to have failed, and whether the started ones are told."""
        count = int(request.get("count", 1))
        kind = self.world.fault("RunTask", LAUNCHES)
        full = {"reason": "Capacity is unavailable at this time. Please try again later"}
        if kind == "full":
            return 0, [full] * count, True
        if kind == "half":
            return count // 2, [full] * (count - count // 2), True
        if kind == "liar":
            return count, [full] * count, False
        if kind == "impossible":
            return 0, [{"reason": "ATTRIBUTE", "detail": "no such instance"}] * count, True
        return count, [], True

    def _made(self, definition: dict[str, Any], request: dict[str, Any], told: bool = True) -> str:
        override = request["overrides"]["containerOverrides"][0]
        variables = {item["name"]: item["value"] for item in override.get("environment", [])}
        run_id, attempt = variables.get("ECS_BLOCK_RUN_ID", ""), variables.get("ECS_BLOCK_ATTEMPT", "")
        job = self.world.jobs[request["startedBy"]]
        cluster, number = _short(request.get("cluster", "default")), len(self.tasks) + 1
        arn = f"arn:aws:ecs:{self.region}:1:task/{cluster}/{number:032x}"
        self.tasks[arn] = {
            "born": self.clock.now(),
            "life": _steps(job.lives[min(len(self.of(request["startedBy"])), len(job.lives) - 1)]),
            "run": request["startedBy"],
            "attempt": attempt,
            "job": job,
            "main": override["name"],
            "stop asked": False,
            "told": told,
            "lag": self.world.story.lag if told else 0.0,  # nobody could find one at once that is found late
            "base": {
                "taskArn": arn,
                "clusterArn": f"arn:aws:ecs:{self.region}:1:cluster/{cluster}",
                "taskDefinitionArn": definition["taskDefinitionArn"],
                "startedBy": request["startedBy"],
                "desiredStatus": "RUNNING",
                "overrides": request["overrides"],
                "containers": [{"name": override["name"]}],
            },
        }
        assert self.sent is not None
        self.world.born(self.sent, run_id, attempt, arn)
        return arn

    # --- looking ---

    def DescribeTasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        _check_cluster(cluster)
        kind = self.world.fault("DescribeTasks", LOOKS)
        at = self.clock.now() - (OLD if kind == "old" else 0.0)
        found = {arn: self.state(arn, at) for arn in tasks if arn in self.tasks and self.known(arn, at)}
        found = {arn: task for arn, task in found.items() if task is not None and kind != "missing"}
        missing = [{"arn": arn, "reason": "MISSING"} for arn in tasks if arn not in found]
        return {"tasks": list(found.values()), "failures": missing}

    def ListTasks(self, cluster: str, startedBy: str, desiredStatus: str) -> dict[str, Any]:
        at = self.clock.now() - (OLD if self.world.fault("ListTasks", LOOKS) == "old" else 0.0)
        found = []
        for arn in self.of(startedBy):
            since = at if self.tasks[arn]["told"] else self.clock.now()
            seen = self.state(arn, since) if arn.split("/")[-2] == _short(cluster) else None
            if seen and self.known(arn, since) and seen["desiredStatus"] == desiredStatus:
                found.append(arn)
        return {"taskArns": found}

    # --- ending ---

    def StopTask(self, cluster: str, task: str, reason: str) -> dict[str, Any]:
        _check_cluster(cluster)
        if task not in self.tasks or not self.known(task):
            raise refused("InvalidParameterException", "The referenced task was not found.")
        self.stop_by_hand(task, reason)
        return {"task": self.state(task)}

    def stop_by_hand(self, arn: str, reason: str = "by hand") -> None:
        """Stop a task, whoever asks."""
        self.tasks[arn]["stop asked"] = True
        self._end(arn, stopCode="UserInitiated", stoppedReason=reason)

    def reclaim(self, arn: str) -> None:
        """Take a task away, as Spot does."""
        self._end(arn, stopCode="SpotInterruption", stoppedReason="Your Spot Task was interrupted.")

    def _end(self, arn: str, **end: str) -> None:
        task, now = self.tasks[arn], self.clock.now()
        state = self.state(arn)
        assert state is not None
        if state["desiredStatus"] == "STOPPED":
            return  # it is ending already
        job: Job = task["job"]
        age = now - task["born"]
        task["life"] = [step for step in task["life"] if step[0] <= age]
        ran = state["lastStatus"] == "RUNNING"
        task["life"].append((age, {"lastStatus": "STOPPING", "desiredStatus": "STOPPED"}))
        stopped = {"lastStatus": "STOPPED", "stoppedAt": EPOCH, "code": (0 if job.traps else 143) if ran else None}
        task["life"].append((age + (job.grace if ran else 1.0), {**stopped, **end}))

    # --- output ---

    def lines(self, arn: str, at: float | None = None) -> list[tuple[float, int, str]]:
        """Give the lines of a task: (readable at, timestamp, text). Two of a millisecond, and two that are alike."""
        task = self.tasks[arn]
        begins = [since for since, changes in task["life"] if changes.get("lastStatus") == "RUNNING"]
        if not begins:
            return []
        until = min(since for since, changes in task["life"] if changes.get("desiredStatus") == "STOPPED")
        written = []
        for number in range(24):
            age = begins[0] + 0.7 * (number // 2) ** 1.5
            if age > until:
                break
            at = task["born"] + age
            late = self.world.story.lag * (number % 3) / 2
            written.append((at + late, int((EPOCH.timestamp() + at) * 1000), f"line {number // 3}"))
        return written

    def _readable(self, stream: str) -> list[tuple[int, int, str]]:
        arn = next((arn for arn in self.tasks if arn.endswith("/" + stream.rsplit("/", 1)[-1])), None)
        lines = [] if arn is None else self.lines(arn)
        return sorted((t, number, text) for number, (at, t, text) in enumerate(lines) if at <= self.clock.now())

    def GetLogEvents(self, logGroupName: str, logStreamName: str, **position: Any) -> dict[str, Any]:
        readable = self._readable(logStreamName)
        if not readable:
            raise refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)
        last = tuple(map(int, position["nextToken"].split("/"))) if "nextToken" in position else (-1, -1)
        page = [e for e in readable if e[0] >= position.get("startTime", 0) and e[:2] > last][:7]
        token = page[-1][:2] if page else last
        events = [{"timestamp": t, "message": text, "ingestionTime": t} for t, _, text in page]
        return {"events": events, "nextForwardToken": f"{token[0]}/{token[1]}"}

    def FilterLogEvents(
        self, logGroupName: str, logStreamNames: list[str], startTime: int = 0, nextToken: str = "0"
    ) -> dict[str, Any]:
        readable = sorted(
            (*e[:2], name, e[2]) for name in logStreamNames for e in self._readable(name) if e[0] >= startTime
        )
        if not readable:
            raise refused("ResourceNotFoundException", "The specified log stream does not exist.", Kind.NOT_FOUND)
        end = int(nextToken) + 7
        page = readable[int(nextToken) : end]
        events = [{"timestamp": t, "message": m, "ingestionTime": t, "logStreamName": name} for t, _, name, m in page]
        return {"events": events, **({"nextToken": str(end)} if end < len(readable) else {})}


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _check_cluster(cluster: str) -> None:
    if _short(cluster) != "default":
        raise ClusterNotFound("Cluster not found.", kind=Kind.NOT_FOUND)


def _conflict(arns: Sequence[str]) -> AwsError:
    return AwsError(
        "ecs:RunTask failed: another request has this token.", code="ConflictException", kind=Kind.CONFLICT,
        resource_ids=tuple(arns),
    )  # fmt: skip


def _steps(life: Life) -> list[tuple[float, dict[str, Any]]]:
    began = [(0.0, {"lastStatus": "PROVISIONING"}), (life.start / 2, {"lastStatus": "PENDING"})]
    stopped = {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stoppedAt": EPOCH}
    if life.end == "unstarted":
        why = {"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: no such image"}
        return [*began, (life.start, {**stopped, **why})]
    end = {"stopCode": "EssentialContainerExited", "stoppedReason": "Essential container in task exited"}
    code = int(life.end) if life.end.isdecimal() else None
    if life.end == "spot":
        end = {"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}
        code = 143
    began.append((life.start, {"lastStatus": "RUNNING", "startedAt": EPOCH}))
    return [*began, (life.start + life.seconds, {**stopped, **end, "code": code})]


def _outcome(task: Mapping[str, Any]) -> str:
    """Say what became of a stopped task: the rule of SPEC.md, a second time and simpler, for no sidecar is here."""
    code = task["containers"][0].get("exitCode")
    by_stop_code = {
        "SpotInterruption": "interrupted",
        "UserInitiated": "stopped",
        "TaskFailedToStart": "start_failed",
        "EssentialContainerExited": "succeeded" if code == 0 else "failed",
    }
    return by_stop_code[task["stopCode"]]


# --- processes ---------------------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """The process is gone: nothing is cleaned up, and whatever its coroutines still try comes to nothing."""


_process: contextvars.ContextVar[Process] = contextvars.ContextVar("story_process")


def _reached(name: str) -> None:
    process = _process.get()
    process.moments[name] += 1
    doom = process.doom
    if isinstance(doom, Moment) and (doom.name, doom.time) == (name, process.moments[name]):
        process.die()
    process.must_live()


_lines = itertools.count(1)


class Line:
    """A process's line to the cloud."""

    region = Cloud.region
    endpoint = Cloud.endpoint
    task_events_queue_url: str | None = None

    def __init__(self, process: Process) -> None:
        self._process = process
        self.key = (next(_lines), "the caller")  # what a process has learned, none other knows

    def forget(self, service: str) -> None:
        """Keep nothing."""

    async def call(self, service: str, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        process = self._process
        await anyio.lowlevel.checkpoint()
        process.before_a_touch()
        with anyio.CancelScope(shield=True):
            sent = Sent(next(process.world.numbers), process, operation, params)
            await process.clock.sleep(LATENCY)
            try:
                answer = await self._carried(sent)
            except AwsError as error:
                process.world.say(f"{process} {operation}: {error}")
                raise
            finally:
                process.after_a_touch()
            await process.clock.sleep(LATENCY)
        return answer

    async def _carried(self, sent: Sent) -> dict[str, Any]:
        world = self._process.world
        kind = world.fault(sent.operation, CALLS)
        if kind == "throttled":
            raise throttled()
        if kind == "denied":
            raise refused("AccessDeniedException", "not allowed", Kind.DENIED)
        if kind == "expired":
            raise refused("ExpiredTokenException", "the token has expired", Kind.CREDENTIALS)
        if kind == "broken":
            raise refused("ServerException", "try again", Kind.TRANSIENT)
        if kind == "late":
            world.group.start_soon(world.takes_effect_late, sent)
        if kind in ("lost", "late"):
            await self._process.clock.sleep(UNANSWERED)
            raise lost()
        answer = world.takes_effect(sent)
        if kind == "answer lost":
            await self._process.clock.sleep(UNANSWERED)
            raise lost()
        if kind == "broken after":
            raise refused("ServerException", "try again", Kind.TRANSIENT)
        return answer


class Books(Journal):
    """The journal as one process opens it."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.world.journal, now=lambda: process.world.wall().timestamp())
        self._world = process.world
        self.quick()

    def quick(self) -> None:
        """Spare the fsync: a power cut of the machine is not in these stories."""
        self._file.write(lambda connection: None)
        self._file.rows("PRAGMA synchronous = OFF")

    def stop_requested(self, number: int, reason: str) -> None:
        super().stop_requested(number, reason)
        entry = self.entry(number)
        self._world.stops.setdefault(entry.run_id, next(self._world.numbers))
        self._world.say(f"stop of {entry.run_id} ({entry.attempt}) recorded: {reason}")


class Process:
    """A process: its line, its journal, its clock, and the commands that it runs."""

    def __init__(self, world: World, doom: Touch | Moment | None = None) -> None:
        self.world = world
        self.number = len(world.processes) + 1
        self.doom = doom
        self.dead = False
        self.clock = ProcessClock(self)
        self.waiting: set[anyio.Event] = set()
        self.moments: Counter[str] = Counter()
        self.touches = 0
        self.commands: list[Command] = []
        self.line = Line(self)
        self.books = Books(self)
        world.processes.append(self)

    def __repr__(self) -> str:
        return f"process {self.number}"

    @property
    def lives(self) -> bool:
        return not self.dead and any(not command.ended for command in self.commands)

    def die(self) -> None:
        """Lose power: what waits does so no longer, and what touches the world meets a PowerCut."""
        self.world.say(f"{self} dies")
        self.dead = True
        for wake in self.waiting:
            wake.set()
        for command in self.commands:
            command.scope.cancel()

    def must_live(self) -> None:
        if self.dead:
            raise PowerCut

    def before_a_touch(self) -> None:
        self.must_live()
        self.touches += 1
        if self.doom == Touch(self.touches, before=True):
            self.die()
        self.must_live()

    def after_a_touch(self) -> None:
        if self.doom == Touch(self.touches):
            self.die()
        self.must_live()

    async def aside(self, work: Callable[[], Any]) -> Any:
        """Let the journal work, at once: a thread's time is not the clock's."""
        self.before_a_touch()
        if self.world.fault("journal", ("full disk",)):
            raise JournalError("The journal of runs cannot be used: no space is left.")
        done = work()
        self.after_a_touch()
        return done


@dataclass
class Command:
    """One verb, called in a process."""

    process: Process
    run_id: str
    job: Job
    verb: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    events: list[Event] = field(default_factory=list)
    answer: Any = None
    """What the verb returned; the exception that it raised."""
    interrupted_at: float | None = None
    knew: bool = False
    """Whether it had taken the run up when it was interrupted."""
    detached: bool = False
    ended: bool = False

    def __str__(self) -> str:
        return f"{self.process} {self.verb} {self.run_id}"

    @cached_property
    def run(self) -> Run:
        process = self.process
        task = process.world.block(self.run_id)
        return Run(
            task,
            Conversation(process.line, process.clock),
            Teller(None, self.events.append, process.world.output),
            Control(),
            self.run_id,
            stops_on_interrupt=task.stop_on_interrupt,
            journal=RunJournal(process.books, self.run_id, process.aside),
        )

    @property
    def was_interrupted(self) -> bool:
        return self.scope.cancelled_caught

    async def live(self) -> None:
        _process.set(self.process)
        verb = {"run": engine.run, "start": engine.start, "resume": self._resume}[self.verb]
        world = self.process.world
        world.say(f"{self}")
        try:
            with self.scope:
                self.answer = await verb(self.run)
        except BaseException as error:
            if not self.process.dead:
                if not isinstance(error, Exception):
                    raise
                self.answer = error
        self.ended = True
        if not self.process.dead:
            said = "interrupted" if self.was_interrupted else repr(self.answer)[:300]
            world.say(f"{self} ends: {said}")
            world.checks(world.rules.at_the_end_of, self)

    async def _resume(self, run: Run) -> list[Found]:
        """Take up what is unfinished of the run, as a process does that knows nothing but the journal."""
        books = run.journal
        assert books is not None
        entries = [entry for entry in await books.do(books.journal.unfinished) if entry.run_id == self.run_id]
        anew = partial(replace, run, fields=ECSTask(), stops_on_interrupt=False)
        return await resume(entries, lambda entry: anew(record=None), lambda found: None)

    def interrupt(self) -> None:
        if self.interrupted_at is None:
            self.interrupted_at = self.process.world.time.now()
            self.knew = self.verb != "resume" and self.run.record is not None
            self.scope.cancel()

    def detach(self) -> None:
        if self.interrupted_at is not None:
            self.detached = True
            self.run.control.detach()


# --- the world ---------------------------------------------------------------------------------------------------------


class World:
    """The machine and the cloud of one story."""

    def __init__(self, story: Story, folder: Path, group: Any, heard: list[str]) -> None:
        self.story = story
        self.group = group
        self.heard = heard
        self.journal = folder / "journal.sqlite3"
        self.time = SimulatedClock(story.seed)  # the machine's monotonic clock
        self.slept = 0.0
        self.wall_is_off = 0.0
        self.numbers: Iterator[int] = iter(range(1, 10**9))
        self.jobs = {f"job/{number}": job for number, job in enumerate(story.jobs)}
        self.cloud = Cloud(self)
        self.processes: list[Process] = []
        self.faults: list[tuple[float, float, Fault]] = []
        self.late = 0
        self.stops: dict[str, int] = {}
        self.told: list[str] = []
        self.rules = Rules(self)
        self.output = _Nowhere()
        self._blocks: dict[str, ECSTask] = {}

    def say(self, what: str) -> None:
        self.told.append(f"{self.cloud.clock.now():9.2f}  {what}")

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self.cloud.clock.now() + self.wall_is_off)

    def block(self, run_id: str) -> ECSTask:
        """Give the block of a job; every process has an equal one."""
        if run_id not in self._blocks:
            job = self.jobs[run_id]
            fields: dict[str, Any] = {"launch_type": "FARGATE_SPOT", "spot_fallback": True} if job.spot else {}
            if job.streams:
                fields |= {"stream_output": True, "execution_role_arn": "arn:aws:iam::1:role/execution"}
            if job.count > 1:
                fields["task_run_request"] = {"count": job.count}
            named, hidden, _, argument = CANARIES
            secrets = {"DB_PASSWORD": named, "HIDDEN": SecretStr(hidden), "KEY": {"$secret": "env:STORY_CANARY"}}
            self._blocks[run_id] = ECSTask(
                command=["work", run_id] if job.open else ["work", run_id, "--password", argument],
                env={} if job.open else secrets,
                retries_on_interruption=job.retries,
                stop_on_interrupt=job.stops,
                task_start_timeout_seconds=job.start_timeout,
                task_run_timeout_seconds=job.run_timeout,
                task_watch_poll_interval=job.poll,
                **fields,
            )
        return self._blocks[run_id]

    def checks(self, rule: Callable[..., None], *about: Any) -> None:
        """Check a rule; a mistake in the rule itself must not leave the others waiting for ever."""
        try:
            rule(*about)
        except Exception as error:
            self.rules.broken("the rules", "".join(traceback.format_exception(error)))

    # --- faults ---

    def fault(self, operation: str, kinds: Sequence[str]) -> str | None:
        """Give what befalls a call at this moment; the latest fault counts."""
        now = self.time.now()
        active = [
            f for since, until, f in self.faults if since <= now < until and f.kind in kinds and f.meets(operation)
        ]
        return active[-1].kind if active else None

    def faultless_since(self, time: float, *kinds: str) -> bool:
        """Tell whether nothing (of these kinds) has befallen anybody since a time."""
        late = self.late and not kinds
        return not late and not any(until >= time for _, until, f in self.faults if not kinds or f.kind in kinds)

    def takes_effect(self, sent: Sent) -> dict[str, Any]:
        """Let a request reach the cloud."""
        self.cloud.sent = sent
        answer: dict[str, Any] = getattr(self.cloud, sent.operation)(**sent.params)
        return answer

    async def takes_effect_late(self, sent: Sent) -> None:
        self.late += 1
        await self.time.wake_in(UNANSWERED + LATE).wait()
        try:
            self.takes_effect(sent)
        except AwsError as error:
            self.say(f"late {sent.operation}: {error}")
        self.late -= 1

    def born(self, sent: Sent, run_id: str, attempt: str, arn: str) -> None:
        self.say(f"{_short(arn).lstrip('0')} is born for {run_id} ({attempt}), by {sent.process}")
        self.checks(self.rules.at_the_birth_of, arn, sent)

    # --- steps ---

    def commands(self) -> list[Command]:
        """Give the commands that go on."""
        return [
            command
            for process in self.processes
            if not process.dead
            for command in process.commands
            if not command.ended
        ]

    def starts(self, run_id: str, verb: str = "run", *, doom: Any = None, alongside: bool = False) -> Command:
        living = [process for process in self.processes if process.lives]
        process = living[-1] if alongside and living else Process(self, doom)
        command = Command(process, run_id, self.jobs[run_id], verb)
        process.commands.append(command)
        self.group.start_soon(command.live)
        return command

    async def takes(self, step: Step) -> None:
        """Let one step of the story happen."""
        commands = self.commands()
        run_id = f"job/{getattr(step, 'job', 0) % len(self.jobs)}"
        self.say(f"{step}")
        match step:
            case Start(_, verb, doom, alongside):
                verb = "run" if verb == "start" and self.jobs[run_id].count > 1 else verb
                self.starts(run_id, verb, doom=doom, alongside=alongside)
            case Interrupt(which) if commands:
                commands[which % len(commands)].interrupt()
            case Detach(which) if commands:
                commands[which % len(commands)].detach()
            case Die(which) if commands:
                commands[which % len(commands)].process.die()
            case Stop():
                self.group.start_soon(self._stop, run_id)
            case StopByHand():
                for arn in filter(self.cloud.goes_on, self.cloud.of(run_id)):
                    self.cloud.stop_by_hand(arn)
            case Reclaim():
                for arn in filter(self.cloud.goes_on, self.cloud.of(run_id)):
                    self.cloud.reclaim(arn)
            case SetClock(seconds):
                self.wall_is_off += seconds
            case Sleep(seconds):
                self.slept += seconds
            case Fault(_, seconds):
                self.faults.append((self.time.now(), self.time.now() + seconds, step))

    async def _stop(self, run_id: str) -> None:
        """Stop a run as another process does that knows the journal."""
        process = Process(self)
        _process.set(process)
        entries = self.entries(run_id)
        if not entries or entries[-1].is_free or entries[-1].outcome is not None:
            return
        books = RunJournal(process.books, run_id, process.aside)
        with contextmanager(_quietly)():
            if not entries[-1].tasks:
                process.books.stop_requested(entries[-1].number, "by another process")
            for task in entries[-1].tasks:
                cluster, _, arn = task.partition("::")
                from ecs_block.arn import TaskIdentifier

                await kill(
                    Conversation(process.line, process.clock), TaskIdentifier(cluster, arn), None, "enough", books
                )

    def entries(self, run_id: str) -> list[Entry]:
        """Read what the journal holds of a run, oldest attempt first."""
        return self._reader.attempts(run_id, region=Cloud.region, cluster="default", endpoint=Cloud.endpoint)

    @cached_property
    def _reader(self) -> Journal:
        books = Journal(self.journal)
        books._file.write(lambda connection: None)
        return books

    async def tell(self) -> None:
        """Let the story happen, then the same commands once more without faults, and see that all comes to an end."""
        for gap, step in self.story.steps:
            await self.time.wake_in(gap).wait()
            await self.takes(step)
        await self.time.wake_in(1.0).wait()
        while (calm := max((until for _, until, _ in self.faults), default=0.0)) > self.time.now() or self.late:
            await self.time.wake_in(max(1.0, calm - self.time.now())).wait()
        self.say("calm")
        run_ids = dict.fromkeys(command.run_id for process in self.processes for command in process.commands)
        last = [self.starts(run_id) for run_id in run_ids]
        await self._all_ended()
        for command in last:
            self.rules.at_the_last(command)
        again = [self.starts(run_id) for run_id in run_ids]
        await self._all_ended()
        for first, second in zip(last, again, strict=True):
            self.rules.same_again(first, second)
        self.rules.at_last()

    async def _all_ended(self) -> None:
        lives = [life.start + life.seconds for job in self.jobs.values() for life in job.lives]
        most = 4 * HOUR + sum(3 * job.start_timeout + job.grace * 3 for job in self.jobs.values()) + 3 * sum(lives)
        until = self.time.now() + most
        while self.commands() and self.time.now() < until:
            await self.time.wake_in(20.0).wait()
        for command in self.commands():
            self.rules.broken("hang", f"{command} has not ended after {most:.0f} s")

    def ends(self) -> None:
        """Let nobody wait for anything any more."""
        for process in self.processes:
            process.die()
            process.books.close()
        self._reader.close()


def _quietly() -> Iterator[None]:
    try:
        yield
    except (AwsError, InfrastructureNotFound, JournalError, PowerCut):
        return


class _Nowhere:
    """An output that nobody reads."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Keep nothing."""


# --- the rules ---------------------------------------------------------------------------------------------------------


class Rules:
    """What must hold, whatever the story; each breach is told with the rule's name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.breaches: list[str] = []

    def broken(self, rule: str, how: str) -> None:
        self.world.say(f"!!! {rule}: {how}")
        self.breaches.append(f"{rule}: {how}")

    def at_the_birth_of(self, arn: str, sent: Sent) -> None:
        cloud, task = self.world.cloud, self.world.cloud.tasks[arn]
        run_id, attempt, job = task["run"], task["attempt"], task["job"]
        siblings = cloud.of(run_id, attempt)
        if len(siblings) > job.count:
            self.broken("I1", f"{len(siblings)} tasks for attempt {attempt} of {run_id}, {job.count} wanted")
        if sent.number > self.world.stops.get(run_id, 10**9):
            self.broken("I7", f"a task for attempt {attempt} of {run_id} was asked for after its stop was recorded")

    def at_the_end_of(self, command: Command) -> None:
        answer = command.answer
        if command.was_interrupted:
            self._left_by(command)
        elif isinstance(answer, ECSTaskResult):
            self._result_is_true(command, answer)
            self._lines_are_true(command, answer)
        elif isinstance(answer, Exception):
            self._error_is_true(command, answer)
        elif isinstance(answer, list):
            for found in answer:
                if found.result is not None:
                    self._ends_are_true(command, command.run_id, found.entry.attempt, found.result)

    def _left_by(self, command: Command) -> None:
        """After Ctrl-C: the journal knows of the stop, and so does every task, if nothing stood in the way."""
        world, since = self.world, command.interrupted_at or 0.0
        if not command.job.stops or not command.knew or not world.faultless_since(since, "full disk"):
            return
        entries = world.entries(command.run_id)
        latest = entries[-1]
        over = latest.outcome is not None and (
            latest.outcome["outcome"] != "interrupted" or latest.attempt > command.job.retries
        )
        if not over and not any(entry.stop_reason for entry in entries):
            self.broken("I7", f"{command} was interrupted, and no stop is recorded")
        if command.detached or not world.faultless_since(since):
            return
        for arn in filter(world.cloud.is_left, world.cloud.of(command.run_id)):
            self.broken("left running", f"{command} was interrupted, and did not stop {_short(arn)}")

    def _result_is_true(self, command: Command, result: ECSTaskResult) -> None:
        cloud = self.world.cloud
        attempts = {int(cloud.tasks[arn]["attempt"]) for arn in cloud.of(command.run_id)}
        if result.attempt < max(attempts, default=0):
            self.broken("I6", f"{command} gave attempt {result.attempt} of {attempts}")
        self._ends_are_true(command, command.run_id, result.attempt, result)

    def _ends_are_true(self, who: object, run_id: str, attempt: int, result: ECSTaskResult) -> None:
        cloud = self.world.cloud
        told = {one.identifier.rpartition("::")[2]: one for one in (result.tasks or (result,)) if one.identifier}
        if set(told) != set(cloud.of(run_id, attempt)):
            mine = [_short(arn).lstrip("0") for arn in told]
            there = [_short(arn).lstrip("0") for arn in cloud.of(run_id, attempt)]
            self.broken("I6", f"{who} tells of the tasks {mine}, and there are {there}")
        for arn, one in told.items():
            if one.outcome == "unknown":
                continue
            timed_out = isinstance(one.error, TaskStartTimeout | TaskRunTimeout)
            truth = (
                "running"
                if cloud.is_left(arn)
                else "stopped"
                if cloud.goes_on(arn)
                else _outcome(cloud.state(arn) or {})
            )
            if truth != one.outcome and not (timed_out and truth in ("interrupted", "start_failed")):
                self.broken("I6", f"{who} says {one.outcome} of {_short(arn).lstrip('0')}, which is {truth}")
        if bool(result) and not all(told.values()):
            self.broken("I6", f"{who} is a success, and not all of its tasks are")

    def _lines_are_true(self, command: Command, result: ECSTaskResult) -> None:
        if not any(isinstance(event, TaskLaunched) and event.attempt == result.attempt for event in command.events):
            return  # it was recorded, and nothing is shown of it again
        for one in result.tasks or (result,):
            if one.log_complete == "yes" and one.identifier:
                shown = [e.message for e in command.events if isinstance(e, LogLine) and e.identifier == one.identifier]
                written = [text for _, _, text in self.world.cloud.lines(one.identifier.rpartition("::")[2])]
                same = Counter(shown) == Counter(written) if self.world.story.lag else shown == written
                if not same:
                    self.broken("I4", f"{command} showed {shown}; written was {written}")

    def _error_is_true(self, command: Command, error: Exception) -> None:
        cloud = self.world.cloud
        if not isinstance(error, EcsBlockError) or isinstance(error, InvalidTask):
            told = "".join(traceback.format_exception(error))
            self.broken("errors", f"{command} raised {error!r}\n{told}")
        if isinstance(error, JournalError) and self.world.faultless_since(0.0, "full disk"):
            self.broken("errors", f"{command} raised {error!r}")
        if isinstance(error, TaskStartFailed | TaskStartTimeout | TaskRunTimeout):
            result = error.result
            if result is None:
                self.broken("errors", f"{command} raised {error!r} without a result")
                return
            running = [arn for arn in cloud.of(command.run_id, result.attempt) if cloud.is_left(arn)]
            if running:
                self.broken("I6", f"{command} raised {type(error).__name__}, and {len(running)} tasks run")
            if not result.tasks and command.job.count == 1:
                self._ends_are_true(command, command.run_id, result.attempt, result)
        if isinstance(error, TaskLaunchFailed) and any(map(cloud.is_left, cloud.of(command.run_id))):
            self.broken("I6", f"{command} says {error}, and a task runs")

    def at_the_last(self, command: Command) -> None:
        """The same command after all faults: whatever can be known is known, and nothing is left running."""
        cloud, answer = self.world.cloud, command.answer
        if not command.ended:
            return
        left = [_short(arn).lstrip("0") for arn in cloud.of(command.run_id) if cloud.is_left(arn)]
        if left:
            self.broken("left behind", f"the last {command} ended ({answer!r:.80}), and {left} run")
        if isinstance(answer, OutcomeUnknown | AwsError):
            tasks = cloud.of(command.run_id, self.world.entries(command.run_id)[-1].attempt)
            if len(tasks) >= command.job.count and all(map(cloud.known, tasks)):  # of a part the rest may be unknown
                self.broken(
                    "can be known", f"the last {command} said {answer!r:.200}, and AWS knows {len(tasks)} tasks"
                )

    def same_again(self, first: Command, second: Command) -> None:
        if isinstance(first.answer, ECSTaskResult):
            told = [
                (answer.identifier, answer.outcome, answer.status_code, answer.attempt)
                if isinstance(answer, ECSTaskResult)
                else repr(answer)
                for answer in (first.answer, second.answer)
            ]
            if told[0] != told[1] and not self._timed_out_meanwhile(first.answer, second.answer):
                self.broken("same again", f"{told[0]} became {told[1]}")

    @staticmethod
    def _timed_out_meanwhile(watched: ECSTaskResult, recorded: object) -> bool:
        """Tell whether another process's time was up, and its word was recorded, while this one saw the task stop."""
        if not isinstance(recorded, TaskStartTimeout | TaskRunTimeout) or recorded.result is None:
            return False
        ends = [(result.identifier, result.outcome, result.attempt) for result in (watched, recorded.result)]
        return ends[0] == ends[1] and watched.outcome == "stopped"

    def at_last(self) -> None:
        cloud = self.world.cloud
        for run_id in self.world.jobs:
            for entry in self.world.entries(run_id):
                self._entry_is_true(run_id, entry)
        known = self.world._reader.known(cloud.tasks)
        for arn, task in cloud.tasks.items():
            if arn not in known and task["run"] not in self.world.jobs:
                self.broken("I3", f"{arn} can be found by nobody")
        for process in self.world.processes:
            if process.dead and any(not command.ended for command in process.commands):
                self.broken("hang", f"{process} is dead, and goes on")
        self._no_secret_is_told()

    def _entry_is_true(self, run_id: str, entry: Entry) -> None:
        if entry.state == "refused" and self.world.cloud.of(run_id, entry.attempt):
            self.broken("journal", f"attempt {entry.attempt} of {run_id} is recorded as refused, and has a task")
        if entry.outcome is not None:
            from ecs_block.plan.result import from_record

            self._ends_are_true("the journal", run_id, entry.attempt, from_record(entry.outcome))

    def _no_secret_is_told(self) -> None:
        for process in self.world.processes:
            process.books.close()
        self.world._reader.close()
        written = b"".join(path.read_bytes() for path in self.world.journal.parent.glob("journal*"))
        said = [repr(event) for p in self.world.processes for c in p.commands for event in c.events]
        for command in (command for process in self.world.processes for command in process.commands):
            if isinstance(command.answer, Exception):
                said += [str(command.answer), *traceback.format_exception(command.answer)]
            elif command.answer is not None:
                said += [repr(command.answer)]
            if isinstance(command.answer, ECSTaskResult):
                said += [command.answer.model_dump_json()]
        everything = "\n".join([*said, *self.world.heard, written.decode(errors="replace")])
        for canary in CANARIES:
            if (found := everything.find(canary)) >= 0:
                self.broken("I5", f"{everything[max(0, found - 200) : found + 60]}")
        if "never retrieved" in everything:
            self.broken("errors", "asyncio found an exception that nobody took")


# --- playing -----------------------------------------------------------------------------------------------------------


class _Ear(logging.Handler):
    """Hears everything, at DEBUG."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())
        if record.exc_info:
            self.heard += traceback.format_exception(record.exc_info[1])


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Hear what the library and asyncio log, and spare pytest the work of keeping it."""
    ear = _Ear()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ecs_block", "asyncio"):
            logger = logging.getLogger(name)
            patch.setattr(logger, "handlers", [ear])
            patch.setattr(logger, "propagate", False)
            patch.setattr(logger, "level", logging.DEBUG)
            logger._cache.clear()  # type: ignore[attr-defined]
        try:
            yield ear.heard
        finally:
            for name in ("ecs_block", "asyncio"):
                logging.getLogger(name)._cache.clear()  # type: ignore[attr-defined]


def play(story: Story, backend: str = "asyncio") -> World:
    """Tell a story in simulated time. `world.rules.breaches` is empty when all went well."""

    async def main(folder: Path, heard: list[str]) -> World:
        async with anyio.create_task_group() as group:
            world = World(story, folder, group, heard)
            group.start_soon(world.time.drive)
            try:
                await world.tell()
            finally:
                world.ends()
            group.cancel_scope.cancel()
        return world

    with (
        tempfile.TemporaryDirectory(prefix="story-") as folder,
        pytest.MonkeyPatch.context() as patch,
        _listening() as heard,
    ):
        patch.setenv("ECS_BLOCK_HOME", folder)
        patch.setenv("STORY_CANARY", CANARIES[2])
        patch.setattr(machine_lock, "LOOK_EVERY", 1.0)  # seconds; a lock may be waited for through hours of the story
        for module in ("launch", "once_only", "record"):
            patch.setattr(f"ecs_block.engine.{module}.reached", _reached)
        return anyio.run(partial(main, Path(folder), heard), backend=backend)
