"""Time and chance, as the engine uses them. Tests hand in a clock of their own."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the engine asks of time and chance."""

    def now(self) -> float:
        """Seconds of a clock that only goes forward, whatever happens to the time of day."""

    def wall(self) -> datetime:
        """The time of day (UTC)."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """A number from 0 to 1."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The time of day (UTC)."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait in the running event loop."""
        await anyio.sleep(seconds)

    def random(self) -> float:
        """A number from 0 to 1."""
        return random.random()


SYSTEM_CLOCK = SystemClock()
"""The one that all runs share, so that they share a watcher too."""


def backoff(attempt: int, clock: Clock, *, first: float, most: float) -> float:
    """Give the pause before the next attempt (seconds): exponential, with full jitter but never less than half of `first`."""
    return max(first / 2, clock.random() * min(most, first * 2.0**attempt))
