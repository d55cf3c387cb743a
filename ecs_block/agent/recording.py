"""Tasks that AWS has accepted: their messages are deleted once it is certain that the tasks are in the journal."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from ecs_block.agent.books import Books
from ecs_block.agent.hand import Hand
from ecs_block.agent.view import View
from ecs_block.engine.clock import Clock
from ecs_block.errors import JournalError

TRY_AGAIN = 1.0  # seconds until a task that could not be recorded is tried again


class Recording:
    """The jobs whose tasks are to be recorded; `done` is called with each that is."""

    def __init__(self, books: Books, view: View, clock: Clock, done: Callable[[Hand], None]) -> None:
        self._books, self._view, self._clock, self._done = books, view, clock, done
        self._waiting: dict[str, Hand] = {}
        self._work = anyio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, hand: Hand) -> bool:
        return hand.run_id in self._waiting

    def add(self, hand: Hand) -> None:
        """See to it that a job's task is recorded."""
        self._waiting[hand.run_id] = hand
        self._work.set()

    async def keep(self) -> None:
        """Record, as long as the agent runs."""
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            try:
                known = await self._books.record({run_id: str(hand.task) for run_id, hand in self._waiting.items()})
            except JournalError as error:
                self._view.trouble("journal", str(error))
                known = set()
            for run_id in known:
                self._done(self._waiting.pop(run_id))
            if self._waiting and not known:
                self._work.set()
                await self._clock.sleep(TRY_AGAIN)
