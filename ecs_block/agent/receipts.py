"""Messages in hand: kept hidden while they are needed, then deleted or handed back, ten a request.

SQS hides a message for the queue's visibility timeout; before each third of it has gone by, it is hidden anew. What counts is
the newest receipt: with an older one SQS may say yes and delete nothing. A deletion that fails does no harm: the message comes
again, and the journal knows its job.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import anyio

from ecs_block.agent.queue import BATCH, Message, RunQueue
from ecs_block.engine.clock import Clock, backoff
from ecs_block.errors import AwsError

logger = logging.getLogger("ecs_block.agent")

GATHER = 0.1  # seconds in which what is to be deleted is gathered
LONGEST_HIDDEN = 11.5 * 3600  # seconds; SQS hides a message for twelve hours at most, counted from its receipt


@dataclass(slots=True)
class _Held:
    receipt: str
    received_at: float
    hidden_at: float


class Receipts:
    """The messages of one agent."""

    def __init__(self, queue: RunQueue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._to_delete: dict[str, str] = {}
        self._to_hand_back: dict[str, tuple[str, int]] = {}
        self._work = anyio.Event()
        self._busy = False
        self.visibility = 30.0

    def hold(self, message: Message) -> None:
        """Take a message in hand, or note its newer receipt."""
        now = self._clock.now()
        self._held[message.id] = _Held(message.receipt, now, now)
        if message.id in self._to_delete:
            self._to_delete[message.id] = message.receipt
        self._to_hand_back.pop(message.id, None)

    def acknowledge(self, message_ids: Iterable[str]) -> None:
        """Delete messages: what they ask for is recorded, or kept elsewhere."""
        for message_id in message_ids:
            if (held := self._held.pop(message_id, None)) is not None:
                self._to_delete[message_id] = held.receipt
        self._work.set()

    def hand_back(self, message_ids: Iterable[str], seconds: float = 0) -> None:
        """Let messages be received again after so many seconds."""
        for message_id in message_ids:
            if (held := self._held.pop(message_id, None)) is not None:
                self._to_hand_back[message_id] = held.receipt, int(seconds)
        self._work.set()

    async def settle(self) -> None:
        """Delete and hand back what is to be, for as long as the agent runs."""
        failures = 0
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            self._busy = True
            try:
                if len(self._to_delete) < BATCH:
                    await self._clock.sleep(GATHER)
                failures = 0 if await self._flush() else failures + 1
                if failures:
                    self._work.set()
                    await self._clock.sleep(backoff(failures, self._clock, first=1.0, most=30.0))
            finally:
                self._busy = False

    @property
    def settled(self) -> bool:
        """True when there is nothing left to delete or hand back."""
        return not (self._busy or self._to_delete or self._to_hand_back)

    async def _flush(self) -> bool:
        deleted, handed_back = dict(self._to_delete), dict(self._to_hand_back)
        try:
            if deleted:
                failed = await self._queue.delete(list(deleted.values()))
                _told(failed, "deleted")
                _forget(self._to_delete, deleted)
            if handed_back:
                failed = await self._queue.hide(dict(handed_back.values()))
                _told(failed, "handed back")
                _forget(self._to_hand_back, handed_back)
        except AwsError as error:
            logger.debug("Messages could not be deleted or handed back, which is tried again: %s", error)
            return False
        return True

    async def keep_hidden(self) -> None:
        """Hide what is in hand anew, in time, for as long as the agent runs."""
        while True:
            await self._clock.sleep(max(self.visibility / 6, 0.1))
            now = self._clock.now()
            due = {
                message_id: held
                for message_id, held in self._held.items()
                if now - held.hidden_at >= self.visibility / 3 - 0.1 and now - held.received_at < LONGEST_HIDDEN
            }
            if due:
                await self._hide(due)

    async def _hide(self, due: dict[str, _Held]) -> None:
        try:
            failed = await self._queue.hide({held.receipt: round(self.visibility) for held in due.values()})
        except AwsError as error:
            logger.debug("Messages could not be hidden for longer, which is tried again: %s", error)
            return
        _told(failed, "hidden for longer")
        now = self._clock.now()
        for held in due.values():
            held.hidden_at = now


def _told(failed: list[str], what: str) -> None:
    if failed:
        logger.debug("%d messages could not be %s: their receipts are old. They come again.", len(failed), what)


def _forget(waiting: dict[str, object] | dict[str, str] | dict[str, tuple[str, int]], done: object) -> None:
    for message_id, item in list(done.items()):  # type: ignore[attr-defined]
        if waiting.get(message_id) == item:
            del waiting[message_id]
