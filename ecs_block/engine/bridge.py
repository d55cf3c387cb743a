"""The same verbs for callers that do not await.

One background event loop serves the whole process: a blocking verb hands its coroutine over and waits. So it works in a
script, in any thread, and in a notebook whose own loop is running; and runs from many threads share one watcher.

Ctrl-C (or SIGTERM, or SIGHUP at the end of its terminal) in the waiting main thread cancels the work, waits until its tasks
are stopped, and then goes on up. A second one stops waiting.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ecs_block.engine.prepare import Control
from ecs_block.engine.signals import ENDING, heard, is_free

T = TypeVar("T")

_lock = threading.Lock()
_portal: BlockingPortal | None = None
_portal_manager: Any = None
_portal_process = 0
_portal_thread = 0

_HEARD_WITHIN = 0.25  # seconds: how soon the main thread hears of a signal that the kernel gave to another thread


class Terminated(BaseException):
    """A signal that ends processes (SIGTERM, SIGHUP) came while a blocking verb waited."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _background() -> BlockingPortal:
    """Give the event loop of this process, started at its first use (again after a fork)."""
    global _portal, _portal_manager, _portal_process, _portal_thread
    with _lock:
        if _portal is None or _portal_process != os.getpid():
            _portal_manager = start_blocking_portal("asyncio", name="ecs_block")
            _portal = _portal_manager.__enter__()
            _portal_process = os.getpid()
            _portal_thread = _portal.call(threading.get_ident)
        return _portal


@atexit.register
def _shut_down() -> None:
    global _portal
    if _portal is not None and _portal_process == os.getpid():
        _portal_manager.__exit__(None, None, None)
        _portal = None


class Call:
    """One coroutine in the background, and the thread that waits for it."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, Any]],
        control: Control,
        on_done: Callable[[], Any] = lambda: None,
    ) -> None:
        self._work = work
        self._on_done = on_done
        self._control = control
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Run the coroutine in the background loop."""
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                self._value = await self._work()
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()
            self._on_done()

    @property
    def done(self) -> bool:
        """True when the coroutine has ended."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Cancel the coroutine. Must be called in the background loop."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    def wait(self) -> None:
        """Wait in another thread for the end."""
        wait_for(self._done)

    def value(self) -> Any:
        """Give what the coroutine returned, or raise what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or the traceback keeps itself alive
        return self._value


def wait_for(event: threading.Event) -> None:
    """Wait for an event; in the main thread, in a way that signals interrupt on every platform.

    Only the main thread runs handlers of signals, and the kernel may give a signal to any thread: then nothing wakes a main
    thread that waits on a lock.
    """
    patience = _HEARD_WITHIN if threading.current_thread() is threading.main_thread() else None
    while not event.wait(patience):
        pass


def submit(call: Call) -> None:
    """Start a call in the background loop, without waiting for it."""
    _background().start_task_soon(call.run)


def cancel(call: Call) -> None:
    """Cancel a call from any thread but the background loop's own."""
    _background().start_task_soon(call.cancel)


def block_on(work: Callable[[], Coroutine[Any, Any, T]], control: Control) -> T:
    """Run a coroutine in the background loop and wait for it.

    Raises what it raises; KeyboardInterrupt, or SystemExit (143 after SIGTERM, 129 after SIGHUP), once its tasks are stopped.
    """
    portal = _background()
    if _portal_thread == threading.get_ident():
        raise RuntimeError(
            "A blocking verb was called from a hook or another coroutine of ecs_block; await its `a…` twin there."
        )
    call = Call(work, control)
    with _ending_signals_as_exceptions():
        try:
            portal.start_task_soon(call.run)
            call.wait()
        except (KeyboardInterrupt, Terminated) as interrupt:
            _finish(portal, call, control)
            if isinstance(interrupt, Terminated):
                raise SystemExit(128 + interrupt.number) from None
            raise
    value: T = call.value()
    return value


def _tell_detached(identifiers: Sequence[str]) -> None:
    for identifier in identifiers:
        sys.stderr.write(
            f"Detached from {identifier}, which may not have stopped yet.\n"
            f"  wait for it:  ecs-block wait {identifier}\n"
            f"  stop it:      ecs-block stop {identifier}\n"
        )


tell_detached: Callable[[Sequence[str]], None] = _tell_detached
"""Tells which tasks are left to themselves; the command line has its own way to say it."""


def _finish(portal: BlockingPortal, call: Call, control: Control) -> None:
    """After an interrupt: cancel, and wait for the tasks to be stopped; a second interrupt stops the waiting."""
    portal.start_task_soon(call.cancel)  # without waiting: the loop may be held up by a slow hook
    if control.only_reads:
        return
    try:
        call.wait()
    except (KeyboardInterrupt, Terminated):
        left = list(control.identifiers)
        portal.call(control.detach)
        tell_detached(left)


@contextmanager
def _ending_signals_as_exceptions() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception in the main thread, unless the program has a handler of its own."""
    ours = [] if threading.current_thread() is not threading.main_thread() else [*filter(is_free, ENDING)]

    def terminated(number: int, frame: Any) -> None:
        heard(number)
        raise Terminated(number)

    for number in ours:
        signal.signal(number, terminated)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
