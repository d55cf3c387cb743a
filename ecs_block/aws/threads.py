"""The few threads in which work is done that takes its time: calls to AWS, and the journal's writing.

An answer, which may say that a task was started, is never lost: the work is not abandoned when its caller is cancelled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ecs_block.aws.clients import THREADS

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")


async def in_a_thread(work: Callable[[], T]) -> T:
    """Let a thread do work, and wait until it is done, also when the caller is cancelled."""
    return await (_in_asyncio(work) if _runs_asyncio() else _in_trio(work))


def _runs_asyncio() -> bool:
    import asyncio  # deferred, as in all of this file: importing ecs_block stays quick

    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _in_trio(work: Callable[[], T]) -> T:
    import anyio.to_thread

    variable = _limiter_variable()
    try:
        limiter = variable.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(THREADS)
        variable.set(limiter)
    return await anyio.to_thread.run_sync(work, limiter=limiter)


async def _in_asyncio(work: Callable[[], T]) -> T:
    """Await work in a thread; its answer is not lost when asyncio itself cancels the task.

    A shield holds off cancel scopes, but not `asyncio.Task.cancel()` (`asyncio.timeout`, Ctrl-C under `asyncio.run`). Then
    the answer is waited for first, and the cancellation comes at the caller's next await.
    """
    import asyncio

    answer = asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), work)
    cancelled = 0
    while not answer.done():
        try:
            await asyncio.shield(answer)
        except asyncio.CancelledError:
            cancelled += 1
        except Exception:  # the call's own, raised below
            break
    task = asyncio.current_task()
    for _ in range(cancelled if task is not None else 0):
        task.uncancel()  # type: ignore[union-attr]
        task.cancel()  # type: ignore[union-attr]
    return answer.result()


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The worker threads of this process, for all its asyncio loops (after a fork, new ones)."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, thread_name_prefix="ecs_block")


@cache
def _limiter_variable() -> Any:
    from anyio.lowlevel import RunVar

    return RunVar("ecs_block_calls")
