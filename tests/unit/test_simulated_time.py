"""The clock of the simulated tests: time passes when everybody waits, and not before."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from scripted import SimulatedClock, simulate


async def late(clock: SimulatedClock) -> None:
    """Be the only one on the clock while others are still at work."""
    await clock.sleep(3500)


async def at_once() -> None:
    await anyio.lowlevel.checkpoint()


async def in_a_group() -> None:
    """Go on when the last of a group has ended, which a callback tells."""
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(at_once)


async def after_a_wait_that_cannot_be_cancelled() -> None:
    """Go on after what is shielded, within a scope that was cancelled."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            await in_a_group()


@pytest.mark.parametrize("work", [at_once, in_a_group, after_a_wait_that_cannot_be_cancelled])
def test_time_waits_for_whoever_is_at_work(backend: str, work: Any) -> None:
    """However many steps of the event loop it takes until somebody sleeps, no time passes meanwhile."""

    async def main(clock: SimulatedClock) -> float:
        async with anyio.create_task_group() as group:
            group.start_soon(late, clock)
            began = clock.now()
            for _ in range(40):
                await work()
            await clock.sleep(1)
            group.cancel_scope.cancel()
        return clock.now() - began

    assert simulate(main, backend) == 1


def test_a_cancelled_scope_does_not_hold_the_clock(backend: str) -> None:
    """What waits shielded in a cancelled scope keeps the event loop busy for ever; time passes all the same."""

    async def main(clock: SimulatedClock) -> float:
        with anyio.CancelScope() as scope:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await clock.sleep(10)
        return clock.now()

    assert simulate(main, backend) == pytest.approx(10, abs=0.001)
