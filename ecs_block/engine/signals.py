"""Reaching into an event loop from outside: from a signal handler, or from another thread."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

_waiting: dict[anyio.CancelScope, Callable[[Callable[[], Any]], Any]] = {}


def into_this_loop() -> Callable[[Callable[[], Any]], Any]:
    """Give a function that runs another one in the running event loop, soon; it may be called from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon


@asynccontextmanager
async def cancelled_by_sigterm() -> AsyncIterator[None]:
    """Let SIGTERM cancel what runs inside, so that it can stop its tasks; the process then ends with 143.

    A program that has a handler of its own keeps it, and so does one whose event loop is not in the main thread.
    """
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and (bool(_waiting) or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
    if not ours:
        yield
        return
    scope = anyio.CancelScope()
    if not _waiting:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _waiting[scope] = into_this_loop()
    try:
        with scope:
            yield
    finally:
        del _waiting[scope]
        if not _waiting:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if scope.cancelled_caught:
        raise SystemExit(128 + signal.SIGTERM)


def _on_sigterm(signum: int, frame: Any) -> None:
    for scope, call in list(_waiting.items()):
        call(scope.cancel)
