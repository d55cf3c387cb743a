"""The shared watcher: one for each client and cluster of an event loop, 100 tasks a call.

A task is looked at soon after its launch, then less and less often, up to its own poll interval. Every look takes along the
tasks that are due soon anyway, so that calls stay full. What comes back only moves a task forward: an answer with a lower
`version`, or an earlier status, is an old copy and is dropped.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from anyio.lowlevel import RunVar

from ecs_block.arn import short_name
from ecs_block.aws import redactor
from ecs_block.engine.clock import backoff
from ecs_block.engine.conversation import Conversation
from ecs_block.engine.relay import Relay, Ticket
from ecs_block.engine.task_events import TaskEvents
from ecs_block.errors import AwsError, Kind

logger = logging.getLogger("ecs_block")

BATCH = 100  # API reference, DescribeTasks
FIRST_LOOKS = (0.3, 0.7, 1.0, 1.5, 2.5, 4.0)  # seconds between the first looks at a task
MISSING_PATIENCE = 60.0  # seconds for which AWS may not know a task that it has accepted
REFUSAL_PATIENCE = 60.0  # seconds for which AWS may refuse to describe tasks (a permission that is just being changed)
SAFETY_NET = 180.0  # seconds between two looks where events tell of changes
SAY_TROUBLE_EVERY = 60.0  # seconds

STATUSES = (
    "PROVISIONING",
    "PENDING",
    "ACTIVATING",
    "RUNNING",
    "DEACTIVATING",
    "STOPPING",
    "DEPROVISIONING",
    "STOPPED",
    "DELETED",
)
_RANKS = {status: rank for rank, status in enumerate(STATUSES)}
RUNNING = _RANKS["RUNNING"]
STOPPED = _RANKS["STOPPED"]


# What is read of a task again; AWS tells ten times as much, and a thousand runs would keep it.
_KEPT = frozenset(
    {"taskArn", "clusterArn", "taskDefinitionArn", "lastStatus", "version", "stopCode", "stoppedReason", "containers"}
    | {"attributes", "createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt", "executionStoppedAt"}
    | {"stoppedAt"}
)
_KEPT_OF_CONTAINER = frozenset({"name", "exitCode", "reason", "lastStatus", "image", "runtimeId"})


def kept(task: Mapping[str, Any]) -> dict[str, Any]:
    """Give of a described task what is needed of it."""
    found = {key: value for key, value in task.items() if key in _KEPT}
    if "stoppedReason" in found:  # AWS's words may repeat what the task was given
        found["stoppedReason"] = redactor().text(str(found["stoppedReason"]))
    if "containers" in found:
        found["containers"] = [
            {key: _masked(key, value) for key, value in container.items() if key in _KEPT_OF_CONTAINER}
            for container in found["containers"]
        ]
    return found


def _masked(key: str, value: Any) -> Any:
    return redactor().text(value) if key == "reason" and isinstance(value, str) else value


class Watched:
    """A task that is being watched: what was last seen of it, and when to look again."""

    __slots__ = (
        "arn",
        "deadline",
        "due",
        "error",
        "interval",
        "looks",
        "missing_since",
        "rank",
        "seen_at",
        "task",
        "ticket",
        "version",
    )

    def __init__(self, arn: str, interval: float) -> None:
        self.arn = arn
        self.interval = interval
        self.due = math.inf
        self.deadline = math.inf
        self.looks = 0
        self.task: Mapping[str, Any] = {}
        self.version = -1
        self.rank = -1
        self.missing_since: float | None = None
        self.seen_at = -math.inf
        self.error: AwsError | None = None
        self.ticket = Ticket()

    @property
    def status(self) -> str:
        """The last status that was seen; empty before the first."""
        return str(self.task.get("lastStatus", ""))

    @property
    def has_started(self) -> bool:
        """True once the task has been RUNNING, seen or not."""
        return self.rank >= 0 and (self.rank == RUNNING or self.task.get("startedAt") is not None)

    def observe(self, task: Mapping[str, Any]) -> bool:
        """Take a description in; returns whether it tells something new."""
        version, rank = int(task.get("version", 0)), _RANKS.get(str(task.get("lastStatus")), self.rank)
        self.missing_since = None
        if version < self.version or rank < self.rank:
            return False
        news = rank != self.rank or version != self.version
        self.task, self.version, self.rank = kept(task), version, rank
        return news

    def next_pause(self) -> float:
        """Seconds until the next look."""
        quick = FIRST_LOOKS[self.looks] if self.looks < len(FIRST_LOOKS) else self.interval
        return min(quick, self.interval)


class Watcher:
    """Looks at the tasks of one cluster for every run that waits."""

    def __init__(self, conversation: Conversation, cluster: str) -> None:
        self._conversation = conversation
        self._clock = conversation.clock
        self._cluster = cluster
        self._watched: set[Watched] = set()  # a task may be watched by several runs
        self._relay = Relay(self._turn, conversation.clock)
        # Heaps may hold entries that are out of date: those whose time is not the task's own any more.
        self._dues: list[tuple[float, int, Watched]] = []
        self._deadlines: list[tuple[float, int, Watched]] = []
        self._number = itertools.count()
        self._resting_until = -math.inf
        self._earliest = 0.0
        self._failures = 0
        self._refused_since = math.inf
        self._trouble_said = -math.inf
        queue = conversation.aws.task_events_queue_url
        self._events = TaskEvents(conversation, queue) if queue else None

    def add(self, task: Mapping[str, Any], interval: float) -> Watched:
        """Begin to watch a task that RunTask or DescribeTasks gave."""
        watched = Watched(str(task["taskArn"]), interval)
        # Of a task that has ended, RunTask tells only that (when a token is sent again): DescribeTasks has to say how.
        if task.get("lastStatus") != "STOPPED" or "stoppedAt" in task:
            watched.observe(task)
        self._watched.add(watched)
        self._look_at(watched, self._clock.now() + min(FIRST_LOOKS[0], interval))
        return watched

    def remove(self, watched: Watched) -> None:
        """Stop watching."""
        self._watched.discard(watched)

    def wake_at(self, watched: Watched, deadline: float) -> None:
        """Let `news` return at a time (on the clock) though there may be no news; infinity for never."""
        watched.deadline = deadline
        if deadline < math.inf:
            heapq.heappush(self._deadlines, (deadline, next(self._number), watched))
            self._no_rest_after(deadline)

    async def news(self, watched: Watched) -> None:
        """Wait until there is news of the task, or its deadline has passed. Raises AwsError when it cannot be watched."""
        await self._relay.wait(watched.ticket)
        watched.ticket.called = False  # what comes while the caller acts on this news is news again
        if watched.error is not None:
            raise watched.error

    def _look_at(self, watched: Watched, due: float) -> None:
        watched.due = due
        heapq.heappush(self._dues, (due, next(self._number), watched))
        self._no_rest_after(due)

    def _no_rest_after(self, time: float) -> None:
        if time < self._resting_until:
            self._relay.poke()

    async def _turn(self) -> None:
        now = self._clock.now()
        while self._first(self._deadlines, "deadline") <= now:
            heapq.heappop(self._deadlines)[2].ticket.call()
        wake = min(max(self._first(self._dues, "due"), self._earliest), self._first(self._deadlines, "deadline"))
        if wake > now:
            await self._rest(wake)
            return
        due = self._due(now)
        for start in range(0, len(due), BATCH):
            await self._look(due[start : start + BATCH])
        # Many tasks need no quicker rhythm than their own: without this, each one's phase would cost a call.
        pace = min((watched.interval for watched in due), default=0.0)
        self._earliest = max(self._earliest, self._clock.now() + min(pace, 0.1 + len(self._watched) / 300))

    async def _rest(self, wake: float) -> None:
        seconds = wake - self._clock.now()
        if self._events is not None and self._events.healthy and seconds >= 1:
            await self._listen(self._events, seconds)
            return
        self._resting_until = wake
        await self._relay.rest(min(seconds, 3600.0))
        self._resting_until = -math.inf

    async def _listen(self, events: TaskEvents, seconds: float) -> None:
        """Spend the rest at the queue of events; a task that one is about is looked at now."""
        changed = set(await events.listen(seconds))
        for watched in self._watched:
            if watched.arn in changed or not events.healthy:
                self._look_at(watched, min(watched.due, self._clock.now()))

    def _pause(self, watched: Watched) -> float:
        quick = watched.next_pause()
        listens = self._events is not None and self._events.healthy and watched.looks >= len(FIRST_LOOKS) // 2
        return max(quick, SAFETY_NET) if listens else quick

    def _first(self, heap: list[tuple[float, int, Watched]], of: str) -> float:
        """Give the first time in a heap that still counts, and drop those before it that do not."""
        while heap:
            time, _, watched = heap[0]
            if getattr(watched, of) == time and watched in self._watched:
                return time
            heapq.heappop(heap)
        return math.inf

    def _due(self, now: float) -> list[Watched]:
        """Take the tasks to look at: those that are due, and with them those that nearly are.

        So tasks that were started one after the other come to be looked at together, and calls to be full.
        """
        due: list[Watched] = []
        while (first := self._first(self._dues, "due")) < math.inf:
            early = self._dues[0][2].next_pause() * (0.5 if len(due) % BATCH else 0.25)
            if first > now + early * bool(due):
                break
            due.append(heapq.heappop(self._dues)[2])
        return due

    async def _look(self, batch: list[Watched]) -> None:
        try:
            answer = await self._conversation.call(
                "ecs", "DescribeTasks", cluster=self._cluster, tasks=list({watched.arn: None for watched in batch})
            )
        except AwsError as error:
            self._not_seen(batch, error)
            return
        self._failures, self._refused_since = 0, math.inf
        now = self._clock.now()
        seen = {str(task.get("taskArn")): task for task in answer.get("tasks") or []}
        for watched in batch:
            task = seen.get(watched.arn)
            watched.seen_at = now if task is not None else watched.seen_at
            told = watched.observe(task) if task is not None else self._missing(watched, now)
            watched.looks += 1
            self._look_at(watched, now + self._pause(watched))
            if told:
                watched.ticket.call()

    def _missing(self, watched: Watched, now: float) -> bool:
        """Note that AWS does not know a task; it may not know it yet, or no longer (it forgets after about an hour)."""
        if watched.missing_since is None:
            watched.missing_since = now
        return now - watched.missing_since >= MISSING_PATIENCE

    def _not_seen(self, batch: Iterable[Watched], error: AwsError) -> None:
        """Go on after an error: reading must never fail a run, unless AWS refuses it for good."""
        now = self._clock.now()
        if error.kind is Kind.NOT_FOUND:  # the cluster is gone; its tasks are as good as missing
            for watched in batch:
                self._look_at(watched, now + watched.interval)
                if self._missing(watched, now):
                    watched.ticket.call()
            return
        self._refused_since = min(now, self._refused_since) if not error.temporary else math.inf
        if now - self._refused_since >= REFUSAL_PATIENCE:
            for watched in batch:
                watched.error = error
                watched.ticket.call()
            return
        for watched in batch:
            self._look_at(watched, watched.due)
        pause = backoff(self._failures, self._clock, first=1.0, most=20.0)
        self._failures += 1
        self._earliest = now + pause
        if now - self._trouble_said >= SAY_TROUBLE_EVERY:
            self._trouble_said = now
            logger.warning("AWS cannot be asked about the tasks for now; they go on, and so does the watch. %s", error)


# Each lives as long as a run uses it, and so does the client that it holds.
_watchers: RunVar[WeakValueDictionary[tuple[Any, ...], Watcher]] = RunVar("ecs_block_watchers")


def watcher_for(conversation: Conversation, cluster: str) -> Watcher:
    """Give the watcher that this event loop shares for one client and cluster."""
    try:
        known = _watchers.get()
    except LookupError:
        known = WeakValueDictionary()
        _watchers.set(known)
    key = (conversation.aws.key, short_name(cluster), id(conversation.clock))
    found = known.get(key)
    if found is None:
        known[key] = found = Watcher(conversation, cluster)
    return found
