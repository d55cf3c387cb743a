"""One process of this machine at a time: what several processes must not do at once.

A lock is a file under `$ECS_BLOCK_HOME/locks`, so it ends with its process, however that ends. It may be a courtesy: then,
where no file can be written, or another process holds on for too long, the work is done without it.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ecs_block.engine.clock import Clock
from ecs_block.errors import JournalError
from ecs_block.home import home

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger("ecs_block")

PATIENCE = 60.0  # seconds
LOOK_EVERY = 0.05  # seconds


class Held(Exception):
    """Another process holds the lock."""


@asynccontextmanager
async def alone_on_this_machine(
    name: str, clock: Clock, *, courtesy: bool = True, wait: bool = True
) -> AsyncIterator[None]:
    """Hold the lock of this name while the context lasts.

    Where it is no courtesy, the wait for it has no end, and JournalError is raised where no file can be written. Without
    `wait`, raises Held when another process has it.
    """
    from filelock import FileLock

    path = home("state") / "locks" / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.lock"
    lock = FileLock(path, thread_local=False)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await _acquire(lock, clock, courtesy=courtesy, wait=wait)
    except OSError as error:
        if not courtesy:
            raise JournalError(
                f"No lock can be made at {path} ({error.strerror}), so nothing was launched: two processes might both do it. "
                "Make its folder writable, or set ECS_BLOCK_HOME to one that is."
            ) from None
        logger.debug("No lock can be made at %s; going on without it. %s", path, error)
    try:
        yield
    finally:
        if not courtesy and lock.is_locked:
            # One file for each run would pile up. Whoever waits for this one sees, once it has it, that it is gone.
            with suppress(OSError):
                path.unlink()
        lock.release()


async def _acquire(lock: FileLock, clock: Clock, *, courtesy: bool, wait: bool) -> None:
    """Take the lock; what is only a courtesy is done without it after a while. Raises Held, OSError."""
    from filelock import Timeout

    deadline = clock.now() + PATIENCE if courtesy else math.inf
    while True:
        try:
            lock.acquire(blocking=False)
            return
        except Timeout:
            if not wait:
                raise Held from None
        if clock.now() >= deadline:
            logger.debug("The lock %s is held for too long; going on without it.", lock.lock_file)
            return
        await clock.sleep(LOOK_EVERY)
