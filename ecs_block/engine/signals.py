"""Reaching into an event loop from outside: from a signal handler, or from another thread."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

# A terminal that is closed sends SIGHUP; Windows has no such thing.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_waiting: dict[anyio.CancelScope, Callable[[Callable[[], Any]], Any]] = {}


def into_this_loop() -> Callable[[Callable[[], Any]], Any]:
    """Give a function that runs another one in the running event loop, soon; it may be called from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon


def is_free(number: int) -> bool:
    """Tell whether nobody has said what a signal is to do: nohup(1), for one, has SIGHUP ignored."""
    return signal.getsignal(number) is signal.SIG_DFL


def heard(number: int) -> None:
    """Take note of a signal. One SIGHUP is enough: a terminal's end sends it twice, and the second is no second Ctrl-C."""
    if number != signal.SIGTERM:
        signal.signal(number, signal.SIG_IGN)


@asynccontextmanager
async def cancelled_by_signals() -> AsyncIterator[None]:
    """Let SIGTERM and SIGHUP cancel what runs inside, so that it can stop its tasks; the process then ends with 143 or 129.

    A program that has a handler of its own keeps it, and so does one whose event loop is not in the main thread.
    """
    if threading.current_thread() is not threading.main_thread() or not (_ours or any(map(is_free, ENDING))):
        yield
        return
    scope = anyio.CancelScope()
    if not _waiting:
        _ours[:] = filter(is_free, ENDING)
        for number in _ours:
            signal.signal(number, _on_signal)
    _waiting[scope] = into_this_loop()
    try:
        with scope:
            yield
    finally:
        del _waiting[scope]
        if not _waiting:
            for number in _ours:
                signal.signal(number, signal.SIG_DFL)
            _ours.clear()
    if scope.cancelled_caught:
        raise SystemExit(128 + _last[0])


_ours: list[int] = []  # the signals that we listen to
_last = [int(signal.SIGTERM)]  # the one that came


def _on_signal(number: int, frame: Any) -> None:
    heard(number)
    _last[0] = number
    for scope, call in list(_waiting.items()):
        call(scope.cancel)
