"""A job that an agent has in hand, and all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio

from ecs_block.agent.job import Job
from ecs_block.agent.queue import Message
from ecs_block.agent.view import JobLine


@dataclass(eq=False, slots=True)
class Hand:
    """A job in hand."""

    run_id: str
    line: JobLine
    job: Job | None = None
    """None for one that was taken up from the journal."""
    messages: dict[str, Message] = field(default_factory=dict)
    """Those that ask for it, and are not deleted yet."""
    claimed: bool = False
    has_begun: bool = False
    """True once RunTask may have been sent."""
    task: str | None = None
    """Its identifier, once AWS has accepted it."""
    recorded: bool = False
    """True once its task or its outcome is in the journal."""
    scope: anyio.CancelScope | None = None
    free: Callable[[], None] = lambda: None
    """Gives back its place among the launches; a second call does nothing."""

    @property
    def about(self) -> dict[str, Any]:
        """What a line of the log says of it beside its message."""
        return {"job": self.line.id, "job_name": self.line.name, "run_id": self.run_id, "task": self.task}


class Hands:
    """The jobs in hand, by their run ids."""

    def __init__(self) -> None:
        self._by_run: dict[str, Hand] = {}
        self._changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._by_run)

    def __iter__(self) -> Iterator[Hand]:
        return iter(list(self._by_run.values()))

    def of(self, run_id: str) -> Hand | None:
        """Give the job of a run."""
        return self._by_run.get(run_id)

    def take(self, hand: Hand) -> None:
        """Take a job in hand."""
        self._by_run[hand.run_id] = hand

    def drop(self, hand: Hand) -> None:
        """Let a job go."""
        del self._by_run[hand.run_id]
        self.note_change()

    @property
    def launching(self) -> int:
        """How many of them have no task yet, or one that is not recorded."""
        return sum(not hand.recorded for hand in self._by_run.values())

    def note_change(self) -> None:
        """Wake who waits for a change: a job has left, or its task is recorded."""
        self._changed.set()

    async def change(self) -> None:
        """Wait for the next change."""
        self._changed = anyio.Event()
        await self._changed.wait()


def once(release: Callable[[], None]) -> Callable[[], None]:
    """Give a function that calls another one the first time, and then does nothing."""
    waiting = [release]

    def free() -> None:
        if waiting:
            waiting.pop()()

    return free
