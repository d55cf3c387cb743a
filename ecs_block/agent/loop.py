"""The agent's loop: wait for room, poll, take what comes; and how it ends.

    room     jobs are received ten at a time; with fewer free places they are waited for, the longer the larger the agent
    poll     a long poll, unless the last one failed: then a short one, so that it is soon known to work again
    end      told to, or after `max_polls`: nothing more is received, launches are finished, the rest is handed back.
             Told to, running tasks are left alone; after `max_polls` they are waited for.

What stands in the way of a poll (no queue, no permission, no journal) is said once, shown in the health, and tried again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ecs_block.agent.books import Books
from ecs_block.agent.queue import BATCH, LONGEST_WAIT, Message, QueueSettings, RunQueue
from ecs_block.agent.receipts import Receipts
from ecs_block.agent.view import View
from ecs_block.agent.work import Work
from ecs_block.engine.clock import Clock, backoff
from ecs_block.engine.launch import LAUNCHES_AT_ONCE
from ecs_block.errors import AwsError, EcsBlockError, JournalError

logger = logging.getLogger("ecs_block.agent")

# Seconds for which room for ten is waited for, once there is some: for each place of the limit, and at most. Nine places at
# most are empty meanwhile, so it costs some two seconds of the whole agent's work, whatever its limit.
ROOM_PATIENCE, MOST_ROOM_PATIENCE = 0.25, float(LONGEST_WAIT)
LOOK = 0.1  # seconds
TAKE_UP_EVERY = 30.0  # seconds between two looks at what other agents have left behind
SETTINGS_EVERY = 15.0  # seconds between two looks at the queue's settings
LONGEST_PAUSE = 60.0  # seconds between two polls that fail
LAUNCH_PATIENCE = 24.0  # seconds in which launches are to finish once the agent is told to end
SETTLE_PATIENCE = 4.0  # seconds in which what is left is then handed back
WAITING = 2 * LAUNCHES_AT_ONCE  # launches under way beyond which jobs are left in the queue


class Loop:
    """One agent's loop."""

    def __init__(
        self, queue: RunQueue, books: Books, receipts: Receipts, work: Work, view: View, clock: Clock, *,
        limit: int | None, max_polls: int | None, wait: int = LONGEST_WAIT,
    ) -> None:  # fmt: skip
        self._queue, self._books, self._receipts, self._work, self._view, self._clock = (
            queue, books, receipts, work, view, clock,
        )  # fmt: skip
        self._limit, self._max_polls, self._wait = math.inf if limit is None else limit, max_polls, wait
        self._room_patience = min(ROOM_PATIENCE * self._limit, MOST_ROOM_PATIENCE)
        self._told_to_end = anyio.Event()
        self._sleeping: set[anyio.CancelScope] = set()
        self._visibility: int | None = None
        self._end_by = math.inf

    def end(self) -> None:
        """End soon. Must be called in the loop's own thread."""
        if self._view.state == "stopped":
            return
        self._work.stopping = True
        self._view.state = "stopping"
        self._end_by = self._clock.now() + LAUNCH_PATIENCE
        self._told_to_end.set()
        for scope in self._sleeping:
            scope.cancel()

    @property
    def _ending(self) -> bool:
        return self._told_to_end.is_set()

    async def run(self) -> None:
        """Run until told to end, or until `max_polls`. Raises InvalidTask when no client for SQS can be made."""
        async with anyio.create_task_group() as jobs, anyio.create_task_group() as beside:
            for work in (
                self._beat,
                self._receipts.settle,
                self._receipts.keep_hidden,
                self._work.recording.keep,
                self._look,
            ):
                beside.start_soon(self._always, work)
            beside.start_soon(self._always, lambda: self._take_up(jobs))
            try:
                await self._poll(jobs)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._finish()
                beside.cancel_scope.cancel()
        self._view.state = "stopped"

    # --- polling ---

    async def _poll(self, jobs: TaskGroup) -> None:
        failures, polls = 0, 0
        while not self._ending and (self._max_polls is None or polls < self._max_polls):
            room = await self._room()
            if self._ending:
                return
            try:
                await self._books.probe()
                self._well("journal")
                messages = await self._received(room, 1 if failures or not polls else self._wait)
            except Exception as error:
                if not isinstance(error, EcsBlockError):
                    logger.exception("An error of ecs_block itself; the agent goes on.")
                self._trouble(error)
                pause = backoff(failures, self._clock, first=1.0, most=LONGEST_PAUSE)
                failures += 1
                await self._sleep(pause)
                continue
            failures, polls = 0, polls + 1
            if self._view.well("queue"):
                logger.info("The queue %s can be polled again.", self._queue.name)
            self._view.polled(len(messages))
            self._work.brake.forget()
            if self._ending:  # while the poll was on its way
                for message in messages:
                    self._receipts.hold(message)
                self._receipts.hand_back([message.id for message in messages])
                return
            self._work.sort(jobs, messages)

    async def _received(self, room: int, wait: int) -> list[Message]:
        return await self._queue.receive(room, wait, self._visibility)

    def _trouble(self, error: Exception) -> None:
        what = "journal" if isinstance(error, JournalError) else "queue"
        self._view.state = "backing off" if not self._ending else "stopping"
        if self._view.trouble(what, str(error)):
            logger.error("No job is received for now, which is tried again: %s", error)

    def _well(self, what: str) -> None:
        if self._view.well(what):
            logger.info("The %s can be used again.", what)

    async def _room(self) -> int:
        """Wait for room, and give how many messages to receive."""
        wanted = min(BATCH, self._limit)
        enough_by = math.inf
        while not self._ending:
            room, now = self._free(), self._clock.now()
            if now < self._work.brake.until:
                await self._sleep(self._work.brake.until - now)
            elif room >= wanted or (room > 0 and now >= enough_by):
                return int(min(room, BATCH))
            elif room > 0:
                enough_by = min(enough_by, now + self._room_patience)
                await self._sleep(LOOK)
            else:
                enough_by = math.inf
                if self._view.state == "polling":
                    self._view.state = "full"
                await self._unless_ending(self._work.hands.change)
        return 0

    def _free(self) -> float:
        return min(self._limit - len(self._work.hands), WAITING - self._work.hands.launching)

    async def _sleep(self, seconds: float) -> None:
        await self._unless_ending(lambda: self._clock.sleep(seconds))

    async def _unless_ending(self, wait: Callable[[], Awaitable[Any]]) -> None:
        if self._ending:
            return
        with anyio.CancelScope() as scope:
            self._sleeping.add(scope)
            try:
                await wait()
            finally:
                self._sleeping.discard(scope)

    # --- beside ---

    async def _always(self, work: Callable[[], Awaitable[None]]) -> None:
        """Keep something going that must not end before the agent does, even if ecs_block itself has an error in it."""
        while True:
            try:
                await work()
            except Exception:
                logger.exception("An error of ecs_block itself; the agent goes on.")
            await self._clock.sleep(1.0)

    async def _beat(self) -> None:
        while True:
            self._view.beat()
            await self._clock.sleep(1.0)

    async def _look(self) -> None:
        if not self._view.queue:
            await self.look()  # the first look was in vain
        while True:
            await self._clock.sleep(SETTINGS_EVERY)
            await self.look()

    async def look(self) -> QueueSettings | None:
        """Read what the queue says of itself, before the first poll and now and then; who may not ask has SQS's defaults.

        Raises InvalidTask when no client for SQS can be made.
        """
        try:
            self._work.aside.settings = found = await self._queue.settings()
        except AwsError as error:
            self._visibility = round(self._receipts.visibility)
            logger.debug("The queue's settings cannot be read: %s", error)
            return None
        self._receipts.visibility = found.visibility or self._receipts.visibility
        self._visibility = None if found.visibility else round(self._receipts.visibility)
        self._view.queue = {"waiting": found.waiting, "delayed": found.delayed}
        return found

    async def _take_up(self, jobs: TaskGroup) -> None:
        while not self._ending:
            try:
                await self._work.take_up(jobs)
            except JournalError as error:
                self._trouble(error)
            await self._clock.sleep(TAKE_UP_EVERY)

    # --- the end ---

    async def _finish(self) -> None:
        """Finish what was begun. After `max_polls` all tasks are waited for; told to end, only launches, and not for long."""
        while len(self._work.hands) and not self._ending:
            await self._unless_ending(self._work.hands.change)
        self._work.stopping = True
        deadline = min(self._end_by, self._clock.now() + LAUNCH_PATIENCE)
        while self._work.is_busy and self._clock.now() < deadline:
            await self._clock.sleep(LOOK)
        self._work.give_up_waiting()
        while (len(self._work.hands) or not self._receipts.settled) and self._clock.now() < deadline + SETTLE_PATIENCE:
            await self._clock.sleep(LOOK)
