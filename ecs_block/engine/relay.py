"""Work that many wait for and one of them does.

The watcher and the log reader serve every run of an event loop, and belong to none. A task of their own would outlive its
runs (asyncio) or has no place to live (trio). So whoever waits first does the work for all; when it has what it waited for,
or is cancelled, the next one takes over. There is nothing to start, nothing to shut down and nothing to leak.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from ecs_block.engine.clock import Clock


class Ticket:
    """One waiter's place."""

    __slots__ = ("_event", "called")

    def __init__(self) -> None:
        self.called = False
        self._event: anyio.Event | None = None

    def call(self) -> None:
        """Make the wait return."""
        self.called = True
        self.nudge()

    def nudge(self) -> None:
        """Make the waiter look around: it may be its turn to work."""
        if self._event is not None:
            self._event.set()


class Relay:
    """Waiters that take turns at the work. `turn` does one piece of it, and returns soon."""

    def __init__(self, turn: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._turn = turn
        self._clock = clock
        self._working = False
        self._idle: dict[Ticket, None] = {}
        self._poked: anyio.Event | None = None

    async def wait(self, ticket: Ticket) -> None:
        """Wait until the ticket is called, working meanwhile if nobody else does."""
        try:
            while not ticket.called:
                if self._working:
                    await self._sit(ticket)
                else:
                    await self._work()
        finally:
            if not self._working and self._idle:
                next(iter(self._idle)).nudge()

    async def _work(self) -> None:
        self._working = True
        try:
            await self._turn()
        finally:
            self._working = False

    async def _sit(self, ticket: Ticket) -> None:
        ticket._event = anyio.Event()
        self._idle[ticket] = None
        try:
            await ticket._event.wait()
        finally:
            ticket._event = None
            self._idle.pop(ticket, None)

    def poke(self) -> None:
        """End the worker's rest: there is something new to do."""
        if self._poked is not None:
            self._poked.set()

    async def rest(self, seconds: float) -> None:
        """Let the worker wait for a time, or until it is poked."""
        poked = self._poked = anyio.Event()
        async with anyio.create_task_group() as race:

            async def until_poked() -> None:
                await poked.wait()
                race.cancel_scope.cancel()

            race.start_soon(until_poked)
            await self._clock.sleep(seconds)
            race.cancel_scope.cancel()
        self._poked = None
