"""Ctrl-C, heard at once: the engine takes its time to stop a task, and whoever has pressed it wants an answer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecs_block.cli.console import Console

_PATIENCE = 2.0  # seconds for which a process that was told to end waits for answers of AWS


@contextmanager
def heard_by(console: Console) -> Iterator[None]:
    """Let the console tell that Ctrl-C was heard, and which tasks a second one leaves to themselves."""
    from ecs_block.engine import bridge

    def left(identifiers: Sequence[str]) -> None:
        console.left = tuple(identifiers)

    before, bridge.tell_detached = bridge.tell_detached, left
    try:
        with _told_first(console.interrupted):
            yield
    finally:
        bridge.tell_detached = before


@contextmanager
def _told_first(tell: Callable[[], None]) -> Iterator[None]:
    """Call something when Ctrl-C comes, before it goes on as KeyboardInterrupt; unless it is somebody else's already."""
    free = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not free or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(number: int, frame: Any) -> None:
        tell()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_soon(code: int) -> None:
    """Let the process end soon, though a request may be on its way that AWS does not answer; at once at another Ctrl-C.

    Python waits for all threads at its end: for minutes, where nobody answers. What such a request does is found again by
    the journal of runs.
    """
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    timer = threading.Timer(_PATIENCE, os._exit, (code,))
    timer.daemon = True
    timer.start()
