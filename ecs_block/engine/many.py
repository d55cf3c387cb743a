"""Many runs at once: `map` and `amap`. One registration, one network look-up, one watcher for all of them.

Runs that are the same, one after the other, are launched together: RunTask starts up to ten tasks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import cast

import anyio

from ecs_block.engine import bridge
from ecs_block.engine import run as engine
from ecs_block.engine.prepare import Run
from ecs_block.engine.run import Ended
from ecs_block.engine.signals import into_this_loop
from ecs_block.errors import AwsError, EcsBlockError, InvalidTask, JournalError, TaskLaunchFailed
from ecs_block.events import Progress
from ecs_block.plan.result import ECSTaskResult

logger = logging.getLogger("ecs_block")

MOST_IN_ONE_LAUNCH = 10  # API reference, RunTask, count


async def each(runs: Sequence[Run], limit: int, ended: Ended, progress: Progress | None = None) -> None:
    """Run many, `limit` at a time, and tell each result with its index. Only a cancellation ends it early."""
    free = anyio.Semaphore(limit)
    one_more = _counting(len(runs), progress)

    def finished(index: int, result: ECSTaskResult) -> None:
        free.release()
        ended(index, result)
        one_more()

    async def one(index: int) -> None:
        finished(index, await result_or_error(runs[index]))

    async def alike(places: Sequence[int]) -> None:
        run = runs[places[0]]
        try:
            launched = await engine.launch_alike(run, len(places))
        except EcsBlockError as error:
            for index in places:
                finished(index, result_of_error(error))
            return
        for index in places[len(launched.tasks) :]:  # the launch had no room for these
            group.start_soon(one, index)
        await engine.outcomes_alike(launched, lambda place, result: finished(places[place], result))

    async with anyio.create_task_group() as group:
        index = 0
        while index < len(runs):
            await free.acquire()
            places = [index, *_more(runs, index, free)]
            if len(places) > 1:
                group.start_soon(alike, places)
            else:
                group.start_soon(one, index)
            index += len(places)


def _counting(total: int, progress: Progress | None) -> Callable[[], None]:
    """Make a function that counts, and tells the caller's hook until that raises."""
    done = 0

    def one_more() -> None:
        nonlocal done, progress
        done += 1
        if progress is None:
            return
        try:
            progress(done, total)
        except Exception:
            logger.exception("The progress hook %r raised, and is not called any more; the runs go on.", progress)
            progress = None

    return one_more


def _more(runs: Sequence[Run], index: int, free: anyio.Semaphore) -> Iterator[int]:
    """Give the places of the next runs that are the same and may start now."""
    for place in range(index + 1, min(len(runs), index + MOST_IN_ONE_LAUNCH)):
        if not (runs[place].fields is runs[index].fields and engine.may_share(runs[place])):
            return
        try:
            free.acquire_nowait()
        except anyio.WouldBlock:
            return
        yield place


async def in_order(runs: Sequence[Run], limit: int, progress: Progress | None = None) -> list[ECSTaskResult]:
    """Run many and return their results in the order of the runs."""
    results: dict[int, ECSTaskResult] = {}
    await each(runs, limit, results.__setitem__, progress)
    return [results[index] for index in range(len(runs))]


async def as_they_end(
    runs: Sequence[Run], limit: int, progress: Progress | None = None
) -> AsyncGenerator[tuple[int, ECSTaskResult], None]:
    """Run many and yield each result with its index when it ends.

    The runs live in the background loop, not in this generator: a caller may leave an async generator at any time and from
    another task, which a task group in it would not survive.
    """
    if not runs:
        return
    mail: deque[tuple[int, ECSTaskResult]] = deque()
    arrived = anyio.Event()
    tell = into_this_loop()

    def ended(index: int, result: ECSTaskResult) -> None:
        mail.append((index, result))
        tell(lambda: arrived.set())

    call = bridge.Call(
        lambda: each(runs, limit, ended, progress), runs[0].control, on_done=lambda: tell(lambda: arrived.set())
    )
    bridge.submit(call)
    try:
        while True:
            while mail:
                yield mail.popleft()
            if call.done:
                call.value()
                if not mail:
                    return
                continue
            await arrived.wait()
            arrived = anyio.Event()
    finally:
        if not call.done:
            bridge.cancel(call)
            with anyio.CancelScope(shield=True):
                while not call.done:
                    arrived = anyio.Event()
                    with anyio.move_on_after(1.0):
                        await arrived.wait()


async def result_or_error(one: Run) -> ECSTaskResult:
    """Run a block, and give a result with `error` where `run` would raise."""
    try:
        return await engine.run(one)
    except EcsBlockError as error:
        return result_of_error(error)


def result_of_error(error: EcsBlockError) -> ECSTaskResult:
    """Make the result of a run that raised."""
    known = getattr(error, "result", None)
    if known is not None:
        return cast(ECSTaskResult, known.model_copy(update={"error": error}))
    not_started = isinstance(error, TaskLaunchFailed | AwsError | InvalidTask | JournalError)
    return ECSTaskResult(
        identifier=getattr(error, "identifier", None),
        outcome="start_failed" if not_started else "unknown",
        reason=str(error),
        error=error,
    )
